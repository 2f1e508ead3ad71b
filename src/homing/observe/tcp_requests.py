"""The request `tcp`, the record of a TCP server or client, and their sums for metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from ..gen import Alias
from ..gen.foreign import class_name
from ..node.processes.meta_process import MetaRunner
from .fields import FILTER, LIMIT
from .per_node import PerNode
from .plain import as_json
from .records import TCPRecord, TCPSums, TCPTable
from .selecting import built, contains
from .socket_requests import AT_ONCE, name_of

if TYPE_CHECKING:
    from .observer import Observer

FIELDS = {"limit": LIMIT, "filter": FILTER}

REFUSALS = ("denied", "connect_limited", "refused_full", "refused_per_source", "accept_errors", "handshake_errors")
"""The counters of connections that were refused."""

ENDS = (
    *("closed_by_peer", "closed_here", "reset", "drained", "handed_over", "server_ended", "cut_idle"),
    *("cut_first_byte", "cut_frame_timeout", "cut_too_long", "cut_bad_frame", "cut_slow_reader", "cut_unresponsive"),
)
"""The counters of connections that have ended."""

_SHOWN = (
    *("accepted", "open", "received", "received_bytes", "delivered", "waiting", "sent", "sent_bytes", "pauses"),
    *("waiting_for",),
)
_TAKEN = {*_SHOWN, *REFUSALS, *ENDS, "listener", "local", "peer", "process"}
"""Facts that the record has under a name of its own."""

_GAUGES = ("open", "waiting")
"""Counters that also go down."""

MOST_LABELS = 200
CLIENT, OTHER = "client", "other"
"""Labels of the sums: see `measuring`."""


def tcp_record(meta: MetaRunner) -> TCPRecord | None:
    """Returns the record of a TCP server or client; None for other meta-processes, and before the start."""
    facts = None if meta.hooks.connections is None else meta.hooks.facts()
    if facts is None:
        return None
    return cast(
        TCPRecord,
        {
            "node": meta.id.node,
            "alias": str(meta.id),
            "id": meta.id.id,
            "behavior": class_name(meta.behavior),
            "kind": "server" if "listener" in facts else "client",
            "address": facts.get("listener", facts.get("local", "")),
            "peer": facts.get("peer"),
            "owner": str(meta.owner.id),
            "owner_name": meta.owner.name,
            "receiver": facts["process"],
            "receiver_name": None if meta.hooks.receiver is None else name_of(meta, meta.hooks.receiver),
            **{name: facts[name] for name in _SHOWN},
            "refused": {name: facts[name] for name in REFUSALS if facts[name]},
            "ended": {name: facts[name] for name in ENDS if facts[name]},
            "facts": as_json({name: value for name, value in facts.items() if name not in _TAKEN}),
        },
    )


async def tcp(observer: Observer, query: dict[str, Any]) -> TCPTable:
    """Returns the first TCP servers and clients."""
    text = query["filter"].lower()

    def record(meta: MetaRunner) -> TCPRecord | None:
        found = tcp_record(meta)
        return found if found is None or not text or _contains(meta, found, text) else None

    rows: list[TCPRecord] = await built(list(observer.core.metas.values()), record, AT_ONCE)
    rows.sort(key=lambda row: row["id"])
    shown = rows[: query["limit"]]
    return {"tcp": shown, "total": len(rows), "more": len(rows) - len(shown)}


def _contains(meta: MetaRunner, row: TCPRecord, text: str) -> bool:
    words = (row["address"], row["peer"], row["behavior"], row["owner_name"], row["receiver_name"])
    return contains(text, words, meta.id, meta.owner.id)


class TCPTotals:
    """The sums of all TCP servers and clients, by label. They never go down, except for the gauges."""

    def __init__(self) -> None:
        self._ended: dict[str, dict[str, int]] = {}
        self._known: dict[Alias, tuple[MetaRunner, str]] = {}
        self._labels: set[str] = set()

    def add_up(self, metas: Mapping[Alias, MetaRunner]) -> list[TCPSums]:
        """Reads all counters, and returns the sums."""
        for meta in metas.values():
            if meta.id not in self._known and meta.hooks.connections is not None:
                self._known[meta.id] = (meta, self._label(meta))
        for alias in self._known.keys() - metas.keys():
            meta, label = self._known.pop(alias)
            _add(self._ended.setdefault(label, {}), asdict(meta.hooks.connections), ended=True)
        sums = {label: counters.copy() for label, counters in self._ended.items()}
        for meta, label in self._known.values():
            _add(sums.setdefault(label, {}), asdict(meta.hooks.connections), ended=False)
        return [_sums(label, counters) for label, counters in sums.items()]

    def _label(self, meta: MetaRunner) -> str:
        facts = meta.hooks.facts() or {}
        label = facts.get("listener", CLIENT) if getattr(meta.hooks.options, "port", 0) else CLIENT
        if label not in self._labels and len(self._labels) >= MOST_LABELS:
            return OTHER
        self._labels.add(label)
        return label


def _add(sums: dict[str, int], counters: dict[str, int], *, ended: bool) -> None:
    for name, value in counters.items():
        sums[name] = sums.get(name, 0) + (0 if ended and name in _GAUGES else value)


def _sums(label: str, counters: dict[str, int]) -> TCPSums:
    refused, ended = ({name: counters.pop(name) for name in names} for names in (REFUSALS, ENDS))
    return {"socket": label, "counters": counters, "refused": refused, "ended": ended}


totals = PerNode(lambda node: TCPTotals())
"""The sums of each node."""
