"""The UDP benchmarks. One server under test on one core, one load generator on another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from . import load
from .external import External
from .load import Flood
from .suite import Benchmark, Failed, Sample, Settings
from .under_test import Server, UnderTest

_WARM_UP = 0.05
"""Seconds of load before the measurement."""

_LEAST = 0.001
"""Least CPU seconds that are counted for a server: a short load may take less than the clock can resolve."""

RATE = 20_000
"""Requests per second of the open loop."""

SOURCES = 1000

_BARE = ("asyncio", "asyncio 2 KiB reads", "uvloop", "rloop")
_SINGLE = ("homing", "homing on uvloop", *_BARE, "C recvmmsg")
_HANDLERS = ("homing async handler", "homing pool of 4", "homing buffer pool", "homing batch handler (numpy)")
_FLOOD = ("homing", "homing on uvloop", *_HANDLERS, *_BARE, "blocking socket", "C recvmmsg")
_ECHO = ("homing", "homing on uvloop", *_BARE, "blocking socket", "C recvmmsg")
_SOURCES = tuple(
    f"{server}, {sources}"
    for server, sources in (
        ("homing", "1 source"),
        ("homing", f"{SOURCES} sources"),
        ("uvloop", f"{SOURCES} sources"),
        ("C recvmmsg", f"{SOURCES} sources"),
    )
)
_GSO = ("homing", "homing batch handler (numpy)", "uvloop", "C recvmmsg", "C recvmmsg + GRO")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How servers are started and loaded.

    commands: the servers that are given as a command line, by their names. in_c: use the load generator in C, if
    possible.
    """

    commands: Mapping[str, str] = field(default_factory=dict)
    in_c: bool = True

    def server(self, contestant: str, job: str, singly: bool = False) -> UnderTest:
        if contestant in self.commands:
            return External(contestant, self.commands[contestant], job)
        return Server(contestant, job, singly)


def flood(setting: Setting, shape: Flood, singly: bool, contestant: str, settings: Settings) -> Sample:
    """Measures the packets handled per CPU-second of a server that receives more than it can handle.

    singly: Homing does not ask for joined packets.
    """
    with setting.server(contestant, "count", singly) as server:
        load.flood(server.port, _WARM_UP, shape, setting.in_c)
        before = server.snapshot()
        made = load.flood(server.port, settings.load_seconds, shape, setting.in_c)
        after = server.snapshot()
    if shape.segmented and not singly and made["segments"] == 1:
        raise Failed("this system does not send segmented packets (UDP_SEGMENT)")
    packets = server.handled(before, after, made["sent"])
    if packets <= 0:
        raise Failed(f"{contestant!r} handled no packet")
    cpu = max(_LEAST, after["cpu_seconds"] - before["cpu_seconds"])
    return {
        "value": packets / cpu,
        "handled": packets,
        "dropped": made["sent"] - packets,
        "busy": min(1.0, cpu / settings.load_seconds),
    }


def sources(setting: Setting, contestant: str, settings: Settings) -> Sample:
    """Measures a flood from as many sources as the contestant's name says after the comma."""
    name, _, number = contestant.rpartition(", ")
    shape = Flood(segmented=False, sources=int(number.split()[0]))
    return flood(setting, shape, False, name, settings)


def _asked(
    setting: Setting, ask: Callable[[int, float], Sample], contestant: str, settings: Settings
) -> tuple[Sample, Sample]:
    """Returns the result of `ask(port, seconds)`, and the figures that follow from it and the server's CPU time."""
    with setting.server(contestant, "echo") as server:
        ask(server.port, _WARM_UP)
        before = server.snapshot()
        made = ask(server.port, settings.load_seconds)
        after = server.snapshot()
    if made["wrong"] or not made["answered"]:
        raise Failed(f"{contestant!r} answered {made['answered']} requests rightly, {made['wrong']} wrongly")
    cpu = max(_LEAST, after["cpu_seconds"] - before["cpu_seconds"])
    return made, {
        "per_cpu_second": made["answered"] / cpu,
        "lost": made["sent"] - made["answered"],
        "busy": min(1.0, cpu / settings.load_seconds),
        "p50": made["p50"],
        "p99": made["p99"],
    }


