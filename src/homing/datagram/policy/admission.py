"""Admission: which datagrams of those that were read become messages."""

from __future__ import annotations

from ..address import Address
from .limiter import Limiter
from .networks import Network, Networks, number_of, parse_networks


class Admission:
    """The sources that one socket hears, and how much of each.

    limiter: how much.
    denied: datagrams of sources that are not heard.
    """

    __slots__ = ("_admitted", "_allow", "_deny", "_four", "_high", "_low", "denied", "limiter")

    def __init__(self) -> None:
        self._allow: Networks | None = None
        self._deny: Networks | None = None
        self.limiter = Limiter()
        self.denied = 0
        self._four, self._high, self._low, self._admitted = False, 0, 0, True

    def hear(self, allow: tuple[Network, ...], deny: tuple[Network, ...]) -> None:
        """From now on hears `allow` alone, if that is not empty, and of them none of `deny`. Raises `BadOption`."""
        admitted, refused = parse_networks("allow", allow), parse_networks("deny", deny)
        self._allow = Networks(admitted) if admitted else None
        self._deny = Networks(refused) if refused else None
        self._forget()

    @property
    def needed(self) -> bool:
        """False: all that comes is heard."""
        return self._allow is not None or self._deny is not None or self.limiter.active

    @property
    def refused(self) -> int:
        """Datagrams that became no message."""
        return self.denied + self.limiter.limited

    def look_at_clock(self) -> None:
        """To be called before `admit`, once for all that came together."""
        if self.limiter.active:
            self.limiter.look_at_clock()

    def admit(self, four: bool, high: int, low: int, count: int) -> int:
        """How many of `count` datagrams of an address pass. Counts the others."""
        if low != self._low or high != self._high or four != self._four:
            self._admitted = self._hears(four, high, low)
            self._four, self._high, self._low = four, high, low
        if not self._admitted:
            self.denied += count
            return 0
        return self.limiter.admit(four, high, low, count) if self.limiter.active else count

    def admits(self, address: Address) -> bool:
        """Whether one datagram of `address` passes. Where it came from nobody knows: it does not."""
        number = number_of(address[0])
        if number is None:
            self.denied += 1
            return False
        self.look_at_clock()
        return self.admit(number[0], number[1], number[2], 1) > 0

    def _hears(self, four: bool, high: int, low: int) -> bool:
        if self._deny is not None and self._deny.contains(four, high, low):
            return False
        return self._allow is None or self._allow.contains(four, high, low)

    def _forget(self) -> None:
        """As if the last one had come from ::, which is no source."""
        self._four, self._high, self._low = False, 0, 0
        self._admitted = self._hears(False, 0, 0)
