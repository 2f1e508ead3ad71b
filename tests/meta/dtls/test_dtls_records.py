"""Records as they are on the wire: whatever the bytes, they are read or refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.meta.dtls.records import Numbers, Window, datagrams_of, hello_random_untrusted, read_untrusted

from .flights import Flights


def record(kind: int = 23, epoch: int = 1, sequence: int = 5, fragment: bytes = b"abc", version: int = 0xFEFD) -> bytes:
    numbers = struct.pack("!H", epoch) + sequence.to_bytes(6, "big")
    return struct.pack("!BH", kind, version) + numbers + struct.pack("!H", len(fragment)) + fragment


def test_a_datagram_is_read_up_to_the_first_thing_that_is_no_record() -> None:
    one, other = record(22, 0, 7), record(20, 1, 8, b"")
    found = read_untrusted(one + other + b"rest")
    assert found is not None
    assert found == (len(one + other), [22, 20], 0, 7)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x17", record()[:-1], record()[:13], record(kind=19), record(kind=24), record(version=0x0303)],
)
def test_what_begins_with_no_whole_record_is_none(data: bytes) -> None:
    assert read_untrusted(data) is None


@given(st.binary(max_size=200))
def test_nothing_is_raised_whatever_the_bytes(data: bytes) -> None:
    found = read_untrusted(data)
    assert found is None or 13 <= found.size <= len(data)
    hello_random_untrusted(data)


@given(st.integers(0, 250), st.binary(min_size=1, max_size=4))
def test_a_damaged_hello_raises_nothing(place: int, bytes_: bytes) -> None:
    hello = Flights().hello()
    damaged = hello[:place] + bytes_ + hello[place + len(bytes_) :]
    read_untrusted(damaged)
    hello_random_untrusted(damaged[: place + 1])
    hello_random_untrusted(damaged)


def test_the_random_of_a_hello_is_the_same_in_the_hello_with_the_cookie() -> None:
    hello = Flights().hello()
    random = hello_random_untrusted(hello)
    assert random is not None
    assert random in hello
    assert hello_random_untrusted(record(22, 0, 0, bytes(100))) is None
    assert hello_random_untrusted(hello[:58]) is None


@given(st.lists(st.integers(0, 400), max_size=20), st.integers(228, 1500))
def test_written_records_are_divided_into_datagrams_of_whole_records(sizes: list[int], mtu: int) -> None:
    records = [record(22, 0, number, bytes(size)) for number, size in enumerate(sizes)]
    datagrams = datagrams_of(b"".join(records), mtu)
    assert b"".join(datagrams) == b"".join(records)
    for each in datagrams:
        found = read_untrusted(each)
        assert found is not None
        assert found.size == len(each)
        assert len(each) <= mtu or len(found.kinds) == 1


def test_records_that_are_sent_again_have_new_numbers_unless_they_are_protected() -> None:
    numbers = Numbers()
    flight = record(22, 0, 3) + record(20, 0, 4) + record(22, 1, 0)
    assert numbers.renew(flight) == flight
    again = numbers.renew(flight)
    assert again == record(22, 0, 5) + record(20, 0, 6) + record(22, 1, 0)
    assert numbers.renew(record(22, 0, 9)) == record(22, 0, 9)
    assert numbers.renew(b"") == b""


@given(st.lists(st.integers(0, 200), max_size=100))
def test_a_window_knows_the_numbers_that_have_come(numbers: list[int]) -> None:
    window, seen, newest = Window(), set[int](), -1
    for number in numbers:
        old = number <= newest - Window.SIZE
        assert window.has(1, number) == (old or number in seen)
        window.note(1, number)
        seen.add(number)
        newest = max(newest, number)
    assert window.has(0, 5) == bool(numbers)
    assert not window.has(2, 5)
