"""The queues of sources beside a plain model of deficit round robin, and their bounds."""

from __future__ import annotations

import sys
from collections import defaultdict, deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homing import gen, meta
from homing.meta.udp.fair import address_key, key_of
from homing.meta.udp.fair_queues import HEADERS, LOSERS, QUANTUM, FairQueues

from ...support import examples

ID: Any = None


def datagram(source: object, size: int, number: int = 0) -> meta.MessageUDP:
    """A datagram of `size` bytes, which its address numbers."""
    return meta.MessageUDP(ID, (f"{source}", number), bytes(size))


class Queues:
    """The queues under test, and what they have dropped."""

    def __init__(self, *, queue: int = 4, most: int = 5, most_cost: int = 1 << 30, oldest: bool = False) -> None:
        self.dropped: list[tuple[str, int]] = []
        self.queues = FairQueues(lambda message, waited: self.dropped.append(message.addr))
        self.queues.limit(queue=queue, most=most, most_cost=most_cost, oldest=oldest, marks=True)

    def take(self, count: int) -> list[tuple[str, int]]:
        messages, holes = self.queues.take(count, sys.maxsize)
        assert all(0 <= hole.place <= len(messages) and hole.missing > 0 for hole in holes)
        self.missing += sum(hole.missing for hole in holes)
        return [message.addr for message in messages]

    missing = 0


class Model:
    """Deficit round robin as in the paper: a list of active sources, of which the first one is served."""

    def __init__(self, queue: int, oldest: bool) -> None:
        self.limit, self.oldest = queue, oldest
        self.active: deque[str] = deque()
        self.waiting: dict[str, deque[tuple[int, tuple[str, int]]]] = defaultdict(deque)
        self.deficit: dict[str, int] = {}
        self.fresh = True
        self.dropped: list[tuple[str, int]] = []

    def add(self, source: str, size: int, addr: tuple[str, int]) -> None:
        queue = self.waiting[source]
        if len(queue) >= self.limit and not self.oldest:
            self.dropped.append(addr)
            return
        if len(queue) >= self.limit:
            self.dropped.append(queue.popleft()[1])
        if not queue and source not in self.active:
            self.active.append(source)
            self.deficit[source] = 0
        queue.append((size + HEADERS, addr))

    def take_one(self) -> tuple[str, int] | None:
        while self.active:
            source = self.active[0]
            if self.fresh:
                self.deficit[source] += QUANTUM
                self.fresh = False
            cost, addr = self.waiting[source][0]
            if cost <= self.deficit[source]:
                self.deficit[source] -= cost
                self.waiting[source].popleft()
                if not self.waiting[source]:
                    self.active.popleft()
                    self.fresh = True
                return addr
            self.active.rotate(-1)
            self.fresh = True
        return None


STEPS = st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0, 10, 700, 1472, 5000, 65507])) | st.integers(1, 6))


@given(STEPS, st.booleans(), st.integers(2, 4))
@settings(max_examples=examples(60, 3000))
def test_they_are_served_as_in_a_plain_model_of_deficit_round_robin(steps: list[Any], oldest: bool, queue: int) -> None:
    queues, model = Queues(queue=queue, oldest=oldest), Model(queue, oldest)
    for number, step in enumerate(steps):
        if isinstance(step, int):
            wanted = [addr for addr in (model.take_one() for _ in range(step)) if addr is not None]
            assert queues.take(step) == wanted
        else:
            source, size = step
            message = datagram(source, size, number)
            queues.queues.add(f"{source}", message)
            model.add(f"{source}", size, message.addr)
        assert queues.dropped == model.dropped
    queues.take(1000)
    assert queues.missing == len(queues.dropped) == queues.queues.dropped
    assert (len(queues.queues), queues.queues.waiting, queues.queues.cost) == (0, 0, 0)


LIMITS = st.tuples(st.integers(1, 3), st.integers(1, 4), st.sampled_from([100, 2000, 70_000]))


