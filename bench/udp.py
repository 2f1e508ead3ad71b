"""The UDP benchmarks: flood, echo, latency. One server under test on one core, one load generator on another."""

from __future__ import annotations

import json
import subprocess
import time
from functools import partial
from types import TracebackType
from typing import Self

from . import child, load
from .suite import Benchmark, Failed, Sample, Settings

_WARM_UP = 0.05
"""Seconds of load before the figures count."""

_QUIET = 0.05
"""Seconds without a packet after which a server has handled all that its socket holds."""

_HOMING = ("homing", "homing async handler", "homing pool of 4", "homing buffer pool")
_BARE = ("asyncio", "asyncio 2 KiB reads", "uvloop", "blocking socket")
CONTESTANTS = (*_HOMING, *(f"{name} on uvloop" for name in _HOMING), *_BARE)


class Server:
    """A server under test in a process of its own; `with` ends it."""

    def __init__(self, contestant: str, job: str) -> None:
        self._child = child.start("bench.udp_server", contestant, job)
        self._name = contestant

    def __enter__(self) -> Self:
        try:
            self.port = int(self._read()["port"])
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._child.communicate(timeout=5)  # closes its standard input, at which it ends
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.communicate()

    def snapshot(self) -> Sample:
        """The packets handled, the CPU and other seconds spent so far; once nothing more is waiting."""
        before = self._ask()
        while True:
            time.sleep(_QUIET)
            after = self._ask()
            if after["packets"] == before["packets"]:
                return before
            before = after

    def _ask(self) -> Sample:
        assert self._child.stdin is not None
        try:
            self._child.stdin.write("\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, as reading will show
        return self._read()

    def _read(self) -> Sample:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise Failed(f"the server of {self._name!r} has ended")
        sample: Sample = json.loads(line)
        return sample


def flood(contestant: str, settings: Settings, native: bool = True) -> Sample:
    """Packets handled per CPU-second of a server that gets more than it can take."""
    with Server(contestant, "count") as server:
        load.flood(server.port, _WARM_UP, native)
        before = server.snapshot()
        made = load.flood(server.port, settings.load_seconds, native)
        after = server.snapshot()
    packets = after["packets"] - before["packets"]
    if packets == 0:
        raise Failed(f"{contestant!r} handled no packet")
    cpu = after["cpu_seconds"] - before["cpu_seconds"]
    return {
        "value": packets / cpu,
        "handled": packets,
        "dropped": made["sent"] - packets,
        "busy": min(1.0, cpu / settings.load_seconds),
    }


def echo(outstanding: int, contestant: str, settings: Settings, native: bool = True) -> Sample:
    """Answers that came back right, per CPU-second of the server, and the round trip as its client saw it."""
    with Server(contestant, "echo") as server:
        load.echo(server.port, _WARM_UP, outstanding, native)
        before = server.snapshot()
        made = load.echo(server.port, settings.load_seconds, outstanding, native)
        after = server.snapshot()
    if made["wrong"] or not made["answered"]:
        raise Failed(f"{contestant!r} answered {made['answered']} requests rightly, {made['wrong']} wrongly")
    cpu = after["cpu_seconds"] - before["cpu_seconds"]
    return {
        "value": made["answered"] / cpu,
        "handled": after["packets"] - before["packets"],
        "dropped": made["sent"] - made["answered"],
        "busy": min(1.0, cpu / settings.load_seconds),
        "p50": made["p50"],
        "p99": made["p99"],
    }


def latency(contestant: str, settings: Settings, native: bool = True) -> Sample:
    """The round trip of one request at a time."""
    sample = echo(1, contestant, settings, native)
    return {**sample, "value": sample["p50"], "per_cpu_second": sample["value"]}


BENCHMARKS = (
    Benchmark(
        name="udp-flood",
        title=f"UDP receive: a flood of {load.SIZE}-byte packets into a handler that counts",
        unit="packets handled per CPU-second of the server",
        contestants=CONTESTANTS,
        run=flood,
        extras=("handled", "dropped", "busy"),
    ),
    Benchmark(
        name="udp-echo",
        title=f"UDP echo: 64 requests of {load.SIZE} bytes outstanding",
        unit="right answers per CPU-second of the server",
        contestants=CONTESTANTS,
        run=partial(echo, 64),
        extras=("handled", "dropped", "busy", "p50", "p99"),
    ),
    Benchmark(
        name="udp-latency",
        title=f"UDP echo: one request of {load.SIZE} bytes at a time",
        unit="microseconds from request to answer (median)",
        contestants=CONTESTANTS,
        run=latency,
        extras=("p99", "handled", "dropped", "per_cpu_second"),
        lower_is_better=True,
    ),
)
