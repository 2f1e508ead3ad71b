"""The benchmarks of a cluster: two nodes or more, each an OS process, beside Erlang/OTP's distribution.

A node is `cluster_node.py`, or `cluster_node.erl`. Both take the same commands from standard input, one a line, and
answer each with a line of numbers. The first node has the core of the test, the others that of the load.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from . import child
from .suite import Benchmark, Failed, Sample, Settings

HOMING, SECURE, ERLANG = "homing", "homing, mTLS", "erlang"
OTHERS = ("lapinbeam", "xoscar")
"""Python libraries with actors on several nodes."""

_SOURCE = Path(__file__).with_name("cluster_node.erl")
_TICKTIME = 4
"""Erlang's `net_ticktime`, whose default is 60 s: a frozen node is then down after 3 to 5 s."""

_NODES_OF_A_MESH = 5
_WARM_UP = 0.5
_FREEZE_AFTER = 0.5


def missing(contestant: str) -> str:
    """Returns what must be installed for `contestant`; "" if nothing."""
    if contestant == ERLANG:
        tools = [tool for tool in ("erl", "erlc", "epmd") if shutil.which(tool) is None]
        return f"there is no {' and no '.join(tools)} (Debian: apt install erlang-base)" if tools else ""
    if contestant in OTHERS:
        return "" if importlib.util.find_spec(contestant) else f"pip install {contestant}"
    try:
        import cryptography  # noqa: F401
        import msgspec  # noqa: F401
        import zenoh  # noqa: F401
    except ModuleNotFoundError:
        return "pip install 'homing[cluster]'"
    return ""


