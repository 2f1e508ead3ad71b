"""What a fake network tells of its datagrams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..datagram import Address, format_address

Kind: TypeAlias = Literal["sent", "duplicated", "delivered", "lost", "partitioned", "no_receiver", "overflow"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened to a datagram. `str(event)` is one line.

    source, destination: addresses of sender and receiver.
    data: the payload.
    time: by the event loop's clock, in seconds.
    kind: "sent", "duplicated" (a copy was made), or how it ended: "delivered" (into a receive buffer), "lost",
        "partitioned", "no_receiver", "overflow" (the receive buffer was full).
    number: of the datagram among those from `source` to `destination`, from 1. A copy has the same.
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
    """The fate of the datagrams so far. Always
    `sent + duplicated == delivered + lost + partitioned + no_receiver + overflow + in_flight`.

    sent: datagrams given to the network.
    duplicated: copies that it made.
    delivered: datagrams put into a receive buffer.
    lost: lost by chance, or by `lose_if`.
    partitioned: lost by a partition.
    no_receiver: no socket had the address when they arrived.
    overflow: the receive buffer was full.
    in_flight: under way now.
    reordered: of those delivered, how many came after one that was sent later from the same address to the same
        (RFC 4737). Copies do not count.
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
