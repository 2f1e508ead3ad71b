"""The UDP benchmarks: what each measures, and which contestants take part."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from . import load, udp
from .child import SPINNING, TIMED
from .load import Flood
from .suite import Benchmark
from .udp import BACKLOG, PACES, PEERS, RATE, SOURCES, SPIN_RATES, Setting
from .udp_processes import PROCESSES, processes

_LOOPS = ("homing", "homing on uvloop")
_BARE = ("asyncio", "asyncio 2 KiB reads", "uvloop", "rloop")
_SINGLE = (*_LOOPS, *_BARE, "C recvmmsg")
_HANDLERS = ("homing async handler", "homing pool of 4", "homing buffer pool", "homing batch handler (numpy)")
_FLOOD = (*_LOOPS, *_HANDLERS, *_BARE, "blocking socket", "C recvmmsg")
_ASYNCIO = "homing on asyncio"
_PACED = (*_LOOPS, _ASYNCIO, "homing async handler", *_BARE[1:], "blocking socket", "C recvmmsg")
_ECHO = (*_LOOPS, *_BARE, "blocking socket", "C recvmmsg")
_TIMED = (f"homing{TIMED}", f"uvloop{TIMED}", f"rloop{TIMED}")
_ALONE = (*_LOOPS, _ASYNCIO, "homing async handler", *_BARE, "blocking socket", "C recvmmsg")
_WORK = (*_LOOPS, "homing async handler", "homing pool of 4", *_BARE[1:], "blocking socket")
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

_SPIN = ("homing", f"homing{SPINNING}")

_HANDLED = "packets handled per CPU-second of the server"
_ANSWERED = "right answers per CPU-second of the server"
_RATIOS = ("asyncio", "uvloop", "C recvmmsg")
_FLOODED = ("handled", "dropped", "busy")
_TRIPS = ("busy", "lost", "p50", "p99")


def benchmarks(commands: Mapping[str, str] | None = None) -> tuple[Benchmark, ...]:
    """Returns all UDP benchmarks. commands: servers that are given as a command line, by their names."""
    setting = Setting(commands=commands or {})
    added = tuple(setting.commands)
    return (
        *_sinks(setting, added),
        *_joined(setting),
        *_echoes(setting, added),
        *_spinning(setting),
        *_loaded(setting),
    )


def _sinks(setting: Setting, added: tuple[str, ...]) -> tuple[Benchmark, ...]:
    paced = tuple(
        Benchmark(
            name=name,
            title=f"UDP receive: {rate:,} packets a second on schedule, each in a system call",
            unit=_HANDLED,
            contestants=_PACED + added,
            run=partial(udp.paced, setting, rate),
            extras=(*_FLOODED, "behind"),
            baselines=("uvloop", "C recvmmsg"),
            needs_c=True,
        )
        for name, rate in PACES.items()
    )
    return (
        Benchmark(
            name="udp-flood",
            title=f"UDP receive: a flood of {load.SIZE}-byte packets, one by one, into a handler that counts",
            unit=_HANDLED,
            contestants=_FLOOD + added,
            run=partial(udp.flood, setting, Flood(), True),
            extras=_FLOODED,
            baselines=_RATIOS,
        ),
        Benchmark(
            name="udp-flood-single",
            title="UDP receive: the same from a sender that is not always faster than the server",
            unit=_HANDLED,
            contestants=_SINGLE + added,
            run=partial(udp.flood, setting, Flood(segmented=False), False),
            extras=_FLOODED,
            baselines=_RATIOS,
        ),
        *paced,
        Benchmark(
            name="udp-backlog",
            title=f"UDP receive: {BACKLOG} packets that wait when the server continues",
            unit=_HANDLED,
            contestants=_PACED,
            run=partial(udp.backlog, setting),
            extras=("us", *_FLOODED),
            baselines=("uvloop", "C recvmmsg"),
            needs_c=True,
        ),
        Benchmark(
            name="udp-sources",
            title=f"UDP receive: a flood of {load.SIZE}-byte packets from {SOURCES} addresses in turn",
            unit=_HANDLED,
            contestants=_SOURCES + tuple(f"{name}, {SOURCES} sources" for name in added),
            run=partial(udp.sources, setting),
            extras=_FLOODED,
            baselines=("homing, 1 source", f"uvloop, {SOURCES} sources"),
            needs_c=True,
            minor=True,
        ),
        Benchmark(
            name="udp-peers",
            title=f"UDP receive: a flood of {load.SIZE}-byte packets from {PEERS} peers in turn, and bytes a peer",
            unit=_HANDLED,
            contestants=("homing", "homing peers"),
            run=partial(udp.peers, setting),
            extras=(*_FLOODED, "bytes"),
            baselines=("homing",),
            needs_c=True,
            minor=True,
        ),
    )


def _joined(setting: Setting) -> tuple[Benchmark, ...]:
    return tuple(
        Benchmark(
            name=f"udp-gso-{size}",
            title=f"UDP receive: a flood of {size}-byte packets, joined for servers that ask for it (UDP_GRO)",
            unit=_HANDLED,
            contestants=_GSO,
            run=partial(udp.flood, setting, Flood(size=size), False),
            extras=_FLOODED,
            baselines=("uvloop", "C recvmmsg"),
            needs_c=True,
            minor=True,
        )
        for size in (64, 1200)
    )


def _echoes(setting: Setting, added: tuple[str, ...]) -> tuple[Benchmark, ...]:
    return (
        Benchmark(
            name="udp-echo",
            title=f"UDP echo: 64 requests of {load.SIZE} bytes outstanding",
            unit=_ANSWERED,
            contestants=_ECHO + added,
            run=partial(udp.echo, setting, 64, "echo"),
            extras=_TRIPS,
            baselines=_RATIOS,
        ),
        Benchmark(
            name="udp-latency",
            title=f"UDP echo: one request of {load.SIZE} bytes at a time",
            unit=_ANSWERED,
            contestants=_ALONE + _TIMED + added,
            run=partial(udp.echo, setting, 1, "echo"),
            extras=("us", "idle us", *_TRIPS),
            baselines=_RATIOS,
        ),
        Benchmark(
            name="udp-openloop",
            title=f"UDP echo: {RATE:,} requests of {load.SIZE} bytes a second, on schedule",
            unit=_ANSWERED,
            contestants=_ALONE + _TIMED + added,
            run=partial(udp.open_loop, setting, RATE),
            extras=("us", "busy", "p50", "p99", "p99.9", "loss", "behind"),
            baselines=_RATIOS,
        ),
    )


def _spinning(setting: Setting) -> tuple[Benchmark, ...]:
    return tuple(
        Benchmark(
            name=name,
            title=f"UDP echo: {rate:,} requests a second, on schedule, into an event loop that sleeps at once or spins",
            unit=_ANSWERED,
            contestants=_SPIN,
            run=partial(udp.open_loop, setting, rate),
            extras=("us", "busy", "p50", "p99", "p99.9", "loss", "behind"),
            baselines=_SPIN[:1],
            needs_c=True,
            minor=True,
        )
        for name, rate in SPIN_RATES.items()
    )


def _loaded(setting: Setting) -> tuple[Benchmark, ...]:
    return (
        Benchmark(
            name="udp-work",
            title="UDP echo: 64 requests outstanding, each about 50 microseconds of work for the handler",
            unit=_ANSWERED,
            contestants=_WORK,
            run=partial(udp.echo, setting, 64, "work"),
            extras=("us", *_TRIPS),
            baselines=("uvloop", "blocking socket"),
            minor=True,
        ),
        Benchmark(
            name="udp-processes",
            title=f"UDP receive: a flood from {SOURCES} addresses into `homing run --processes`",
            unit="packets handled per CPU-second of all processes together",
            contestants=PROCESSES,
            run=partial(processes, Flood(segmented=False, sources=SOURCES)),
            extras=("us", *_FLOODED),
            baselines=PROCESSES[:1],
            needs_c=True,
            minor=True,
        ),
        Benchmark(
            name="udp-processes-flood",
            title="UDP receive: the same, from a sender that is faster than all processes together",
            unit="packets handled per CPU-second of all processes together",
            contestants=PROCESSES,
            run=partial(processes, Flood(sources=SOURCES)),
            extras=("us", *_FLOODED),
            baselines=PROCESSES[:1],
            needs_c=True,
            minor=True,
        ),
    )
