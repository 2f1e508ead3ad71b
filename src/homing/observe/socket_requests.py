"""The request `sockets`, and the record of a socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ..gen import ProcessID
from ..gen.foreign import class_name
from ..node.processes.meta_process import MetaRunner
from ..node.processes.process import Process
from .drops import Drop, drops, sums
from .fields import table_fields
from .plain import as_json
from .records import DropRecord, DTLSRecord, SocketRecord, Sockets
from .rows import rounded
from .sampler import Sampler
from .selecting import built, contains

if TYPE_CHECKING:
    from .observer import Observer

NUMBERS = (
    *("packets_in", "bytes_in", "packets_out", "bytes_out", "dropped_in", "dropped_out", "delivered", "pauses"),
    *("receive_waiting", "send_waiting", "kernel_waiting", "packets_in_rate", "bytes_in_rate", "packets_out_rate"),
    *("bytes_out_rate", "dropped_in_rate", "dropped_out_rate"),
)
AT_ONCE = 16
"""Records of sockets that are made before the loop polls: each takes some 50 us."""

TEXTS = ("id", "address", "owner", "receiver")

FIELDS = table_fields(TEXTS + NUMBERS)

_BUFFERS = ("receive_buffer", "receive_buffer_asked", "send_buffer", "send_buffer_asked")

_TAKEN = {
    *("process", "backend", "gro", "gso", "reading", "waiting_for", "receive_buffer", "receive_buffer_asked"),
    *("send_buffer", "send_buffer_asked", "packets_in", "bytes_in", "packets_out", "bytes_out", "delivered"),
    *("receive_waiting", "send_waiting", "pauses", "send_pauses", "kernel_waiting", "listener", "local", "peer"),
}
"""Facts that the record has under a name of its own."""


def socket_record(meta: MetaRunner, sampler: Sampler) -> SocketRecord | None:
    """Returns the record of a socket; None if the meta-process has no open socket."""
    counted, facts = meta.hooks.counters, meta.hooks.facts()
    if counted is None or facts is None:
        return None
    dropped_in, dropped_out = sums(counted)
    sample = sampler.socket(meta)
    rates = {} if sample is None else sample.rates
    names = ("packets_in", "bytes_in", "packets_out", "bytes_out", "dropped_in", "dropped_out")
    receiver = meta.hooks.receiver
    return cast(
        SocketRecord,
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
            "receiver_name": name_of(meta, receiver),
            **{name: facts[name] for name in ("backend", "gro", "gso", "reading", "waiting_for")},
            **{name: facts[name] for name in _BUFFERS},
            **{name: getattr(counted, name) for name in ("packets_in", "bytes_in", "packets_out", "bytes_out")},
            "delivered": counted.delivered,
            "receive_waiting": counted.receive_waiting,
            "send_waiting": counted.send_waiting,
            "kernel_waiting": facts["kernel_waiting"],
            "pauses": counted.pauses,
            "send_pauses": counted.send_pauses,
            "drops": [_drop(drop) for drop in drops(counted) if drop.datagrams],
            "dropped_in": dropped_in,
            "dropped_out": dropped_out,
            "dtls": _dtls(facts) if "handshakes_failed" in facts else None,
            **{f"{name}_rate": rounded(rates.get(name)) for name in names},
            "facts": as_json({name: value for name, value in facts.items() if name not in _TAKEN}),
        },
    )


def _dtls(facts: dict[str, Any]) -> DTLSRecord:
    failed = {cause: count for cause, count in facts["handshakes_failed"].items() if count}
    numbers = {name: facts[name] for name in ("sessions", "handshakes_open", "handshakes")}
    return {**numbers, "handshakes_failed": failed}  # type: ignore[typeddict-item]


def _drop(drop: Drop) -> DropRecord:
    return {"direction": drop.direction, "cause": drop.cause, "count": drop.datagrams}


def name_of(meta: MetaRunner, receiver: Any) -> str | None:
    """Returns the registered name of the receiver."""
    if isinstance(receiver, str):
        return receiver
    if isinstance(receiver, ProcessID):
        return receiver.name
    found = meta.core.registry.routes.get(receiver) if receiver is not None else meta.owner
    return found.name if isinstance(found, Process) else None


async def sockets(observer: Observer, query: dict[str, Any]) -> Sockets:
    """Returns a part of the table of UDP sockets."""
    sampler = observer.sampler
    await sampler.ready()
    text, sort = query["filter"].lower(), query["sort"]

    def record(meta: MetaRunner) -> SocketRecord | None:
        found = socket_record(meta, sampler)
        return found if found is None or not text or _contains(meta, found, text) else None

    rows: list[SocketRecord] = await built(list(observer.core.metas.values()), record, AT_ONCE)
    rows.sort(key=lambda row: _key(row, sort), reverse=(sort in NUMBERS) != query["reverse"])
    limit = query["limit"]
    shown = rows[max(0, len(rows) - limit) :] if query["last"] else rows[:limit]
    return {"sockets": shown, "total": len(rows), "more": len(rows) - len(shown)}


def _contains(meta: MetaRunner, row: SocketRecord, text: str) -> bool:
    words = (row["address"], row["peer"], row["behavior"], row["owner_name"], row["receiver_name"])
    return contains(text, words, meta.id, meta.owner.id)


def _key(row: SocketRecord, sort: str) -> Any:
    value = row[sort]  # type: ignore[literal-required]
    return -1.0 if value is None else value
