# cython: boundscheck=False, wraparound=False
"""The limiter: a token bucket for each source, in a table of fixed size.

A bucket is one number, the time at which it will be full again: the "theoretical arrival time" of the generic cell rate
algorithm (GCRA, ITU-T I.371). The unit of time is one datagram at the permitted rate, so a bucket gains one token per
unit. A bucket whose time is past is full, like the bucket of a new source: forgetting it changes nothing.
"""

from __future__ import annotations

import os
from array import array

from ...gen.copying import refuse_copy
from .limits import RateLimit, clock_of
from .networks import Networks, parse_networks

_WAYS = 8
_MASK = (1 << 64) - 1
_WORD = (1 << 32) - 1
_MAPPED = 0xFFFF << 32  # keys of IPv4 are in a range that no IPv6 source can have
_SCATTER = 0xD6E8FEB86659FD93  # the multiplier of Degski's mixer for 64 bits
_FOREVER = 1e300
_ROUNDING = 1e-6  # tolerance in datagrams: times are floating-point numbers


class Limiter:
    """The token buckets of one socket's sources, or of its destinations.

    active: False while no limit applies; all datagrams pass then.
    limited: number of datagrams above the limit, which the caller drops.
    limited_dry_run: number of datagrams above the limit that passed because of a dry run.
    slipped: number of datagrams above the limit that passed because of `slip`.
    evicted: times that a source was forgotten although its bucket was not full. If it grows: raise `capacity`.
    """

    __slots__ = (
        "_burst",
        "_clock",
        "_dry_run",
        "_exempt",
        "_full",
        "_high",
        "_key0",
        "_key1",
        "_key2",
        "_key3",
        "_key4",
        "_limit",
        "_low",
        "_mask4",
        "_mask6_high",
        "_mask6_low",
        "_over",
        "_rate",
        "_sets",
        "_slip",
        "_time",
        "active",
        "evicted",
        "limited",
        "limited_dry_run",
        "slipped",
    )

    __reduce__ = refuse_copy

    def __init__(self) -> None:
        self.active = False
        self._limit: RateLimit | None = None
        self.limited = self.limited_dry_run = self.slipped = self.evicted = 0

    def apply(self, limit: RateLimit | None) -> None:
        """Applies `limit` from now on; None: no limit. A changed limit starts with full buckets for all sources. The
        counters continue."""
        if self.active and limit == self._limit:
            return  # the restart of a crashed owner gives no source a new burst
        if limit is None:
            self.active = False
            self._limit = None
            self._set_table(0)
            return
        exempt = Networks(parse_networks("exempt", limit.exempt))
        clock = clock_of(limit)
        sets = 1 << max(0, (limit.capacity - 1).bit_length() - 3)
        mask6 = (1 << 128) - (1 << (128 - limit.prefix6))
        secret = os.urandom(40)
        self.active = False  # until all is changed: an allocation may run a finalizer that calls `admit`
        self._limit = limit
        self._rate = float(limit.rate)
        self._burst = limit.bucket
        self._slip = limit.slip
        self._dry_run = limit.dry_run
        self._clock = clock
        self._exempt = exempt
        self._mask4 = (1 << 32) - (1 << (32 - limit.prefix4))
        self._mask6_high, self._mask6_low = mask6 >> 64, mask6 & _MASK
        self._set_table(sets)
        self._time = 0.0
        self._key0, self._key1, self._key2, self._key3, self._key4 = (
            int.from_bytes(secret[start : start + 8], "little") for start in range(0, 40, 8)
        )
        self.active = True

    def _set_table(self, sets: int) -> None:
        """Makes an empty table. Call it only while no limit is active."""
        entries = sets * _WAYS
        self._sets = sets
        self._high = array("Q", bytes(8 * entries))
        self._low = array("Q", bytes(8 * entries))
        self._full = array("d", [float("-inf")]) * entries
        self._over = array("I", bytes(4 * entries))

    def look_at_clock(self) -> None:
        """Reads the clock for the following calls of `admit`. An invalid time is ignored."""
        now = self._clock() * self._rate
        if -_FOREVER < now < _FOREVER:
            self._time = now

    def admit(self, four: bool, high: int, low: int, count: int) -> int:
        """Returns how many of `count` datagrams of this address pass. Counts the others."""
        if not self.active:
            return count
        if self._exempt.contains(four, high, low):
            return count
        if four:
            low = _MAPPED | (low & self._mask4)
        else:
            high &= self._mask6_high
            low &= self._mask6_low
        place = self._place(high, low)
        room = self._take(place, count)
        if room == count:
            return count
        if self._dry_run:
            self.limited_dry_run += count - room
            return count
        room += self._slipping(place, count - room)
        self.limited += count - room
        return room

    def _take(self, place: int, count: int) -> int:
        """Takes up to `count` tokens from a bucket. Returns how many it had."""
        start = self._full[place] if self._full[place] > self._time else self._time
        end = self._time + self._burst + _ROUNDING
        if start + count <= end:
            self._full[place] = start + count
            return count
        room = 0 if start + 1 > end else min(count, int(end - start))
        self._full[place] = start + room
        return room

    def _slipping(self, place: int, over: int) -> int:
        """Returns how many of the `over` datagrams above the limit pass because of `slip`."""
        if self._slip == 0:
            return 0
        over += self._over[place]
        self._over[place] = over % self._slip
        self.slipped += over // self._slip
        return over // self._slip

    def _place(self, high: int, low: int) -> int:
        """Returns the place of a source's bucket among 8 places. A new source gets the place of the bucket that is full
        or closest to full."""
        first = self._set(high, low) * _WAYS
        fullest = first
        for place in range(first, first + _WAYS):
            if self._low[place] == low and self._high[place] == high:
                return place
            if self._full[place] < self._full[fullest]:
                fullest = place
        if self._full[fullest] > self._time:
            self.evicted += 1
        self._high[fullest] = high
        self._low[fullest] = low
        self._full[fullest] = self._time
        self._over[fullest] = 0
        return fullest

    def _set(self, high: int, low: int) -> int:
        """Returns the set of a source by a multilinear hash (Lemire and Kaser, "Strongly universal string hashing is
        fast"): without the secret, an attacker cannot choose sources that collide in one set. The two mixing steps
        scatter neighboring addresses."""
        mixed = (
            self._key0
            + self._key1 * (high >> 32)
            + self._key2 * (high & _WORD)
            + self._key3 * (low >> 32)
            + self._key4 * (low & _WORD)
        ) & _MASK
        mixed = (mixed ^ (mixed >> 32)) * _SCATTER & _MASK
        mixed = (mixed ^ (mixed >> 32)) * _SCATTER & _MASK
        return (mixed >> 32) & (self._sets - 1)
