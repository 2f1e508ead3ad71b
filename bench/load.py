"""The load generator: load.c if it can be compiled, else load_python.py, which can do a part of the same."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

from . import child, native
from .suite import Sample

SIZE = 64
"""Default bytes of a datagram."""


@dataclass(frozen=True, kw_only=True)
class Flood:
    """A flood's packets.

    size: bytes of each packet.
    segmented: the kernel receives many packets per system call and splits them (UDP_SEGMENT), which makes the sender
        fast; a receiver that asks for it (UDP_GRO) gets them joined.
    sources: number of source addresses, used in turn; 0: all packets from one connected socket.
    """

    size: int = SIZE
    segmented: bool = True
    sources: int = 0


def kind() -> str:
    """Describes the load generator in use."""
    return "C, sendmmsg" if native.program("load") else "Python, send"


def flood(port: int, seconds: float, shape: Flood, in_c: bool = True) -> Sample:
    """Sends as fast as it can. Returns `sent`, and `segments`: the number of datagrams per system call."""
    return _run(in_c, "flood", port, seconds, shape.size, int(shape.segmented), shape.sources)


def paced(port: int, seconds: float, rate: int) -> Sample:
    """Sends `rate` packets a second on schedule, each in a system call. Returns `sent`, and `behind`: the share of the
    packets that left more than 0.1 ms late. Needs the generator in C."""
    return _run(True, "paced", port, seconds, SIZE, rate)


def backlog(port: int, seconds: float, count: int, pid: int) -> Sample:
    """Stops the process `pid`, sends `count` packets, lets it continue, and so on. Returns `sent`. Needs the generator
    in C."""
    return _run(True, "backlog", port, seconds, SIZE, count, pid)


def echo(port: int, seconds: float, outstanding: int, in_c: bool = True) -> Sample:
    """Keeps `outstanding` requests open. Returns `sent`, `answered` (rightly), `wrong`, `late`, and the percentiles
    `p50`, `p99` and `p99.9` of the round trip in microseconds."""
    return _run(in_c, "echo", port, seconds, SIZE, outstanding)


def open_loop(port: int, seconds: float, rate: int, in_c: bool = True) -> Sample:
    """Sends `rate` requests a second on schedule, whether or not they are answered. Returns the same as `echo`, but
    round trips begin when the request was to leave; `behind` is the share of requests that left more than 0.1 ms late.
    """
    return _run(in_c, "open", port, seconds, SIZE, rate)


def _run(in_c: bool, *args: object) -> Sample:
    program = native.program("load") if in_c else None
    command = [program] if program else [sys.executable, "-m", "bench.load_python"]
    sample: Sample = json.loads(child.output([*command, *map(str, args)], core=1))
    return sample