class Node:
    """A node: `ask` gives it a command, and returns the numbers of the answer."""

    def __init__(self, name: str, command: list[str], core: int, environment: dict[str, str]) -> None:
        self.name = name
        pin = child.pinned(core)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=child.ROOT,
            env={**os.environ, **environment},
            preexec_fn=pin,
            start_new_session=True,
        )

    def ready(self) -> None:
        if self.read() != ["ready"]:
            raise Failed(f"node {self.name} did not start")

    def tell(self, *words: object) -> None:
        stdin = self.process.stdin
        if stdin is None:
            raise Failed("no pipe")
        stdin.write(" ".join(map(str, words)) + "\n")
        stdin.flush()

    def read(self) -> list[str]:
        stdout = self.process.stdout
        line = "" if stdout is None else stdout.readline()
        if not line:
            raise Failed(f"node {self.name} has ended")
        return line.split()

    def ask(self, *words: object) -> list[float]:
        self.tell(*words)
        return [float(word) for word in self.read()]

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as opened:
        probes = [opened.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


@contextlib.contextmanager
def started(contestant: str, count: int) -> Iterator[list[Node]]:
    """Nodes that run, but have not joined yet: a, b, c... Each will join the first."""
    makers: dict[str, Any] = {ERLANG: _erlang, **{other: partial(_other, other) for other in OTHERS}}
    make = makers.get(contestant, partial(_homing, secure=contestant == SECURE))
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as ended:
        nodes: list[Node] = []
        for name, command, environment in make(Path(directory), count, ended):
            node = Node(name, command, min(len(nodes), 1), environment)
            ended.callback(node.end)
            nodes.append(node)
        for node in nodes:
            node.ready()
        yield nodes


@contextlib.contextmanager
def joined(contestant: str, count: int) -> Iterator[list[Node]]:
    """Nodes of which each knows all others."""
    with started(contestant, count) as nodes:
        for node in nodes:
            node.ask("join")
        for node in nodes:
            node.ask("up", count - 1)
        yield nodes


def _homing(directory: Path, count: int, ended: contextlib.ExitStack, secure: bool) -> Iterator[Any]:
    names = [f"{chr(ord('a') + number)}@localhost" for number in range(count)]
    ports = free_ports(count)
    if secure:
        from homing.cluster.certificates import make_authority, make_node_certificate

        make_authority(directory / "ca")
        for name in names:
            make_node_certificate(directory / "ca", name)
        proofs = [directory / "ca" / "nodes" / name for name in names]
    else:
        secret = directory / "secret"
        secret.touch(0o600)
        secret.write_text(secrets.token_hex(16))
        proofs = [secret] * count
    for name, proof, port in zip(names, proofs, ports, strict=True):
        seeds = [str(ports[0])] if port != ports[0] else []
        yield name, [sys.executable, "-m", "bench.cluster_node", name, str(proof), str(port), *seeds], {}


def _other(library: str, directory: Path, count: int, ended: contextlib.ExitStack) -> Iterator[Any]:
    hosts = [f"127.0.0.1:{port}" for port in free_ports(count)]
    names = hosts if library == "xoscar" else [f"{chr(ord('a') + number)}@{host}" for number, host in enumerate(hosts)]
    for name in names:
        seeds = names[:1] if name != names[0] else []
        yield name, [sys.executable, "-m", "bench.cluster_others", library, name, *seeds], {}


def _erlang(directory: Path, count: int, ended: contextlib.ExitStack) -> Iterator[Any]:
    """With a daemon of names (epmd) of its own, at a free port of loopback, which ends with the nodes."""
    subprocess.run(["erlc", "-o", directory, _SOURCE], check=True, capture_output=True, timeout=child.LIFE)
    (port,) = free_ports(1)
    environment = {"ERL_EPMD_PORT": str(port), "ERL_EPMD_ADDRESS": "127.0.0.1", "HOME": str(directory)}
    names_daemon = subprocess.Popen(
        ["epmd", "-port", str(port), "-address", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=child.pinned(1),
    )
    ended.callback(names_daemon.wait)
    ended.callback(names_daemon.kill)
    _answers(port)
    cookie = secrets.token_hex(16)
    names = [f"{chr(ord('a') + number)}@127.0.0.1" for number in range(count)]
    for name in names:
        command = ["erl", "-noshell", "-start_epmd", "false", "-name", name, "-setcookie", cookie]
        command += ["-kernel", "inet_dist_use_interface", "{127,0,0,1}", "-kernel", "net_ticktime", str(_TICKTIME)]
        command += ["-kernel", "logger_level", "emergency"]
        command += ["-pa", str(directory), "-s", "cluster_node", "main", "-extra", *names[:1]]
        yield name, command[:-1] if name == names[0] else command, environment


def _answers(port: int) -> None:
    give_up = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > give_up:
                raise Failed("epmd did not start") from None
        time.sleep(0.01)


# --- the benchmarks -----------------------------------------------------------------------------------------


def send(kind: str, contestant: str, settings: Settings) -> Sample:
    """Messages that a process of one node sends to a process of another, as fast as it can."""
    with joined(contestant, 2) as (sender, receiver):
        sender.ask("send", kind, receiver.name)
        time.sleep(max(_WARM_UP, settings.load_seconds / 2))
        before, sending = receiver.ask("count"), sender.ask("count")
        time.sleep(settings.load_seconds)
        after, sent = receiver.ask("count"), sender.ask("count")
    messages, seconds = after[0] - before[0], after[1] - before[1]
    if messages <= 0:
        raise Failed("no message arrived")
    return {
        "value": messages / seconds,
        "us_sender": max(0.0, sent[2] - sending[2]) * 1e6 / messages,
        "us_receiver": max(0.0, after[2] - before[2]) * 1e6 / messages,
        "lag_ms": after[3] * 1e3,
    }


def _called(contestant: str, settings: Settings, count: int) -> tuple[float, Sample]:
    """Returns the calls per second with so many open, and their times and costs. The costs are those of the warm-up
    too, which lasts a tenth of the time."""
    with joined(contestant, 2) as (caller, callee):
        before = [node.ask("count")[2] for node in (caller, callee)]
        rate, p50, p99 = caller.ask("call", callee.name, count, settings.load_seconds)
        costs = [node.ask("count")[2] - cpu for node, cpu in zip((caller, callee), before, strict=True)]
    calls = max(1.0, rate * settings.load_seconds * 1.1)
    us_caller, us_callee = (cpu * 1e6 / calls for cpu in costs)
    return rate, {"p50": p50 * 1e6, "p99": p99 * 1e6, "us_caller": us_caller, "us_callee": us_callee}


def call(contestant: str, settings: Settings) -> Sample:
    """One call at a time."""
    rate, sample = _called(contestant, settings, 1)
    return {"value": sample.pop("p50"), "calls": rate, **sample}


def calls(contestant: str, settings: Settings) -> Sample:
    """64 calls open."""
    rate, sample = _called(contestant, settings, 64)
    return {"value": rate, **sample}


def kill(contestant: str, settings: Settings) -> Sample:
    """The time from `kill -9` of a node until another one has been notified."""
    with joined(contestant, 2) as (survivor, victim):
        began = time.time()
        os.kill(victim.process.pid, signal.SIGKILL)
        (down,) = survivor.ask("down", victim.name)
    return {"value": max(0.0, down - began) * 1e3}


def freeze(contestant: str, settings: Settings) -> Sample:
    """A node sends 200 messages of 16 KiB a second to each of two others, one of which is frozen."""
    with joined(contestant, 3) as (sender, frozen, healthy):
        sender.ask("tick", frozen.name, healthy.name)
        time.sleep(_FREEZE_AFTER)
        began = time.time()
        os.killpg(frozen.process.pid, signal.SIGSTOP)
        (down,) = sender.ask("down", frozen.name)
        time.sleep(_FREEZE_AFTER)
        count, gap, lost = healthy.ask("gap")
    if count == 0:
        raise Failed("no message arrived")
    return {"value": down - began, "gap_ms": gap * 1e3, "lost": lost}


def mesh(contestant: str, settings: Settings) -> Sample:
    """The time that five nodes take to join at once, until each knows all others."""
    with started(contestant, _NODES_OF_A_MESH) as nodes:
        began = time.time()
        for node in nodes:
            node.tell("join")
        for node in nodes:
            node.read()
        complete = max(node.ask("up", _NODES_OF_A_MESH - 1)[0] for node in nodes)
    return {"value": (complete - began) * 1e3}


def udp(contestant: str, settings: Settings) -> Sample:
    """Datagrams to an edge, which a worker of another node answers."""
    from .cluster_udp import measure

    return measure(settings.load_seconds)


_BOTH = (HOMING, SECURE, ERLANG)
_ALL = (*_BOTH, *OTHERS)
_COSTS = ("us_sender", "us_receiver", "lag_ms")
_COMMON: dict[str, Any] = {"baselines": (ERLANG,), "minor": True, "missing": missing}

BENCHMARKS = (
    Benchmark(
        name="cluster-send",
        title="messages of four fields to a process of another node",
        unit="messages per second; CPU time of a message at each end, us; worst delay of a timer at the receiver",
        contestants=_ALL,
        run=partial(send, "typed"),
        extras=_COSTS,
        **_COMMON,
    ),
    Benchmark(
        name="cluster-bytes",
        title="messages of 64 bytes to a process of another node",
        unit="messages per second; CPU time of a message at each end, us; worst delay of a timer at the receiver",
        contestants=_ALL,
        run=partial(send, "bytes"),
        extras=_COSTS,
        **_COMMON,
    ),
    Benchmark(
        name="cluster-call",
        title="calls to a process of another node, one at a time",
        unit="us for a call, percentiles 50 and 99; calls per second; CPU time of a call at each end, us",
        contestants=_ALL,
        run=call,
        extras=("p99", "calls", "us_caller", "us_callee"),
        lower_is_better=True,
        **_COMMON,
    ),
    Benchmark(
        name="cluster-calls",
        title="calls to a process of another node, 64 open",
        unit="calls per second; us for a call, percentiles 50 and 99; CPU time of a call at each end, us",
        contestants=_ALL,
        run=calls,
        extras=("p50", "p99", "us_caller", "us_callee"),
        **_COMMON,
    ),
    Benchmark(
        name="cluster-kill",
        title="kill -9 of a node, until another one knows",
        unit="ms",
        contestants=_BOTH,
        run=kill,
        lower_is_better=True,
        **_COMMON,
    ),
    Benchmark(
        name="cluster-freeze",
        title=f"SIGSTOP of a node, until another one knows (Erlang: net_ticktime {_TICKTIME}); what a third one feels",
        unit="seconds; longest gap between the messages to the third node, in place of 5 ms, and those lost",
        contestants=_BOTH,
        run=freeze,
        extras=("gap_ms", "lost"),
        lower_is_better=True,
        **_COMMON,
    ),
    Benchmark(
        name="cluster-join",
        title=f"{_NODES_OF_A_MESH} nodes join, until each knows all others",
        unit="ms",
        contestants=_BOTH,
        run=mesh,
        lower_is_better=True,
        **_COMMON,
    ),
    Benchmark(
        name="cluster-udp",
        title="datagrams to an edge, answered by a worker on another node, 512 open",
        unit="answers per second; per CPU-second of the edge and of the worker",
        contestants=(HOMING,),
        run=udp,
        extras=("edge", "worker"),
        baselines=(HOMING,),
        minor=True,
        missing=missing,
    ),
)
