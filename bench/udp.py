"""Measures a UDP server, on one core, under load that is made on another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from . import load
from .external import External
from .load import Flood
from .memory import resident
from .suite import Failed, Sample, Settings
from .under_test import Server, UnderTest

_WARM_UP = 0.05
"""Seconds of load before the measurement."""

_MOST_ROUNDS = 40

_LEAST = 0.001
"""Least CPU seconds that are counted for a server: a short load may take less than the clock can resolve."""

RATE = 20_000
"""Requests per second of the open loop."""

SOURCES = 1000

PEERS = 10_000
"""Sources of a flood into a server that has a process for each."""

PACES = {"udp-paced-100k": 100_000, "udp-paced-300k": 300_000}
"""Packets per second of the paced sinks."""

SPIN_RATES = {"udp-spin-1k": 1_000, "udp-spin-20k": 20_000, "udp-spin-300k": 300_000}
"""Requests per second of the open loops into servers whose event loop sleeps at once, and whose loop spins first."""

BACKLOG = 500
"""Packets of a backlog: the receive buffer that Linux grants by default has room for them."""


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

    def send(server: UnderTest, seconds: float) -> Sample:
        made = load.flood(server.port, seconds, shape, setting.in_c)
        if shape.segmented and not singly and made["segments"] == 1:
            raise Failed("this system does not send segmented packets (UDP_SEGMENT)")
        return made

    return _sunk(setting, send, singly, contestant, settings)[1]


def _sunk(
    setting: Setting, send: Callable[[UnderTest, float], Sample], singly: bool, contestant: str, settings: Settings
) -> tuple[Sample, Sample]:
    """Returns the result of `send(server, seconds)`, and the figures of a server that counts what it receives."""
    with setting.server(contestant, "count", singly) as server:
        send(server, _WARM_UP)
        before = server.snapshot()
        made = send(server, settings.load_seconds)
        after = server.snapshot()
    packets = server.handled(before, after, made["sent"])
    if packets <= 0:
        raise Failed(f"{contestant!r} handled no packet")
    cpu = max(_LEAST, after["cpu_seconds"] - before["cpu_seconds"])
    return made, {
        "value": packets / cpu,
        "handled": packets,
        "dropped": made["sent"] - packets,
        "busy": min(1.0, cpu / settings.load_seconds),
    }


def paced(setting: Setting, rate: int, contestant: str, settings: Settings) -> Sample:
    """Measures the packets handled per CPU-second of a server that receives `rate` packets a second, each alone."""
    made, sample = _sunk(
        setting, lambda server, seconds: load.paced(server.port, seconds, rate), False, contestant, settings
    )
    return {**sample, "behind": made["behind"]}


def backlog(setting: Setting, contestant: str, settings: Settings) -> Sample:
    """Measures the packets handled per CPU-second of a server whose packets wait for it, `BACKLOG` at a time."""
    _, sample = _sunk(
        setting,
        lambda server, seconds: load.backlog(server.port, seconds, BACKLOG, server.pid),
        False,
        contestant,
        settings,
    )
    return {**sample, "us": 1e6 / sample["value"]}


def sources(setting: Setting, contestant: str, settings: Settings) -> Sample:
    """Measures a flood from as many sources as the contestant's name says after the comma."""
    name, _, number = contestant.rpartition(", ")
    shape = Flood(segmented=False, sources=int(number.split()[0]))
    return flood(setting, shape, False, name, settings)


def peers(setting: Setting, contestant: str, settings: Settings) -> Sample:
    """Measures a flood from `PEERS` sources in turn, and the server's memory for each of them."""
    shape = Flood(segmented=False, sources=PEERS)
    with setting.server(contestant, "count") as server:
        load.flood(server.port, _LEAST, Flood(segmented=False), setting.in_c)
        empty, rounds = resident(server.pid), 0
        while server.snapshot()["packets"] < 10 * PEERS and rounds < _MOST_ROUNDS:  # until all of them are there
            load.flood(server.port, _WARM_UP, shape, setting.in_c)
            rounds += 1
        before = server.snapshot()
        made = load.flood(server.port, settings.load_seconds, shape, setting.in_c)
        after = server.snapshot()
        memory = resident(server.pid) - empty
    packets = server.handled(before, after, made["sent"])
    cpu = max(_LEAST, after["cpu_seconds"] - before["cpu_seconds"])
    return {
        "value": packets / cpu,
        "handled": packets,
        "dropped": made["sent"] - packets,
        "busy": min(1.0, cpu / settings.load_seconds),
        "bytes": memory / PEERS,
    }


def _asked(
    setting: Setting, ask: Callable[[int, float], Sample], contestant: str, settings: Settings, job: str = "echo"
) -> tuple[Sample, Sample]:
    """Returns the result of `ask(port, seconds)`, and the figures that follow from it and the server's CPU time."""
    with setting.server(contestant, job) as server:
        ask(server.port, _WARM_UP)
        before = server.snapshot()
        made = ask(server.port, settings.load_seconds)
        after = server.snapshot()
    if made["wrong"] or not made["answered"]:
        raise Failed(f"{contestant!r} answered {made['answered']} requests rightly, {made['wrong']} wrongly")
    cpu = max(_LEAST, after["cpu_seconds"] - before["cpu_seconds"])
    return made, {
        "value": made["answered"] / cpu,
        "lost": made["sent"] - made["answered"],
        "busy": min(1.0, cpu / settings.load_seconds),
        "us": cpu * 1e6 / made["answered"],
        "idle us": max(0.0, settings.load_seconds - cpu) * 1e6 / made["answered"],
        "p50": made["p50"],
        "p99": made["p99"],
    }


def echo(setting: Setting, outstanding: int, job: str, contestant: str, settings: Settings) -> Sample:
    """Measures the right answers per CPU-second of the server, and the round trip as the client sees it."""
    ask = partial(load.echo, outstanding=outstanding, in_c=setting.in_c)
    return _asked(setting, ask, contestant, settings, job)[1]


def open_loop(setting: Setting, rate: int, contestant: str, settings: Settings) -> Sample:
    """Measures the same with requests that leave on schedule."""
    made, sample = _asked(setting, partial(load.open_loop, rate=rate, in_c=setting.in_c), contestant, settings)
    loss = (made["sent"] - made["answered"]) / made["sent"]
    return {**sample, "p99.9": made["p99.9"], "loss": loss, "behind": made["behind"]}
