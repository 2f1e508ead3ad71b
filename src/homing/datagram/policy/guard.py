"""The reply guard: limits the answers to each peer by their number, and by the bytes received from the peer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..address import Address
from ..message import MessageUDP
from .limits import ReplyGuard, clock_of

_HEADERS = 28
"""Bytes of the IPv4 and UDP headers of a packet. They count, so that an empty datagram can be answered with some
bytes."""

_ROUNDING = 1e-6  # tolerance in answers: times are floating-point numbers


class Guard:
    """The peers of one socket, by address and port.

    refused: number of answers that were not sent.
    """

    __slots__ = ("_clock", "_options", "_peers", "refused")

    def __init__(self) -> None:
        self.refused = 0
        self._options: ReplyGuard | None = None
        self._peers: dict[Any, _Peer] = {}
        self._clock: Callable[[], float] = _no_time

    @property
    def active(self) -> bool:
        """False if every answer passes."""
        return self._options is not None

    def apply(self, options: ReplyGuard | None) -> None:
        """Applies `options` from now on; None: every answer passes. Peers stay known, because their requests may still
        be unanswered."""
        if options == self._options:
            return  # the restart of a crashed owner gives no peer a new burst
        self._options = options
        if options is None:
            self._peers.clear()
            return
        self._clock = clock_of(options)
        for peer in self._peers.values():
            peer.full_at = float("-inf")

    def heard(self, address: Address, size: int) -> None:
        """Records a datagram of `size` bytes that came from `address`."""
        options = self._options
        if options is None:
            return
        peer = self._peers.pop(address, None)
        if peer is None:
            peer = _Peer()
            if len(self._peers) >= options.capacity:
                del self._peers[next(iter(self._peers))]
        self._peers[address] = peer  # now the last to be forgotten
        peer.bytes += options.amplification * (size + _HEADERS)

    def admits(self, message: MessageUDP) -> bool:
        """Returns True if this datagram may be sent; it is then counted as sent to its peer."""
        options = self._options
        if options is None:
            return True
        try:
            peer, size = self._peers.get(message.addr), memoryview(message.data).nbytes + _HEADERS
        except (TypeError, ValueError):
            return True  # an invalid address or invalid data: the backend raises the error
        now = self._clock() * options.rate
        if peer is None or size > peer.bytes or max(peer.full_at, now) + 1 > now + options.burst + _ROUNDING:
            self.refused += 1
            return False
        peer.bytes -= size
        peer.full_at = max(peer.full_at, now) + 1
        return True


class _Peer:
    """One peer: the bytes that it may still get, and the time at which its bucket of answers is full again, as in
    `limiter`."""

    __slots__ = ("bytes", "full_at")

    def __init__(self) -> None:
        self.bytes = 0.0
        self.full_at = float("-inf")


def _no_time() -> float:
    """A clock for a guard without options, never used."""
    return 0.0
