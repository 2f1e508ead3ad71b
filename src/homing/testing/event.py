"""Events and counters of the datagrams of a fake network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..datagram import Address, format_address

Kind: TypeAlias = Literal["sent", "duplicated", "delivered", "lost", "partitioned", "no_receiver", "overflow"]


@dataclass(frozen=True, slots=True)
class Event:
    """An event in the life of a datagram. `str(event)` is one line.

    source, destination: addresses of sender and receiver.
    data: the payload.
    time: time by the event loop's clock, in seconds.
    kind: "sent", "duplicated" (a copy was made), or the outcome: "delivered" (into a receive buffer), "lost",
        "partitioned", "no_receiver", "overflow" (the receive buffer was full).
    number: number of the datagram among those from `source` to `destination`, from 1. A copy has the same number.
    """

    time: float
    kind: Kind
    number: int
    source: Address
    destination: Address
    data: bytes

    def __str__(self) -> str:
        way = f"{format_address(self.source)} > {format_address(self.destination)}"
        return f"{self.time:.6f} {self.kind} {way} #{self.number}, {len(self.data)} bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkStatistics:
    """The counters of a fake network. At every moment
    `sent + duplicated == delivered + lost + partitioned + no_receiver + overflow + in_flight`.

    sent: datagrams sent into the network.
    duplicated: copies that the network made.
    delivered: datagrams put into a receive buffer.
    lost: datagrams lost by chance, or by `lose_if`.
    partitioned: datagrams lost by a partition.
    no_receiver: datagrams for which no socket had the address on arrival.
    overflow: datagrams for which the receive buffer was full.
    in_flight: datagrams under way now.
    reordered: delivered datagrams that arrived after one that was sent later between the same two addresses (RFC 4737).
        Copies do not count.
    """

    sent: int
    duplicated: int
    delivered: int
    lost: int
    partitioned: int
    no_receiver: int
    overflow: int
    in_flight: int
    reordered: int
