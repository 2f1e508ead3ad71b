"""Addresses that have been proven: the message that says so to a server, and the way of `MessageUDP.validated`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..gen.foreign import safe_repr
from .address import DUAL_STACK, canonical_untrusted, check_destination


class AddressValidated:
    """A message to the alias of a UDP server: the peer at `addr` has proven that this is its address, so the limit
    `amplification` does not apply there for a time. `MessageUDP.validated` does the same for a datagram's source.

    addr: host and port, as the socket module writes them: `message.addr`.

    For proofs that come another way than by a datagram of the server: by TCP, or after `Peer.move`.
    Raises `BadAddress` if no datagram can be sent to `addr`.
    """

    addr: Any

    __slots__ = ("addr",)
    __match_args__ = ("addr",)

    def __init__(self, addr: Any) -> None:
        check_destination(DUAL_STACK, addr)
        self.addr = addr

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AddressValidated):
            return NotImplemented
        return canonical_untrusted(self.addr) == canonical_untrusted(other.addr)

    def __hash__(self) -> int:
        return hash(canonical_untrusted(self.addr))

    def __repr__(self) -> str:
        return f"AddressValidated({safe_repr(self.addr)})"


Lift = Callable[[Any, Any], None]


class _Way:
    """lift: tells the server with an alias that an address was validated. None: there are no servers."""

    lift: Lift | None = None


def lift_by(function: Lift) -> None:
    """Makes `function`, of an alias and an address, the way to the servers."""
    _Way.lift = function


def lift(server: Any, address: Any) -> None:
    """Tells the server with the alias `server` that `address` was validated."""
    function = _Way.lift
    if function is not None:
        function(server, address)
