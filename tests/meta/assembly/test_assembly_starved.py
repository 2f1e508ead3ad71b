"""An allocation fails, at each place in turn: the call raises or not, and the tables are whole afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from homing import meta

from ...starving import failing, needs_starving
from .chunks import ONE, OTHER, assembler, check_account, written

pytestmark = [
    needs_starving,
    pytest.mark.filterwarnings("ignore:Exception ignored in. None"),  # CPython's own, of allocations within a raise
]

PLACES = range(120)
CALLS: dict[str, Callable[[meta.Assembler], Any]] = {
    "a first chunk": lambda subject: subject.add(written(9, 0, 2, b"a"), ("192.0.2.9", 1000), 1.0),
    "another chunk": lambda subject: subject.add(written(1, 1, 3, b"b" * 600), ONE, 1.0),
    "the last chunk": lambda subject: subject.add(written(2, 1, 2, b"b" * 600), ONE, 1.0),
    "a contradiction": lambda subject: subject.add(written(1, 0, 3, b"x"), ONE, 1.0),
    "a chunk that finds no room": lambda subject: subject.add(written(8, 0, 2, b"x"), ONE, 1.0),
    "a chunk that is too large": lambda subject: subject.add(written(1, 1, 3, b"x" * 30_000), ONE, 1.0),
    "the end of all": lambda subject: subject.expire(1000.0),
    "a whole message": lambda subject: subject.add(b"whole", ONE, 1.0),
}


def starved(place: int, call: Callable[[], Any]) -> Any:
    """What a call returns in which one allocation fails; the error if it raises that."""
    with failing(place):
        return call()
    return MemoryError()


@pytest.mark.parametrize("name", CALLS)
def test_after_a_failed_allocation_an_assembler_is_whole_and_counts_right(name: str) -> None:
    failed = 0
    for place in PLACES:
        subject = assembler(most_messages=4, most_bytes=80_000, per_source=0.25 if "large" in name else 1.0)
        for identifier in (1, 2, 3):
            subject.add(written(identifier, 0, 3 if identifier == 1 else 2, b"a"), ONE, 0.0)
        subject.add(written(1, 0, 2, b"a"), OTHER, 0.0)
        found = starved(place, lambda: CALLS[name](subject))  # noqa: B023
        failed += isinstance(found, MemoryError)
        check_account(subject.counters)
        assert [subject.add(written(7, number, 2, b"%d" % number), OTHER, 2.0) for number in range(2)] == [None, b"01"]
        subject.expire(3000.0)
        counters = subject.counters
        assert (counters.open, counters.spoiled, counters.sources, counters.held_bytes) == (0, 0, 0, 0)
        check_account(counters)
    assert failed > 3


@pytest.mark.parametrize("number", [5, 11, 9, 60, 9_000_000])
def test_after_a_failed_allocation_a_dedupe_tells_fresh_from_old(number: int) -> None:
    for place in PLACES:
        subject = meta.Dedupe(key=lambda data, addr: int.from_bytes(data, "big"), window=32)
        for seen in (*range(5), 10):
            subject.fresh(seen.to_bytes(4, "big"), ONE, 0.0)
        data = number.to_bytes(4, "big")
        found = starved(place, lambda: subject.fresh(data, ONE, 0.0))  # noqa: B023
        assert not (found is True and subject.fresh(data, ONE, 0.0))
        seen_before = [subject.fresh(seen.to_bytes(4, "big"), ONE, 0.0) for seen in (*range(5), 10)]
        assert not any(seen_before)
        counts = subject.counters
        assert counts.datagrams == counts.fresh + counts.duplicates + counts.old + counts.jumps + counts.malformed
