# cython: boundscheck=False, wraparound=False
"""The address table: counters of many addresses, each with its port, in a table of fixed size.

An address has 8 places, which a keyed hash selects. If all are taken, the row of the lowest rank is forgotten for a new
address. Rows hold whole addresses, so no address ever has another's counters: too many addresses only forget some.
"""

from __future__ import annotations

import os
from array import array

from ...gen.copying import refuse_copy

_WAYS = 8
_MASK = (1 << 64) - 1
_WORD = (1 << 32) - 1
_MAPPED = 0xFFFF << 32  # keys of IPv4 are in a range that no IPv6 source can have
_SCATTER = 0xD6E8FEB86659FD93  # as in `limiter`

ROW = 48
"""Bytes of a row."""


class AddressTable:
    """The rows of one socket's peers.

    An address is (four, high, low) as in `networks`, and `rest`: its port and scope, as `rest_of` returns them.

    capacity: most rows, rounded up to a power of two of at least 8.
    rank: of each row. received, sent: two counters of each row.
    """

    __slots__ = (
        "_high",
        "_key0",
        "_key1",
        "_key2",
        "_key3",
        "_key4",
        "_key5",
        "_key6",
        "_low",
        "_rest",
        "_sets",
        "rank",
        "received",
        "sent",
    )

    __reduce__ = refuse_copy

    def __init__(self, capacity: int) -> None:
        self._sets = 0  # until the arrays are complete
        sets = 1 << max(0, (capacity - 1).bit_length() - 3)
        rows = sets * _WAYS
        self._high, self._low, self._rest = array("Q", bytes(8 * rows)), array("Q", bytes(8 * rows)), _zeros(rows)
        self.received, self.sent = _zeros(rows), _zeros(rows)
        self.rank = array("d", [float("-inf")]) * rows
        secret = os.urandom(56)
        self._key0, self._key1, self._key2, self._key3, self._key4, self._key5, self._key6 = (
            int.from_bytes(secret[start : start + 8], "little") for start in range(0, 56, 8)
        )
        self._sets = sets

    def find(self, four: bool, high: int, low: int, rest: int) -> int:
        """Returns the row of an address, or -1."""
        if self._sets == 0:
            return -1
        if four:
            low |= _MAPPED
        first = self._set(high, low, rest) * _WAYS
        for row in range(first, first + _WAYS):
            if self._low[row] == low and self._rest[row] == rest and self._high[row] == high:
                return row
        return -1

    def row(self, four: bool, high: int, low: int, rest: int) -> int:
        """Returns the row of an address. A new address gets the row of the lowest rank among its places, with counters
        of 0. Returns -1 only while the table is being made."""
        if self._sets == 0:
            return -1
        if four:
            low |= _MAPPED
        first = self._set(high, low, rest) * _WAYS
        lowest = first
        for row in range(first, first + _WAYS):
            if self._low[row] == low and self._rest[row] == rest and self._high[row] == high:
                return row
            if self.rank[row] < self.rank[lowest]:
                lowest = row
        self._high[lowest] = high
        self._low[lowest] = low
        self._rest[lowest] = rest
        self.received[lowest] = self.sent[lowest] = 0
        return lowest

    def rows(self, most: int) -> list[tuple[float, int, int, int, int, int]]:
        """Returns the rows in use, at most `most` of the highest rank, the lowest first: the rank; the address, whose
        `low` needs no `four` any more; and the two counters."""
        ranks = sorted([self.rank[row] for row in range(self._sets * _WAYS) if self._rest[row]])
        least = ranks[len(ranks) - most] if len(ranks) > most else float("-inf")
        found = []
        for row in range(self._sets * _WAYS):
            if self._rest[row] and self.rank[row] >= least:
                address = self._high[row], self._low[row], self._rest[row]
                found.append((self.rank[row], *address, self.received[row], self.sent[row]))
        found.sort()
        return found[max(0, len(found) - most) :]

    def _set(self, high: int, low: int, rest: int) -> int:
        """Returns the set of an address, by the hash of `limiter`, with 32 bits more for each half of `rest`."""
        mixed = (
            self._key0
            + self._key1 * (high >> 32)
            + self._key2 * (high & _WORD)
            + self._key3 * (low >> 32)
            + self._key4 * (low & _WORD)
            + self._key5 * (rest >> 32)
            + self._key6 * (rest & _WORD)
        ) & _MASK
        mixed = (mixed ^ (mixed >> 32)) * _SCATTER & _MASK
        mixed = (mixed ^ (mixed >> 32)) * _SCATTER & _MASK
        return (mixed >> 32) & (self._sets - 1)


def _zeros(rows: int) -> array[int]:
    return array("Q", bytes(8 * rows))


def rest_of(port: int, scope: int) -> int:
    """Returns the port and the scope of an address as one number, never 0: an empty row has 0."""
    return scope << 32 | port << 1 | 1
