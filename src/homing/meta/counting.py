"""What a server counts, over all sockets that it has and had."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ..datagram import Endpoint, Statistics
from .incoming import Incoming
from .protecting import protection_counters


def count(endpoint: Endpoint, incoming: Incoming | None, **of_server: int) -> Statistics:
    """The counters of one socket; those that the server has beside, where they are not given, are 0."""
    backend = endpoint.backend
    return Statistics(
        packets_in=backend.packets_in + endpoint.admission.refused,
        bytes_in=backend.bytes_in,
        receive_waiting=backend.waiting,
        delivered=incoming.delivered if incoming is not None else 0,
        dropped_no_receiver=incoming.dropped if incoming is not None else 0,
        dropped_newest=incoming.dropped_newest if incoming is not None else 0,
        dropped_oldest=incoming.dropped_oldest if incoming is not None else 0,
        truncated=backend.truncated,
        kernel_drops=endpoint.kernel_drops,
        receive_errors=dict(endpoint.receive_errors),
        packets_out=backend.packets_out,
        bytes_out=backend.bytes_out,
        send_errors=dict(endpoint.send_errors),
        send_waiting=endpoint.send_waiting,
        dropped_send_queue=endpoint.dropped_send_queue,
        dropped_send_oldest=endpoint.dropped_send_oldest,
        icmp_errors=dict(endpoint.icmp_errors),
        pauses=incoming.pauses if incoming is not None else 0,
        **{"send_pauses": 0, "dropped_errors": 0, "pool_errors": 0, **of_server},
        **protection_counters(endpoint),
    )


def add(one: Statistics, other: Statistics) -> Statistics:
    """The counters of two sockets together."""
    return Statistics(
        **{field.name: _sum(getattr(one, field.name), getattr(other, field.name)) for field in fields(one)}
    )


def _sum(one: Any, other: Any) -> Any:
    if isinstance(one, dict):
        return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}
    return None if one is None or other is None else one + other
