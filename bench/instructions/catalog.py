"""The programs whose instructions are counted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program to count.

    title: the operation. count: how often it is repeated between two marks, the second time twice as often; a multiple
    of `step`. step: operations after which a program looks whether a mark is due, and a saturated server asks for more
    load. load: the function of `loads` that loads it; "" if it loads itself. behavior: the class in `servers` that
    serves, if it serves. loop: the contestant of `python -m bench` whose event loop it has. judged: it has a ceiling.
    """

    title: str
    count: int
    step: int
    load: str = ""
    behavior: str = ""
    loop: str = "homing"
    judged: bool = True


BACKLOG = 256
"""Datagrams that wait when a saturated server continues. They fit into the receive buffer of any Linux."""

OUTSTANDING = 64

PROGRAMS = {
    "lone-echo": Program(
        title="UDP echo, one request at a time, a wake-up for each", count=400, step=50, load="alone", behavior="Echo"
    ),
    "lone-echo-async": Program(
        title="the same, by an async handler", count=400, step=50, load="alone", behavior="EchoAsync"
    ),
    "lone-echo-service": Program(
        title="the same, by a function of a Service", count=400, step=50, load="alone", behavior="EchoService"
    ),
    "lone-echo-asyncio": Program(
        title="the same, on asyncio's loop",
        count=400,
        step=50,
        load="alone",
        behavior="Echo",
        loop="homing on asyncio",
    ),
    "lone-echo-uvloop": Program(
        title="the same, by a protocol on uvloop",
        count=400,
        step=50,
        load="alone",
        behavior="EchoProtocol",
        loop="uvloop",
        judged=False,
    ),
    "receive": Program(
        title="UDP receive, a backlog of single datagrams", count=8192, step=BACKLOG, load="backlog", behavior="Count"
    ),
    "receive-joined": Program(
        title="UDP receive, 64 bytes, joined by the kernel", count=16384, step=BACKLOG, load="joined", behavior="Count"
    ),
    "echo": Program(
        title=f"UDP echo, {OUTSTANDING} requests outstanding",
        count=4096,
        step=OUTSTANDING,
        load="backlog",
        behavior="Echo",
    ),
    "echo-remote": Program(
        title="UDP echo by a worker on another node, a backlog, both ends",
        count=4096,
        step=BACKLOG,
        load="backlog",
        behavior="EchoElsewhere",
        judged=False,
    ),
    "tcp-echo": Program(
        title="TCP echo of a line, one at a time, a wake-up for each",
        count=400,
        step=50,
        load="line",
        behavior="EchoLine",
    ),
    "tcp-pipeline": Program(
        title="the same, 16 lines at a time", count=3200, step=160, load="lines", behavior="EchoLine"
    ),
    "client-call": Program(title="UDP client, one call at a time", count=200, step=50, load="answers"),
    "send": Program(title="local send, one to one", count=20_000, step=100),
    "send-clustered": Program(title="the same, on a node that is in a cluster", count=20_000, step=100),
    "send-remote": Program(
        title="send to another node, a Struct of four fields, both ends", count=20_000, step=100, judged=False
    ),
    "pingpong": Program(title="ping-pong between two actors, a message", count=10_000, step=100),
    "call": Program(title="call round trip between two actors", count=2_000, step=100),
    "call-clustered": Program(title="the same, on a node that is in a cluster", count=2_000, step=100),
    "call-remote": Program(title="call round trip to another node, both ends", count=200, step=100, judged=False),
    "request": Program(title="request and response between two actors", count=2_000, step=100),
    "spawn": Program(title="spawn an actor, until it has begun", count=1_000, step=100),
}
