"""Admission: decides which received datagrams become messages."""

from __future__ import annotations

from typing import Any

from ...gen.copying import refuse_copy
from ..address import Address
from .conditions import Datagram
from .limiter import Limiter
from .networks import Network, Networks, number_of, parse_networks


class Admission:
    """Admits datagrams of one socket by a condition, by their source and its rate.

    verdict: of the condition, as the backend evaluates it; None: there is none, or the kernel evaluates it.
    limiter: limits the rate of each source.
    filtered: number of datagrams that did not meet the condition.
    denied: number of datagrams from sources that are not allowed.
    """

    __slots__ = ("_admitted", "_allow", "_deny", "_four", "_high", "_low", "denied", "filtered", "limiter", "verdict")

    __reduce__ = refuse_copy

    def __init__(self) -> None:
        self._allow: Networks | None = None
        self._deny: Networks | None = None
        self.limiter = Limiter()
        self.verdict: Any = None
        self.filtered = self.denied = 0
        self._four, self._high, self._low, self._admitted = False, 0, 0, True

    def set_sources(self, allow: tuple[Network, ...], deny: tuple[Network, ...]) -> None:
        """Admits from now on only sources in `allow`, if that is not empty, and none in `deny`. Raises `BadOption`."""
        admitted, refused = parse_networks("allow", allow), parse_networks("deny", deny)
        self._allow = Networks(admitted) if admitted else None
        self._deny = Networks(refused) if refused else None
        self._forget()

    @property
    def needed(self) -> bool:
        """False if every datagram is admitted."""
        return self.verdict is not None or self._allow is not None or self._deny is not None or self.limiter.active

    @property
    def refused(self) -> int:
        """Number of datagrams that did not become messages."""
        return self.filtered + self.denied + self.limiter.limited

    def look_at_clock(self) -> None:
        """Reads the clock. Call it before `admit`, once for all datagrams that came together."""
        if self.limiter.active:
            self.limiter.look_at_clock()

    def admit(self, four: bool, high: int, low: int, count: int) -> int:
        """Returns how many of `count` datagrams from an address are admitted. Counts the others."""
        if low != self._low or high != self._high or four != self._four:
            self._admitted = self._allows(four, high, low)
            self._four, self._high, self._low = four, high, low
        if not self._admitted:
            self.denied += count
            return 0
        return self.limiter.admit(four, high, low, count) if self.limiter.active else count

    def admits(self, address: Address, data: memoryview) -> bool:
        """Returns True if one datagram from `address` is admitted. An address that is not numeric is admitted by a
        condition at most."""
        host, port = (address[0], address[1]) if isinstance(address, tuple) else ("", 0)  # that of a Unix socket
        number = number_of(host)
        if self.verdict is not None:
            if not self.verdict.passes(Datagram(data, number, port)):
                self.filtered += 1
                return False
            if self._allow is None and self._deny is None and not self.limiter.active:
                return True
        if number is None:
            self.denied += 1
            return False
        self.look_at_clock()
        return self.admit(number[0], number[1], number[2], 1) > 0

    def _allows(self, four: bool, high: int, low: int) -> bool:
        if self._deny is not None and self._deny.contains(four, high, low):
            return False
        return self._allow is None or self._allow.contains(four, high, low)

    def _forget(self) -> None:
        """Resets the cached source to ::, from which no datagram comes."""
        self._four, self._high, self._low = False, 0, 0
        self._admitted = self._allows(False, 0, 0)
