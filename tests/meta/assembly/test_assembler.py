"""An assembler joins chunks, in any order, and drops what contradicts itself, is late, or is too much."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import tracemalloc
from collections.abc import Iterable
from typing import Any

import pytest

from homing import gen, meta

from ...hostile import Hostile, HostileBytes, HostileError, HostileText
from .chunks import ONE, OTHER, assembler, check_account, read, written


def add_all(subject: meta.Assembler, datagrams: Iterable[bytes], addr: Any = ONE, now: float = 0.0) -> list[Any]:
    return [subject.add(data, addr, now) for data in datagrams]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_chunks_are_joined_in_the_order_of_their_numbers_whatever_order_they_come_in(order: tuple[int, ...]) -> None:
    subject = assembler()
    parts = [written(7, number, 3, b"%d" % number * 5) for number in range(3)]
    found = add_all(subject, [parts[number] for number in order])
    assert found == [None, None, b"000001111122222"]
    check_account(subject.counters)


def test_a_datagram_that_is_whole_is_handed_back_as_it_is() -> None:
    subject = assembler()
    data = b"whole"
    assert subject.add(data, ONE, 0.0) is data
    assert subject.counters.whole == 1


def test_a_message_of_one_chunk_or_of_empty_chunks_is_complete_when_its_chunks_are() -> None:
    assert add_all(assembler(), [written(1, 0, 1, b"alone")]) == [b"alone"]
    assert add_all(assembler(), [written(1, 0, 2, b""), written(1, 1, 2, b"")]) == [None, b""]


def test_messages_of_different_sources_and_ids_do_not_mix() -> None:
    subject = assembler()
    assert subject.add(written(1, 0, 2, b"a"), ONE, 0.0) is None
    assert subject.add(written(1, 1, 2, b"x"), OTHER, 0.0) is None
    assert subject.add(written(2, 1, 2, b"y"), ONE, 0.0) is None
    assert subject.add(written(1, 1, 2, b"b"), ONE, 0.0) == b"ab"


def test_a_payload_in_a_pooled_buffer_is_copied_so_that_the_buffer_may_be_used_again() -> None:
    subject = meta.Assembler(parse=lambda data, addr: meta.Chunk(1, data[0], 2, data[1:]))
    buffer = bytearray(b"\0first")
    subject.add(memoryview(buffer), ONE, 0.0)
    buffer[:] = b"\1again"
    assert subject.add(memoryview(buffer), ONE, 0.0) == b"firstagain"


# --- the time ---------------------------------------------------------------------------------------------


def test_a_trickle_of_chunks_does_not_prolong_the_timeout_which_counts_from_the_first() -> None:
    subject = assembler(timeout=5.0)
    for number in range(9):
        subject.add(written(1, number, 11, b"."), ONE, number * 0.6)
    assert subject.add(written(1, 9, 11, b"."), ONE, 5.0) is None
    assert (subject.counters.expired, subject.counters.opened) == (1, 2)
    check_account(subject.counters)


def test_a_message_lives_until_just_before_its_timeout() -> None:
    subject = assembler(timeout=5.0)
    subject.add(written(1, 0, 2, b"a"), ONE, 10.0)
    assert subject.add(written(1, 1, 2, b"b"), ONE, 14.999) == b"ab"


def test_expire_returns_the_number_of_messages_whose_time_is_over() -> None:
    subject = assembler(timeout=5.0)
    for identifier in range(4):
        subject.add(written(identifier, 0, 2, b"a"), ONE, float(identifier))
    assert [subject.expire(now) for now in (4.9, 5.0, 7.5, 7.5, 100.0)] == [0, 1, 2, 0, 1]
    assert (subject.counters.open, subject.counters.held_bytes, subject.counters.expired) == (0, 0, 4)


def test_a_clock_that_runs_backwards_counts_as_standing_still() -> None:
    subject = assembler(timeout=5.0)
    subject.add(written(1, 0, 2, b"a"), ONE, 100.0)
    subject.add(written(2, 0, 2, b"a"), ONE, 50.0)
    assert subject.expire(104.0) == 0
    assert subject.expire(105.0) == 2


TIMES: dict[str, Any] = {
    "not a number": float("nan"),
    "infinite": float("inf"),
    "text": "1",
    "none": None,
    "true": True,
    "nanoseconds": 1_700_000_000_000_000_000,
    "hostile": Hostile(),
}


@pytest.mark.parametrize("name", TIMES)
def test_a_time_that_cannot_be_is_refused_with_its_name_and_changes_nothing(name: str) -> None:
    now = TIMES[name]
    subject = assembler()
    for call in (lambda: subject.add(b"C", ONE, now), lambda: subject.expire(now)):
        with pytest.raises(gen.BadOption, match="now"):
            call()
    assert subject.add(b"next", ONE, 0.0) == b"next"
    check_account(subject.counters)


# --- contradictions ---------------------------------------------------------------------------------------


def test_repeated_equal_chunks_are_counted_and_change_nothing() -> None:
    subject = assembler()
    first, second = written(1, 0, 2, b"a"), written(1, 1, 2, b"b")
    assert add_all(subject, [first, first, second, second, first]) == [None, None, b"ab", None, None]
    assert (subject.counters.duplicates, subject.counters.opened) == (3, 1)
    check_account(subject.counters)


def test_late_duplicates_of_a_complete_message_open_none_until_the_timeout() -> None:
    subject = assembler(timeout=5.0)
    add_all(subject, [written(1, 0, 1, b"a")])
    assert subject.add(written(1, 0, 1, b"a"), ONE, 4.9) is None
    assert subject.add(written(1, 0, 1, b"a"), ONE, 5.0) == b"a"


def test_an_id_may_be_used_again_for_other_bytes_once_its_message_is_complete() -> None:
    subject = assembler()
    add_all(subject, [written(1, 0, 2, b"a"), written(1, 1, 2, b"b")])
    assert add_all(subject, [written(1, 0, 2, b"c"), written(1, 1, 2, b"d")]) == [None, b"cd"]
    assert add_all(subject, [written(1, 0, 1, b"c")]) == [b"c"]


@pytest.mark.parametrize("liar", [written(1, 0, 3, b"X"), written(1, 1, 4, b"b"), written(1, 0, 4, b"a")])
def test_a_message_that_contradicts_itself_is_dropped_whole_and_its_later_chunks_are_refused(liar: bytes) -> None:
    subject = assembler(timeout=5.0)
    chunks = [written(1, 0, 3, b"a"), liar, written(1, 1, 3, b"b"), written(1, 2, 3, b"c"), written(1, 0, 3, b"a")]
    assert add_all(subject, chunks) == [None] * 5
    counters = subject.counters
    assert (counters.conflicting, counters.refused, counters.open, counters.spoiled) == (1, 4, 0, 1)
    check_account(counters)
    assert subject.expire(5.0) == 0  # it has been counted
    assert subject.counters.spoiled == 0
    assert add_all(subject, chunks[2:], now=6.0) == [None, None, b"abc"]


@pytest.mark.parametrize(("number", "total"), [(0, 0), (1, 1), (2, 1), (0, 1001), (65535, 65535), (1000, 1000)])
def test_a_number_or_a_total_out_of_range_is_counted_and_spoils_nothing(number: int, total: int) -> None:
    subject = assembler()
    subject.add(written(1, 0, 2, b"a"), ONE, 0.0)
    assert subject.add(written(1, number, total, b"x"), ONE, 0.0) is None
    assert subject.counters.out_of_range == 1
    assert subject.add(written(1, 1, 2, b"b"), ONE, 0.0) == b"ab"
    check_account(subject.counters)


@pytest.mark.parametrize(("number", "total"), [(-1, 2), (0, -1), (2**100, 2**101), (0, 2**100)])
def test_numbers_that_no_header_can_have_are_out_of_range_too(number: int, total: int) -> None:
    subject = meta.Assembler(parse=lambda data, addr: meta.Chunk(1, number, total, b"x"))
    assert subject.add(b"", ONE, 0.0) is None
    assert subject.counters.out_of_range == 1


# --- what `parse` may do ----------------------------------------------------------------------------------


def raising(error: Exception) -> Any:
    def parse(data: bytes, addr: Any) -> None:
        raise error

    return parse


RETURNED: dict[str, Any] = {
    "nothing works": Hostile(),
    "bytes, which are four integers": b"\1\0\1\5",
    "too few": (1, 0, 1),
    "too many": (1, 0, 1, b"", b""),
    "true": True,
    "a text": "text",
    "a hostile id": meta.Chunk(Hostile(), 0, 1, b""),
    "an id with its own methods": meta.Chunk(HostileText("id"), 0, 1, b""),
    "a list as id": meta.Chunk([], 0, 1, b""),  # type: ignore[arg-type]
    "a list within the id": meta.Chunk((1, [2]), 0, 1, b""),
    "an id that is not equal to itself": meta.Chunk(float("nan"), 0, 1, b""),  # type: ignore[arg-type]
    "an endless id": meta.Chunk(b"x" * 60_000, 0, 1, b""),
    "an endless tuple as id": meta.Chunk((1,) * 60_000, 0, 1, b""),
    "an id that is deep": meta.Chunk(((((1,),),),), 0, 1, b""),
    "an integer whose hash can be chosen": meta.Chunk(2**200, 0, 1, b""),
    "a number of no kind": meta.Chunk(1, "0", 1, b""),  # type: ignore[arg-type]
    "half a number": meta.Chunk(1, 0.5, 1, b""),  # type: ignore[arg-type]
    "a hostile total": meta.Chunk(1, 0, Hostile(), b""),
    "a text as payload": meta.Chunk(1, 0, 1, "text"),  # type: ignore[arg-type]
    "a length as payload": meta.Chunk(1, 0, 1, 10**9),  # type: ignore[arg-type]
    "a hostile payload": meta.Chunk(1, 0, 1, HostileBytes(b"x")),
}


@pytest.mark.parametrize("name", RETURNED)
def test_anything_that_parse_returns_instead_of_a_chunk_is_counted_as_malformed(name: str) -> None:
    subject = meta.Assembler(parse=lambda data, addr: RETURNED[name])
    assert subject.add(b"data", ONE, 0.0) is None
    assert (subject.counters.malformed, subject.counters.open) == (1, 0)
    check_account(subject.counters)


RAISED = {"plain": ValueError("x"), "hostile": HostileError(), "stop": StopIteration(), "memory": MemoryError()}


@pytest.mark.parametrize("name", RAISED)
def test_an_exception_in_parse_is_counted_as_malformed_and_not_raised(name: str) -> None:
    subject = meta.Assembler(parse=raising(RAISED[name]))
    assert subject.add(b"data", ONE, 0.0) is None
    assert subject.counters.malformed == 1


def test_a_plain_tuple_and_integers_of_other_classes_are_chunks_too() -> None:
    class Number:
        def __index__(self) -> int:
            return 0

    chunk: Any = ((1, "a", None), Number(), 1, bytearray(b"payload"))
    subject = meta.Assembler(parse=lambda data, addr: chunk)
    assert subject.add(b"", ONE, 0.0) == b"payload"


def test_a_parse_that_uses_the_assembler_itself_finds_it_whole() -> None:
    subject: meta.Assembler

    def parse(data: bytes, addr: Any) -> meta.Chunk | None:
        if data.startswith(b"N"):
            assert subject.add(data[1:], addr, 0.0) is None
            return read(data[1:], addr)
        return read(data, addr)

    subject = assembler(parse=parse)
    subject.add(b"N" + written(1, 0, 2, b"a"), ONE, 0.0)
    assert (subject.counters.chunks, subject.counters.duplicates) == (1, 1)


def test_a_datagram_whose_own_methods_raise_is_malformed_and_costs_no_other_message() -> None:
    subject = assembler(parse=lambda data, addr: None if type(data) is HostileBytes else read(data, addr))
    subject.add(written(1, 0, 2, b"a"), ONE, 0.0)
    assert subject.add(HostileBytes(b"x"), ONE, 0.0) is None
    assert subject.counters.malformed == 1
    assert subject.add(written(1, 1, 2, b"b"), ONE, 0.0) == b"ab"


# --- bounds -----------------------------------------------------------------------------------------------


def test_no_more_messages_are_open_than_allowed_however_many_ids_come() -> None:
    subject = assembler(most_messages=10, per_source=1.0)
    for identifier in range(200):
        subject.add(written(identifier, 0, 2, b"a"), ONE, 0.0)
        assert subject.counters.open <= 10
    assert subject.counters.dropped_full == 190
    check_account(subject.counters)


def test_no_more_bytes_are_held_than_allowed_overhead_included() -> None:
    subject = assembler(most_bytes=50_000, most_messages=10_000, per_source=1.0)
    for number in range(2000):
        subject.add(written(number % 250, number // 250, 900, b"x" * 300), ("192.0.2.1", number % 7), 0.0)
        assert subject.counters.held_bytes <= 50_000
    assert subject.counters.dropped_full > 0
    check_account(subject.counters)


def test_a_source_that_holds_its_part_loses_its_own_oldest_message_and_no_one_elses() -> None:
    subject = assembler(most_messages=40, per_source=0.25)
    subject.add(written(0, 0, 2, b"a"), OTHER, 0.0)
    for identifier in range(100):
        subject.add(written(identifier, 0, 2, b"a"), ONE, 0.0)
    assert (subject.counters.dropped_source, subject.counters.dropped_full) == (90, 0)
    assert subject.add(written(0, 1, 2, b"b"), OTHER, 0.0) == b"ab"
    assert subject.add(written(99, 1, 2, b"b"), ONE, 0.0) == b"ab"
    assert subject.add(written(5, 1, 2, b"b"), ONE, 0.0) is None
    check_account(subject.counters)


def test_the_source_with_the_largest_share_pays_when_the_table_is_full() -> None:
    subject = assembler(most_messages=8, per_source=1.0)
    subject.add(written(0, 0, 2, b"a"), OTHER, 0.0)
    for identifier in range(50):
        subject.add(written(identifier, 0, 2, b"a"), ONE, 0.0)
    assert subject.add(written(0, 1, 2, b"b"), OTHER, 0.0) == b"ab"


def test_many_tiny_messages_do_not_push_out_a_large_one_nor_the_reverse() -> None:
    subject = assembler(most_messages=100, most_bytes=1_000_000, per_source=1.0)
    for number in range(4):
        subject.add(written(0, number, 5, b"x" * 60_000), OTHER, 0.0)
    for identifier in range(250):
        subject.add(written(identifier, 0, 2, b"a"), ONE, 0.0)
    assert subject.add(written(0, 4, 5, b"end"), OTHER, 0.0) == b"x" * 240_000 + b"end"
    assert subject.add(written(249, 1, 2, b"b"), ONE, 0.0) == b"ab"
    for number in range(100):
        subject.add(written(number % 5, number // 5, 900, b"x" * 30_000), OTHER, 0.0)
    assert subject.add(written(200, 1, 2, b"b"), ONE, 0.0) == b"ab"
    check_account(subject.counters)


def test_a_message_larger_than_its_source_may_hold_is_dropped_and_spares_the_others() -> None:
    subject = assembler(most_bytes=100_000, per_source=0.25)
    subject.add(written(1, 0, 2, b"a"), ONE, 0.0)
    for number in range(10):
        subject.add(written(2, number, 10, b"x" * 5000), ONE, 0.0)
    counters = subject.counters
    assert (counters.oversized, counters.dropped_source, counters.spoiled) == (1, 0, 1)
    assert subject.add(written(1, 1, 2, b"b"), ONE, 0.0) == b"ab"
    check_account(subject.counters)


def test_the_memory_of_completed_messages_is_bounded_and_gives_way_to_open_ones() -> None:
    subject = assembler(most_messages=10_000, most_bytes=20_000, per_source=1.0)
    for identifier in range(200):
        subject.add(written(identifier, 0, 1, b"a"), ONE, 0.0)
        assert subject.counters.held_bytes <= 20_000
    assert subject.counters.held_bytes > 15_000
    for number in range(5):
        subject.add(written(250, number, 6, b"x" * 3000), ONE, 0.0)
    assert subject.add(written(250, 5, 6, b"end"), ONE, 0.0) == b"x" * 15_000 + b"end"
    small = assembler(most_messages=3)
    add_all(small, [written(identifier, 0, 1, b"a") for identifier in range(4)])
    assert add_all(small, [written(identifier, 0, 1, b"a") for identifier in (3, 0)]) == [None, b"a"]


SHAPES = {
    "one chunk of each source": lambda i: (written(1, 0, 9, b"xy"), (f"10.0.{i >> 8}.{i & 255}", 1000 + i)),
    "long ids": lambda i: (b"%d" % i + b"\0" * 200, (f"10.0.{i >> 8}.{i & 255}", 1000 + i)),
    "many messages of one source": lambda i: (i.to_bytes(8, "big"), ONE),
    "many chunks of one message": lambda i: (written(1, i, 60_000, b"xy"), ONE),
    "six chunks each": lambda i: (written(1, i % 6, 9, b"xy"), ("10.0.0.1", i // 6)),
    "complete messages": lambda i: (b"1" + i.to_bytes(8, "big"), ("10.0.0.1", i)),
}


def shaped(data: bytes, addr: Any) -> meta.Chunk | None:
    if data[:1] == b"C":
        return read(data, addr)
    return meta.Chunk(data, 0, 1 if data[:1] == b"1" else 2, b"xy")


@pytest.mark.parametrize("shape", SHAPES)
def test_held_bytes_is_no_less_than_python_allocates(shape: str) -> None:
    subject = assembler(parse=shaped, most_messages=100_000, most_bytes=2**30, per_source=1.0, most_chunks=60_000)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for i in range(2000):
            subject.add(*SHAPES[shape](i), 0.0)
        gc.collect()
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert used <= subject.counters.held_bytes


def test_memory_stays_within_most_bytes_while_a_full_table_is_flooded() -> None:
    subject = assembler(parse=shaped, most_messages=500, most_bytes=2_000_000, per_source=1.0)
    tracemalloc.start()
    try:
        for i in range(2000):
            subject.add(*SHAPES["one chunk of each source"](i), 0.0)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    check_account(subject.counters)


# --- the rest ---------------------------------------------------------------------------------------------


def test_the_counters_are_a_snapshot_that_inspection_can_return() -> None:
    subject = assembler()
    before = subject.counters
    subject.add(written(1, 0, 2, b"a"), ONE, 0.0)
    assert (before.chunks, subject.counters.chunks) == (0, 1)
    assert dataclasses.asdict(subject.counters)["opened"] == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.chunks = 2  # type: ignore[misc]


def test_its_repr_shows_how_much_it_holds() -> None:
    subject = assembler()
    subject.add(written(1, 0, 2, b"a"), ONE, 0.0)
    assert repr(subject) == f"<Assembler: 1 open, {subject.counters.held_bytes} bytes>"
