"""The reply guard: limits the answers to each peer by their number, and by the bytes received from the peer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...gen.copying import refuse_copy
from ..address import Address
from ..message import MessageUDP
from .limits import ReplyGuard, clock_of

_HEADERS = 28.0
"""Bytes of the IPv4 and UDP headers of a packet. They count, so that an empty datagram can be answered with some
bytes."""

_ROUNDING = 1e-6  # tolerance in answers: times are floating-point numbers


class Guard:
    """The peers of one socket, by address and port.

    refused: number of answers that were not sent.
    counts_bytes: False if the bytes for a peer are limited by a budget instead, see `budget`.
    """

    __slots__ = (
        "_amplification",
        "_burst",
        "_capacity",
        "_clock",
        "_options",
        "_peers",
        "_rate",
        "counts_bytes",
        "refused",
    )

    __reduce__ = refuse_copy

    def __init__(self) -> None:
        self.refused = 0
        self.counts_bytes = True
        self._options: ReplyGuard | None = None
        self._peers: dict[Any, _Peer] = {}
        self._clock: Callable[[], float] = _no_time
        self._rate = self._burst = self._amplification = 0.0
        self._capacity = 0

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
        self._rate, self._burst = options.rate, options.burst
        self._amplification, self._capacity = options.amplification, options.capacity
        for peer in self._peers.values():
            peer.full_at = float("-inf")

    def heard(self, address: Address, size: int) -> None:
        """Records a datagram of `size` bytes that came from `address`."""
        if self._options is None:
            return
        peer = self._peers.pop(address, None)
        if peer is None:
            peer = _Peer()
            if len(self._peers) >= self._capacity:
                del self._peers[next(iter(self._peers))]
        self._peers[address] = peer  # now the last to be forgotten
        peer.bytes += self._amplification * (size + _HEADERS)

    def admits(self, message: MessageUDP) -> bool:
        """Returns True if this datagram may be sent; it is then counted as sent to its peer."""
        if self._options is None:
            return True
        data = message.data
        try:
            peer = self._peers.get(message.addr)
            size = _HEADERS + (len(data) if type(data) is bytes else memoryview(data).nbytes)
        except (TypeError, ValueError):
            return True  # an invalid address or invalid data: the backend raises the error
        now = self._clock() * self._rate
        if not self.counts_bytes:
            size = 0.0
        if peer is None or size > peer.bytes or max(peer.full_at, now) + 1 > now + self._burst + _ROUNDING:
            self.refused += 1
            return False
        peer.bytes -= size
        peer.full_at = max(peer.full_at, now) + 1
        return True


class _Peer:
    """One peer: the bytes that it may still get, and the time at which its bucket of answers is full again, as in
    `limiter`."""

    __slots__ = ("bytes", "full_at")

    __reduce__ = refuse_copy

    def __init__(self) -> None:
        self.bytes = 0.0
        self.full_at = float("-inf")


def _no_time() -> float:
    """A clock for a guard without options, never used."""
    return 0.0
