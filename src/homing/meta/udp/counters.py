"""What is counted of a UDP socket, and of several together."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Protocol

from ...datagram import Endpoint, Statistics
from ...gen import Target
from ..udp_server.protection import protection_counters


class Reading(Protocol):
    """What reads the socket: of a server `Incoming`."""

    delivered: int
    dropped: int
    dropped_newest: int
    dropped_oldest: int
    pauses: int

    @property
    def receiver(self) -> Target: ...
    def waiting_for(self) -> str: ...
    def readable(self) -> None: ...
    def resume(self) -> None: ...
    def redirect(self, to: Target) -> None: ...
    def drain(self) -> None: ...
    def close(self) -> None: ...


def count(endpoint: Endpoint, incoming: Reading | None) -> dict[str, Any]:
    """The fields of `Statistics`; those that no one socket has are 0."""
    backend = endpoint.backend
    return {
        "packets_in": backend.packets_in + endpoint.admission.refused,
        "bytes_in": backend.bytes_in,
        "receive_waiting": backend.waiting,
        "delivered": incoming.delivered if incoming is not None else 0,
        "dropped_no_receiver": incoming.dropped if incoming is not None else 0,
        "dropped_newest": incoming.dropped_newest if incoming is not None else 0,
        "dropped_oldest": incoming.dropped_oldest if incoming is not None else 0,
        "truncated": backend.truncated,
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
        "pauses": incoming.pauses if incoming is not None else 0,
        **protection_counters(endpoint),
    }


def add(one: Statistics, other: Statistics) -> Statistics:
    """The counters of two sockets together."""
    names = [field.name for field in fields(one)]
    return Statistics(**{name: _sum(getattr(one, name), getattr(other, name)) for name in names})


def _sum(one: Any, other: Any) -> Any:
    if isinstance(one, dict):
        return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}
    return None if one is None or other is None else one + other
