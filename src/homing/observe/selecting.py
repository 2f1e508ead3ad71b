"""Selects the first rows of a large table, in portions: the table is never sorted as a whole, nor in one step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from ..gen import PID, Alias
from .sampler import portions

T = TypeVar("T")

PORTION = 256
"""Rows that are looked at before the loop polls: about half a millisecond."""

BUILT = 64
"""Records that are made before the loop polls: about as long."""


async def select(
    items: Iterable[T],
    key: Callable[[T], Any] | None,
    *,
    matches: Callable[[T], bool],
    limit: int,
    descending: bool = False,
    last: bool = False,
) -> tuple[list[T], int]:
    """Returns the first `limit` of the items that match, or the last, in their order; and how many match. Items with
    equal keys keep their order.

    key: returns values that can be compared. None: the order of `items`.
    """
    rows = list(items)
    best: list[
        tuple[Any, int]
    ] = []  # without the rows: tuples with objects in them would make full garbage collections
    total = 0
    for places in portions(range(len(rows)), PORTION):
        for place in places:
            row = rows[place]
            if matches(row):
                total += 1
                best.append((0 if key is None else key(row), -place if descending else place))
        best.sort(reverse=descending)  # quick: all but the last portion is in order already
        if last:
            del best[: max(0, len(best) - limit)]
        else:
            del best[limit:]
        await asyncio.sleep(0)
    return [rows[abs(place)] for _, place in best], total


def contains(text: str, words: Iterable[str | None], *addresses: PID | Alias) -> bool:
    """Returns True if a filter, in lower case, is in one of the words, in either case, or in the number of an address.
    The whole address counts only if the filter looks like one: otherwise the node's name would be in every row."""
    if any(word is not None and text in word.lower() for word in words):
        return True
    return any(text in (str(address).lower() if "<" in text else str(address.id)) for address in addresses)


async def built(items: list[T], build: Callable[[T], Any], at_once: int = BUILT) -> list[Any]:
    """Returns `build(item)` of each item, without those that are None. at_once: items between two polls of the loop."""
    records: list[Any] = []
    for portion in portions(items, at_once):
        records += [record for item in portion if (record := build(item)) is not None]
        await asyncio.sleep(0)
    return records
