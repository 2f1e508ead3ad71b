"""A datagram is fresh once; duplicates, old numbers and far jumps are counted and refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import pytest

from homing import meta

from ...hostile import Hostile, HostileError, HostileText
from .chunks import ONE, OTHER


def number_of(data: bytes, addr: Any) -> int:
    return int.from_bytes(data, "big")


def dedupe(**options: Any) -> meta.Dedupe:
    return meta.Dedupe(**{"key": number_of, "window": 64, **options})


def ask(subject: meta.Dedupe, numbers: Iterable[int], now: float = 0.0, addr: Any = ONE) -> list[bool]:
    """Whether each of these numbers is fresh."""
    return [subject.fresh(number.to_bytes(8, "big"), addr, now) for number in numbers]


def check_account(subject: meta.Dedupe) -> None:
    counts = subject.counters
    assert counts.datagrams == counts.fresh + counts.duplicates + counts.old + counts.jumps + counts.malformed


def test_a_number_is_fresh_once() -> None:
    subject = dedupe()
    assert ask(subject, [1, 2, 2, 3, 1, 3]) == [True, True, False, True, False, False]
    assert (subject.counters.fresh, subject.counters.duplicates) == (3, 3)
    check_account(subject)


def test_late_numbers_within_the_window_are_fresh_and_below_it_are_old() -> None:
    subject = dedupe(window=8)
    assert ask(subject, [100, 93, 92, 94, 93]) == [True, True, False, True, False]
    assert (subject.counters.old, subject.counters.duplicates) == (1, 1)
    assert ask(subject, [101, 93, 94]) == [True, False, False]
    assert (subject.counters.old, subject.counters.duplicates) == (2, 2)


@pytest.mark.parametrize("ahead", [1, 7, 8, 9, 100, 30_000])
def test_a_jump_ahead_moves_the_window_and_keeps_of_it_as_much_as_it_still_covers(ahead: int) -> None:
    subject = dedupe(window=8)
    ask(subject, [100, 98])
    assert ask(subject, [100 + ahead, 100 + ahead]) == [True, False]
    assert ask(subject, [99]) == [100 + ahead - 99 < 8]


def test_a_replay_of_all_that_came_finds_nothing_fresh() -> None:
    subject = dedupe()
    assert all(ask(subject, range(1000)))
    assert not any(ask(subject, range(1000)))
    assert (subject.counters.old, subject.counters.duplicates) == (1000 - 64, 64)


def test_each_source_has_its_own_stream_unless_the_key_names_another() -> None:
    subject = dedupe()
    assert ask(subject, [5]) == ask(subject, [5], addr=OTHER) == [True]
    named = dedupe(key=lambda data, addr: (data[0], data[1]))
    assert [named.fresh(bytes(pair), addr, 0.0) for pair, addr in (((1, 5), ONE), ((1, 5), OTHER), ((2, 5), ONE))] == [
        True,
        False,
        True,
    ]


# --- numbers that wrap around -----------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_numbers_that_wrap_around_stay_in_order(bits: int) -> None:
    subject, last = dedupe(bits=bits), 2**bits - 1
    assert ask(subject, [last - 1, last, 0, 1, last, 0, last - 2]) == [True, True, True, True, False, False, True]
    check_account(subject)


def test_a_stream_of_16_bits_passes_once_round_and_round() -> None:
    subject = dedupe(bits=16)
    assert all(ask(subject, (number % 65_536 for number in range(200_000))))


def test_half_of_the_numbers_are_ahead_and_the_middle_one_is_old() -> None:
    """RFC 1982 leaves the order of the middle one open."""
    assert ask(dedupe(bits=8), [0, 127]) == [True, True]
    assert ask(dedupe(bits=8), [0, 128]) == [True, False]


@pytest.mark.parametrize("number", [-1, 65_536, 2**200])
def test_a_number_of_more_bits_is_malformed(number: int) -> None:
    subject = dedupe(bits=16, key=lambda data, addr: number)
    assert ask(subject, [0]) == [False]
    assert subject.counters.malformed == 1


# --- a sender that starts again ---------------------------------------------------------------------------


def test_a_restarted_sender_passes_after_the_silence_with_the_second_number_in_sequence() -> None:
    subject = dedupe(restart=3.0)
    ask(subject, range(5000, 6000), now=10.0)
    assert not any(ask(subject, [0, 1, 2], now=12.9))
    assert ask(subject, [3], now=13.0) == [True]
    assert ask(subject, [4, 4, 5], now=13.0) == [True, False, True]
    assert (subject.counters.restarts, subject.counters.old) == (1, 3)
    check_account(subject)


def test_the_silence_is_not_enough_without_two_numbers_in_sequence() -> None:
    subject = dedupe(restart=3.0)
    ask(subject, range(5000, 6000))
    assert ask(subject, [0, 2, 2, 1, 4, 3], now=20.0) == [False] * 6
    assert ask(subject, [4], now=20.0) == [True]


def test_numbers_elsewhere_are_old_as_long_as_the_stream_goes_on() -> None:
    subject = dedupe(restart=3.0)
    for second in range(50):
        assert ask(subject, [5000 + second, second], now=float(second)) == [True, False]
    assert subject.counters.restarts == 0


def test_without_restart_old_numbers_stay_old_until_the_stream_is_forgotten() -> None:
    subject = dedupe(restart=None, idle=60.0)
    ask(subject, range(5000, 6000))
    assert not any(ask(subject, range(100), now=59.9))
    assert ask(subject, [0], now=60.0) == [True]
    assert (subject.counters.restarts, subject.counters.expired) == (0, 1)


def test_a_sender_that_repeats_its_last_numbers_after_a_while_has_not_restarted() -> None:
    subject = dedupe(window=64, restart=3.0)
    ask(subject, range(10))
    assert not any(ask(subject, range(10), now=30.0))
    assert ask(subject, [10], now=31.0) == [True]


def test_a_far_jump_ahead_must_be_confirmed_so_that_one_damaged_number_spoils_nothing() -> None:
    subject = dedupe(most_jump=1000)
    assert ask(subject, [1, 1001, 5000, 1002, 5001]) == [True, True, False, True, False]
    assert ask(subject, [5002, 5003, 5001]) == [True, True, True]
    assert (subject.counters.jumps, subject.counters.restarts) == (2, 1)
    assert ask(subject, [1003]) == [False]
    check_account(subject)


# --- bounds -----------------------------------------------------------------------------------------------


def test_no_more_streams_are_known_than_allowed_and_the_one_fresh_longest_ago_goes_first() -> None:
    subject = dedupe(most_streams=3)
    for port in (1, 2, 3):
        ask(subject, [1], addr=("10.0.0.1", port))
    ask(subject, [2], addr=("10.0.0.1", 1))
    ask(subject, [1], addr=("10.0.0.1", 3))  # a duplicate keeps nothing alive
    ask(subject, [1, 2], addr=("10.0.0.1", 4))
    assert (subject.counters.streams, subject.counters.evicted) == (3, 1)
    assert ask(subject, [2], addr=("10.0.0.1", 1)) == [False]
    assert ask(subject, [1], addr=("10.0.0.1", 2)) == [True]


def test_endless_streams_are_bounded() -> None:
    subject = dedupe(most_streams=100)
    for port in range(5000):
        ask(subject, [1], addr=("10.0.0.1", port))
    assert (subject.counters.streams, subject.counters.evicted) == (100, 4900)


def test_an_idle_stream_is_forgotten_and_what_is_not_fresh_does_not_keep_it() -> None:
    subject = dedupe(idle=60.0)
    ask(subject, [1], now=0.0)
    ask(subject, [1], now=59.0)
    ask(subject, [1], now=59.0, addr=OTHER)
    assert ask(subject, [1], now=60.0) == [True]
    assert (subject.counters.expired, subject.counters.streams) == (1, 2)


# --- what `key` may do ------------------------------------------------------------------------------------

RETURNED: dict[str, Any] = {
    "none": None,
    "nothing works": Hostile(),
    "text": "5",
    "a fraction": 5.0,
    "bytes": b"12",
    "one": (1,),
    "three": (1, 2, 3),
    "a hostile stream": (Hostile(), 1),
    "a stream with its own methods": (HostileText("x"), 1),
    "an endless stream": (b"x" * 60_000, 1),
    "a list as stream": ([], 1),
    "a hostile number": (b"x", Hostile()),
    "a number below none": -1,
}
RAISED = {"plain": ValueError("x"), "hostile": HostileError(), "stop": StopIteration(), "memory": MemoryError()}


@pytest.mark.parametrize("name", RETURNED)
def test_anything_that_key_returns_instead_of_a_number_is_malformed_and_not_fresh(name: str) -> None:
    subject = dedupe(key=lambda data, addr: RETURNED[name])
    assert subject.fresh(b"", ONE, 0.0) is False
    assert (subject.counters.malformed, subject.counters.streams) == (1, 0)
    check_account(subject)


@pytest.mark.parametrize("name", RAISED)
def test_an_exception_in_key_is_counted_and_not_raised(name: str) -> None:
    def key(data: bytes, addr: Any) -> int:
        raise RAISED[name]

    subject = dedupe(key=key)
    assert subject.fresh(b"", ONE, 0.0) is False
    assert subject.counters.malformed == 1


def test_the_counters_are_a_snapshot_and_its_repr_shows_the_streams() -> None:
    subject = dedupe()
    before = subject.counters
    ask(subject, [1, 1])
    assert (before.fresh, repr(subject)) == (0, "<Dedupe: 1 streams>")
    assert dataclasses.asdict(subject.counters)["duplicates"] == 1
