"""The counters of a UDP socket, and of several together."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

from ...datagram import Endpoint, Statistics
from .reader import Reader

S = TypeVar("S", bound=Statistics)


def count(endpoint: Endpoint, reader: Reader | None) -> dict[str, Any]:
    """Returns the fields of `Statistics`; fields that do not belong to a single socket are 0."""
    backend = endpoint.backend
    waiting = reader.waiting if reader is not None else 0
    left = backend.left + (reader.fresh.left if reader is not None else 0)
    return {
        "packets_in": backend.packets_in + endpoint.admission.refused + backend.left - waiting,
        "bytes_in": backend.bytes_in,
        "receive_waiting": backend.waiting + waiting,
        "delivered": reader.delivered - reader.fresh.withdrawn if reader is not None else 0,
        "dropped_no_receiver": (reader.dropped if reader is not None else 0) + endpoint.lost,
        "dropped_newest": reader.dropped_newest if reader is not None else 0,
        "dropped_oldest": reader.dropped_oldest if reader is not None else 0,
        "expired": reader.fresh.expired if reader is not None else 0,
        "dropped_codel": reader.fresh.controlled if reader is not None else 0,
        "dropped_unfair": reader.fresh.unfair if reader is not None else 0,
        "fair_errors": reader.fresh.fair_errors if reader is not None else 0,
        "conflated": reader.fresh.conflated if reader is not None else 0,
        "conflate_errors": reader.fresh.key_errors if reader is not None else 0,
        "dropped_misrouted": 0,
        "dropped_at_end": left,
        "truncated": backend.truncated,
        "cut_trains": backend.cut_trains,
        "kernel_drops": endpoint.kernel.drops,
        "receive_errors": dict(endpoint.receive_errors),
        "packets_out": backend.packets_out,
        "bytes_out": backend.bytes_out,
        "send_errors": dict(endpoint.send_queue.errors),
        "send_waiting": endpoint.send_queue.waiting,
        "dropped_send_queue": endpoint.send_queue.dropped,
        "dropped_send_oldest": endpoint.send_queue.dropped_oldest,
        "send_pauses": 0,
        "icmp_errors": dict(endpoint.icmp_errors),
        "dropped_errors": 0,
        "pool_errors": 0,
        "pauses": reader.pauses if reader is not None else 0,
        "tapped": 0,
        "tap_missed": 0,
        **_protection(endpoint),
    }


def add(one: S, other: S) -> S:
    """Returns the counters of two sockets together."""
    names = [field.name for field in fields(one)]
    return type(one)(**{name: _sum(getattr(one, name), getattr(other, name)) for name in names})


def _sum(one: Any, other: Any) -> Any:
    if isinstance(one, dict):
        return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}
    return None if one is None or other is None else one + other


def _protection(endpoint: Endpoint) -> dict[str, int]:
    """Returns the counters of datagrams that were denied, limited or delayed: fields of `Statistics`."""
    received, replies = endpoint.admission.limiter, endpoint.send_queue.reply_limit.limiter
    budget = endpoint.budget
    return {
        "filtered": endpoint.admission.filtered,
        "denied": endpoint.admission.denied,
        "limited": received.limited,
        "limited_dry_run": received.limited_dry_run,
        "reply_limited": endpoint.send_queue.reply_limit.refused,
        "reply_limited_dry_run": replies.limited_dry_run,
        "amplification_limited": budget.limited,
        "amplification_limited_bytes": budget.limited_bytes,
        "amplification_limited_dry_run": budget.dry_limited,
        "send_delayed": endpoint.send_queue.delayed,
    }
