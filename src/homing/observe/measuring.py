"""The request `metrics`: all counters of a node at one moment, summed by what becomes a label.

Sums never go down, also when sockets close or open again: the last counters of a socket that was closed stay in the
sum of its label. Only sockets that open and close between two questions are missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..datagram import Statistics, format_address
from ..gen import Alias, StateInfo
from ..node.processes.meta_process import MetaRunner
from ..node.processes.process import Process
from .cluster_requests import cluster_sums
from .drops import drops
from .dtls_sums import dtls_counters, dtls_gauges, dtls_sums
from .histogram import BOUNDS, Histogram
from .node_requests import node_record
from .per_node import PerNode
from .records import HistogramRecord, MetricsRecord, NameRecord, SocketSums, StateSums
from .sampler import Sampler
from .tcp_requests import totals as tcp_totals

if TYPE_CHECKING:
    from .observer import Observer

MOST_SOCKETS = 200
"""Sockets with a label of their own. Others are summed under `OTHER`: each costs a Prometheus some 20 series."""

MOST_NAMES = 200
"""Registered names with a label of their own."""

OTHER = "other"
CLIENT = "client"
"""The label of all sockets of UDP clients, and of servers whose port the system chose: such ports are ever new."""

MOST_LOOKED_AT = 2000
"""Registered names that are looked at: a millisecond or two. Messages at others are not in the sum of `OTHER`."""

PORTION = 32
"""Sockets that are read before the loop polls."""

COUNTERS = (
    *("packets_in", "bytes_in", "delivered", "packets_out", "bytes_out", "pauses"),
    *("amplification_limited_bytes", "tapped", "tap_missed"),
)
GAUGES = ("receive_buffer", "send_buffer", "receive_waiting", "send_waiting")


@dataclass(slots=True)
class _Known:
    """A socket that was open at the last question. counters: of that moment."""

    meta: MetaRunner
    label: str
    counters: dict[Any, int]


class Totals:
    """The sums of all sockets, by label."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[Any, int]] = {}
        self._known: dict[Alias, _Known] = {}
        self._lock = asyncio.Lock()

    async def add_up(self, metas: Mapping[Alias, MetaRunner]) -> list[SocketSums]:
        """Reads all sockets, and returns the sums."""
        async with self._lock:  # of two readings at once, both would add what is new
            return await self._add_up(metas)

    async def _add_up(self, metas: Mapping[Alias, MetaRunner]) -> list[SocketSums]:
        gauges: dict[str, dict[str, int]] = {}
        for number, meta in enumerate(tuple(metas.values())):
            if number % PORTION == PORTION - 1:
                await asyncio.sleep(0)
            counted = meta.hooks.counters if meta.id in metas else None
            if counted is None:
                continue
            known = self._known.get(meta.id)
            if known is None:
                known = self._known[meta.id] = _Known(meta, self._label(_wanted_label(meta)), {})
            self._add(known, counted)
            summed = gauges.setdefault(known.label, {})
            for name, value in _state(meta, counted).items():
                summed[name] = summed.get(name, 0) + value
        for alias in self._known.keys() - metas.keys():
            known = self._known.pop(alias)
            self._add(known, known.meta.hooks.counters)
        return [_sums(label, sums, gauges.get(label, {})) for label, sums in self._sums.items()]

    def _label(self, wanted: str) -> str:
        if wanted in self._sums or len(self._sums) < MOST_SOCKETS:
            return wanted
        return OTHER

    def _add(self, known: _Known, counted: Statistics | None) -> None:
        """Adds what a socket has counted since the last question, also after its end."""
        now = {} if counted is None else _counters(counted)
        sums = self._sums.setdefault(known.label, {})
        for key, value in now.items():
            sums[key] = sums.get(key, 0) + max(0, value - known.counters.get(key, 0))
        known.counters = now