@given(STEPS, st.booleans(), LIMITS, LIMITS)
@settings(max_examples=examples(60, 3000))
def test_within_bounds_that_change_each_source_keeps_its_order_and_each_datagram_is_accounted_for(
    steps: list[Any], oldest: bool, first: tuple[int, int, int], then: tuple[int, int, int]
) -> None:
    queue, most, most_cost = first
    queues = Queues(queue=queue, most=most, most_cost=most_cost, oldest=oldest)
    added, taken = 0, []
    for number, step in enumerate(steps):
        if number == len(steps) // 2:
            queue, most, most_cost = then
            queues.queues.limit(queue=queue, most=most, most_cost=most_cost, oldest=oldest, marks=True)
        if isinstance(step, int):
            taken += queues.take(step)
        else:
            queues.queues.add(f"{step[0]}", datagram(step[0], step[1], number))
            added += 1
        assert added == len(taken) + queues.queues.waiting + len(queues.dropped)
    taken += queues.take(1000)
    assert added == len(taken) + len(queues.dropped)
    assert queues.missing == len(queues.dropped) == len({*queues.dropped})
    for source in range(5):
        numbers = [number for host, number in taken if host == f"{source}"]
        assert numbers == sorted(numbers)
    assert (len(queues.queues), queues.queues.cost) == (0, 0)


def test_the_bytes_of_all_are_bounded_at_the_cost_of_the_source_that_has_most() -> None:
    queues = Queues(queue=1000, most_cost=100_000)
    for number in range(1000):
        queues.queues.add("flood", datagram("flood", 1000, number))
        if number % 10 == 0:
            queues.queues.add("quiet", datagram("quiet", 10, number))
    assert queues.queues.cost <= 100_000
    assert {host for host, _ in queues.dropped} == {"flood"}


@pytest.mark.parametrize("sources", [20_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_however_many_sources_there_are_the_table_stays_within_its_bound(sources: int) -> None:
    queues = Queues(queue=64, most=10_000, most_cost=8 << 20)
    for number in range(sources):
        queues.queues.add(number, datagram(number, 10))
        queues.queues.add("flood", datagram("flood", 10))
        assert len(queues.queues) <= 10_000
    assert len(queues.queues.losers) <= LOSERS
    assert queues.queues.waiting + len(queues.dropped) == 2 * sources
    assert queues.queues.clear() > 9_000
    assert (len(queues.queues), queues.queues.waiting) == (0, 0)


def test_the_source_that_loses_most_is_found_among_many_that_lose_little() -> None:
    queues = Queues(queue=1, most=10_000)
    for number in range(2000):
        for source in (number, "flood"):
            queues.queues.add(source, datagram(source, 1))
            queues.queues.add(source, datagram(source, 1))
    worst = max(queues.queues.losers, key=lambda source: queues.queues.losers[source])
    assert worst == "flood"


@pytest.mark.parametrize(
    ("one", "other", "prefixes", "same"),
    [
        ("192.0.2.1", "192.0.2.1", (32, 56), True),
        ("192.0.2.1", "192.0.2.2", (32, 56), False),
        ("192.0.2.1", "192.0.2.2", (24, 56), True),
        ("192.0.3.1", "192.0.2.1", (24, 56), False),
        ("::ffff:192.0.2.1", "192.0.2.9", (24, 56), True),
        ("2001:db8::1", "2001:db8:0:ff::1", (32, 56), True),
        ("2001:db8::1", "2001:db8:0:100::1", (32, 56), False),
        ("fe80::1%lo", "fe80::2", (32, 64), True),
        ("192.0.2.1", "10.1.2.3", (0, 0), True),
    ],
)
def test_addresses_of_one_network_are_one_source(one: str, other: str, prefixes: tuple[int, int], same: bool) -> None:
    first, second = (meta.MessageUDP(ID, (host, port), b"") for host, port in ((one, 1), (other, 2)))
    assert (address_key(first, prefixes) == address_key(second, prefixes)) == same


def test_a_part_of_the_data_is_a_key_and_without_it_the_address_is() -> None:
    long, short = (meta.MessageUDP(ID, ("192.0.2.1", 1), data) for data in (b"abcdefgh!", b"abc"))
    assert key_of(meta.where[0:8], long) == b"abcdefgh"
    assert key_of(meta.where[0:8], short) == "192.0.2.1"


@pytest.mark.parametrize("by", ["port", (24,), (33, 56), (24, 129), (True, 1), (24, 56, 1), None, 5, int])
def test_a_key_that_makes_no_sense_is_refused(by: Any) -> None:
    with pytest.raises(gen.BadOption, match="by"):
        meta.Fair(by=by)


@pytest.mark.parametrize("by", [lambda message: bytes(message.data), lambda message: message.data.decode()])
def test_of_a_long_key_a_hash_is_kept(by: Any) -> None:
    one, same, other = (meta.MessageUDP(ID, ("192.0.2.1", 1), data) for data in (b"a" * 5000, b"a" * 5000, b"b" * 5000))
    key: Any = key_of(by, one)
    assert key == key_of(by, same) != key_of(by, other)
    assert len(key) <= 64
