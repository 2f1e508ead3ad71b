"""A finalizer that uses the object which is at work is refused or served, and spoils nothing."""

from __future__ import annotations

import pytest

from homing import gen, meta

from ...garbage import littered
from .chunks import ONE, OTHER, assembler, check_account, written


@pytest.mark.parametrize("seed", range(3))
def test_finalizers_that_add_and_expire_leave_an_assembler_whole(seed: int) -> None:
    subject = assembler(most_messages=20, most_bytes=60_000)
    outcomes = {"refused": 0, "served": 0}

    def meddle() -> None:
        try:
            subject.add(written(outcomes["served"] % 7, outcomes["served"] % 3, 3, b"x"), OTHER, 0.0)
            subject.expire(0.0)
            outcomes["served"] += 1
        except gen.NotAllowed:
            outcomes["refused"] += 1

    with littered(meddle, seed):
        for number in range(600):
            subject.add(written(number % 50, number // 50 % 3, 3, b"y"), ONE, number / 1000)
    assert min(outcomes.values()) > 0
    check_account(subject.counters)
    subject.expire(1000.0)
    counters = subject.counters
    assert (counters.open, counters.spoiled, counters.sources, counters.held_bytes) == (0, 0, 0, 0)


def test_finalizers_that_ask_leave_a_dedupe_whole() -> None:
    subject = meta.Dedupe(key=lambda data, addr: (addr, data[1]), most_streams=500)
    outcomes = {"refused": 0, "served": 0}

    def meddle() -> None:
        try:
            subject.fresh(b"%c%c" % (outcomes["served"] % 9, outcomes["served"] % 11), ONE, 0.0)
            outcomes["served"] += 1
        except gen.NotAllowed:
            outcomes["refused"] += 1

    with littered(meddle):
        for number in range(2000):
            subject.fresh(b"%c%c" % (number % 7, number % 200), ("192.0.2.3", number), 0.0)
    assert min(outcomes.values()) > 0
    counts = subject.counters
    assert counts.datagrams == counts.fresh + counts.duplicates + counts.old + counts.jumps + counts.malformed
    assert counts.streams <= 500


def test_an_exception_within_a_call_leaves_the_next_one_free() -> None:
    subject = assembler()
    with pytest.raises(gen.BadOption):
        subject.add(b"", ONE, float("nan"))
    assert subject.add(b"next", ONE, 0.0) == b"next"