def _counters(counted: Statistics) -> dict[Any, int]:
    """Returns the counters of a socket; drops under their direction and cause, those of DTLS as in `dtls_sums`."""
    counters: dict[Any, int] = {name: getattr(counted, name) for name in COUNTERS}
    for direction, cause, count in drops(counted):
        counters[direction, cause] = count
    return counters | dtls_counters(counted)


def _wanted_label(meta: MetaRunner) -> str:
    address, options = meta.hooks.socket_address, meta.hooks.options
    fixed = getattr(options, "port", 0) != 0 or getattr(options, "path", None)
    return format_address(address) if fixed and address is not None else CLIENT


def _state(meta: MetaRunner, counted: Statistics) -> dict[str, int]:
    facts = meta.hooks.facts() or {}
    state = {name: int(facts.get(name, 0)) for name in ("receive_buffer", "send_buffer")}
    return (
        state
        | dtls_gauges(counted)
        | {
            "receive_waiting": counted.receive_waiting,
            "send_waiting": counted.send_waiting,
            "sockets": 1,
        }
    )


def _sums(label: str, sums: dict[Any, int], gauges: dict[str, int]) -> SocketSums:
    dropped = [
        {"direction": key[0], "cause": key[1], "count": count}
        for key, count in sums.items()
        if isinstance(key, tuple) and key[0] != "dtls"
    ]
    numbers = {name: sums[name] for name in COUNTERS} | {name: gauges.get(name, 0) for name in (*GAUGES, "sockets")}
    return {"socket": label, "drops": dropped, "dtls": dtls_sums(sums, gauges), **numbers}  # type: ignore[typeddict-item]


# --- the request ------------------------------------------------------------------------------------------


totals = PerNode(lambda node: Totals())
"""The sums of each node."""


async def metrics(observer: Observer, query: dict[str, Any]) -> MetricsRecord:
    """Returns all counters for metrics."""
    sampler = observer.sampler
    sampler.keep()
    names, other = _names(observer)
    return {
        "node": node_record(observer),
        "cluster": cluster_sums(observer.node),
        "sockets": await totals.of(observer.node).add_up(observer.core.metas),
        "tcp": tcp_totals.of(observer.node).add_up(observer.core.metas),
        "names": names,
        "other": other,
        "states": _states(observer),
        "queue_age": _histogram(sampler.queue_age),
        "handling": _histogram(sampler.handling),
    }


def _names(observer: Observer) -> tuple[list[NameRecord], NameRecord | None]:
    """Returns the messages that wait at the first `MOST_NAMES` registered names, and at all others."""
    registered = list(islice(observer.core.registry.names.items(), MOST_LOOKED_AT))
    found = [_name(name, process, observer.sampler) for name, process in registered]
    own = [one for one in found if one["name"] != OTHER]
    named, rest = own[:MOST_NAMES], own[MOST_NAMES:] + [one for one in found if one["name"] == OTHER]
    if not rest:
        return named, None
    waiting, oldest = sum(one["waiting"] for one in rest), max(one["oldest"] for one in rest)
    return named, {"name": OTHER, "waiting": waiting, "oldest": oldest}


def _name(name: str, process: Process, sampler: Sampler) -> NameRecord:
    age = sampler.age(process)
    return {"name": name, "waiting": process.waiting, "oldest": 0.0 if age is None else max(0.0, age.seconds)}


def _states(observer: Observer) -> list[StateSums]:
    """Returns the first `MOST_NAMES` states that are kept under a name."""
    store, now = observer.core.states, observer.core.loop.time()
    slots = [] if store is None else islice(store.named.items(), MOST_NAMES)
    return [_state_sums(name, slot.info(now)) for name, slot in slots]


def _state_sums(name: str, info: StateInfo) -> StateSums:
    return {
        "name": name,
        "dumps": info.dumps,
        "size": info.size,
        "age": round(info.age or 0.0, 3),
        "failures": info.failures,
        "loads": info.loads,
        "discarded": info.discarded,
    }


def _histogram(histogram: Histogram) -> HistogramRecord:
    return {"bounds": list(BOUNDS), "counts": list(histogram.counts), "sum": histogram.sum, "total": histogram.total}