def echo(setting: Setting, contestant: str, settings: Settings) -> Sample:
    """Measures the right answers per CPU-second of the server, and the round trip as the client sees it."""
    _, sample = _asked(setting, partial(load.echo, outstanding=64, in_c=setting.in_c), contestant, settings)
    return {**sample, "value": sample["per_cpu_second"]}


def latency(setting: Setting, contestant: str, settings: Settings) -> Sample:
    """Measures the round trip of one request at a time."""
    _, sample = _asked(setting, partial(load.echo, outstanding=1, in_c=setting.in_c), contestant, settings)
    return {**sample, "value": sample["p50"]}


def open_loop(setting: Setting, contestant: str, settings: Settings) -> Sample:
    """Measures the round trips of requests that leave on schedule."""
    made, sample = _asked(setting, partial(load.open_loop, rate=RATE, in_c=setting.in_c), contestant, settings)
    loss = (made["sent"] - made["answered"]) / made["sent"]
    return {**sample, "value": sample["p50"], "p99.9": made["p99.9"], "loss": loss, "behind": made["behind"]}


_PACKETS = "packets handled per CPU-second of the server"
_RATIOS = ("asyncio", "uvloop", "C recvmmsg")
_FLOODED = ("handled", "dropped", "busy")


def benchmarks(commands: Mapping[str, str] | None = None) -> tuple[Benchmark, ...]:
    """Returns all UDP benchmarks. commands: servers that are given as a command line, by their names."""
    setting = Setting(commands=commands or {})
    added = tuple(setting.commands)
    joined = tuple(
        Benchmark(
            name=f"udp-gso-{size}",
            title=f"UDP receive: a flood of {size}-byte packets, joined for servers that ask for it (UDP_GRO)",
            unit=_PACKETS,
            contestants=_GSO,
            run=partial(flood, setting, Flood(size=size), False),
            extras=_FLOODED,
            baselines=("uvloop", "C recvmmsg"),
            needs_c=True,
        )
        for size in (64, 1200)
    )
    return (
        Benchmark(
            name="udp-flood",
            title=f"UDP receive: a flood of {load.SIZE}-byte packets, one by one, into a handler that counts",
            unit=_PACKETS,
            contestants=_FLOOD + added,
            run=partial(flood, setting, Flood(), True),
            extras=_FLOODED,
            baselines=_RATIOS,
        ),
        Benchmark(
            name="udp-flood-single",
            title="UDP receive: the same from a sender that is not always faster than the server",
            unit=_PACKETS,
            contestants=_SINGLE + added,
            run=partial(flood, setting, Flood(segmented=False), False),
            extras=_FLOODED,
            baselines=_RATIOS,
        ),
        Benchmark(
            name="udp-sources",
            title=f"UDP receive: a flood of {load.SIZE}-byte packets from {SOURCES} addresses in turn",
            unit=_PACKETS,
            contestants=_SOURCES + tuple(f"{name}, {SOURCES} sources" for name in added),
            run=partial(sources, setting),
            extras=_FLOODED,
            baselines=("homing, 1 source",),
            needs_c=True,
        ),
        *joined,
        Benchmark(
            name="udp-echo",
            title=f"UDP echo: 64 requests of {load.SIZE} bytes outstanding",
            unit="right answers per CPU-second of the server",
            contestants=_ECHO + added,
            run=partial(echo, setting),
            extras=("lost", "busy", "p50", "p99"),
            baselines=_RATIOS,
        ),
        Benchmark(
            name="udp-latency",
            title=f"UDP echo: one request of {load.SIZE} bytes at a time",
            unit="microseconds from request to answer (median)",
            contestants=_ECHO + added,
            run=partial(latency, setting),
            extras=("p99", "lost", "per_cpu_second"),
            baselines=_RATIOS,
            lower_is_better=True,
        ),
        Benchmark(
            name="udp-openloop",
            title=f"UDP echo: {RATE:,} requests of {load.SIZE} bytes a second, on schedule",
            unit="microseconds from when a request was to leave, to its answer (median)",
            contestants=_ECHO + added,
            run=partial(open_loop, setting),
            extras=("p99", "p99.9", "loss", "behind", "busy"),
            baselines=_RATIOS,
            lower_is_better=True,
        ),
    )
