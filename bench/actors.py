"""The actor benchmarks: send, ping-pong, call, spawn, memory. Run as a module, this is the process under test."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Protocol

from . import child
from .suite import Benchmark, Sample, Settings

BURST = 100
"""Messages that a sender sends in one go before others run."""

OPEN = 200
"""Questions that a forwarder has open at once."""

_FIRST = 1000
"""Messages of the first run, which also warms up."""

_MOST = {"pykka spawn": 500}
"""Contestants whose count is limited before a run takes long enough: pykka's actors are threads."""

_PYKKA_PROCESSES = 300


class Contestant(Protocol):
    """A library to measure. Each method repeats an operation `n` times and returns the CPU seconds spent."""

    def send(self, n: int) -> float: ...
    def pingpong(self, n: int) -> float: ...
    def call(self, n: int) -> float: ...
    def request(self, n: int) -> float:
        """Like `call`, by a sender that goes on meanwhile. Only Homing's."""

    def forward(self, n: int) -> float:
        """Questions through a forwarder, which asks another actor and passes the answer on: `OPEN` at once."""

    def spawn(self, n: int) -> float: ...
    def memory(self, n: int, used: bool) -> float:
        """Returns the bytes that each of `n` actors takes. used: after the actor has received a message."""


def make(name: str) -> Contestant:
    """Returns the contestant of that name."""
    if name == "pykka":
        from .actors_pykka import Pykka

        return Pykka()
    if name.startswith("homing"):
        from .actors_homing import Homing

        return Homing(child.loop_factory(name), side_by_side="async" in name)
    from .actors_asyncio import Bare

    return Bare(child.loop_factory(name))


def rate(run: Callable[[int], float], cpu_seconds: float, most: int) -> Sample:
    """Runs with a growing count until a run takes `cpu_seconds` or the count is `most`. Returns the last run's rate."""
    count = min(_FIRST, most)
    spent = run(count)
    while spent < cpu_seconds and count < most:
        growth = min(20.0, max(1.5, 1.2 * cpu_seconds / max(spent, 1e-6)))
        count = min(most, int(count * growth) // BURST * BURST)
        spent = run(count)
    return {"value": count / max(spent, 1e-9), "count": count, "cpu_seconds": spent}


def measure(name: str, benchmark: str, cpu_seconds: float, processes: int) -> Sample:
    """Measures one contestant once, in this process."""
    contestant = make(name)
    if benchmark.startswith("memory"):
        count = min(processes, _PYKKA_PROCESSES) if name == "pykka" else processes
        return {"value": contestant.memory(count, benchmark == "memory-used"), "count": count}
    most = _MOST.get(f"{name} {benchmark}", 100_000 if benchmark == "spawn" else 10_000_000)
    return rate(getattr(contestant, benchmark), cpu_seconds, most)


def _run(benchmark: str, contestant: str, settings: Settings) -> Sample:
    command = [sys.executable, "-m", "bench.actors", contestant, benchmark]
    command += [str(settings.cpu_seconds), str(settings.processes)]
    sample: Sample = json.loads(child.output(command, core=0))
    return sample


_ALL = ("homing", "homing on uvloop", "asyncio", "uvloop", "pykka")
_CONTESTANTS = {
    "request": ("homing", "homing on uvloop"),
    "forward": ("homing", "homing async handler", "asyncio", "uvloop"),
}
_MEMORY = ("homing", "asyncio", "pykka")

BENCHMARKS = tuple(
    Benchmark(
        name=name,
        title=title,
        unit=f"{unit} per CPU-second",
        contestants=_CONTESTANTS.get(name, _ALL),
        baselines=() if name == "request" else ("asyncio",),
        run=partial(_run, name),
        minor=name == "spawn",
    )
    for name, title, unit in (
        ("send", "local send, one to one (sender and receiver)", "messages"),
        ("pingpong", "ping-pong between two actors", "messages"),
        ("call", "call round trip between two actors", "calls"),
        ("request", "request and response between two actors", "requests"),
        ("forward", f"a forwarder with {OPEN} questions open at once", "answers"),
        ("spawn", "spawn an actor and wait until it has begun", "actors"),
    )
) + tuple(
    Benchmark(
        name=name,
        title=title,
        unit="bytes of resident memory per actor",
        contestants=_MEMORY,
        run=partial(_run, name),
        lower_is_better=True,
        minor=True,
    )
    for name, title in (
        ("memory", "memory of an actor that has just been spawned"),
        ("memory-used", "memory of an actor that has had a message"),
    )
)

if __name__ == "__main__":
    child.limit_life()
    print(json.dumps(measure(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))))
