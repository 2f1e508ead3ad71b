"""The reply guard: what a peer is answered, by what came from it and by the clock of the test."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homing import gen
from homing.datagram import MessageUDP, ReplyGuard
from homing.datagram.policy.guard import Guard

from ...support import examples
from .test_limiter import Clock

PEER, OTHER = ("192.0.2.1", 7), ("192.0.2.1", 8)
HEADERS = 28


class Guarded:
    """A guard whose clock is the test's."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.guard = Guard()
        self.guard.apply(ReplyGuard(**{"clock": self.clock, "amplification": 1e6, **options}))

    def hear(self, address: Any = PEER, size: int = 100) -> None:
        self.guard.heard(address, size)

    def answer(self, address: Any = PEER, size: int = 100) -> bool:
        return self.guard.admits(MessageUDP(None, address, bytes(size)))


def test_a_peer_has_its_burst_at_once_and_then_its_rate() -> None:
    guarded = Guarded(rate=10, burst=3)
    guarded.hear()
    assert [guarded.answer() for _ in range(4)] == [True, True, True, False]
    guarded.clock.now += 0.1
    assert [guarded.answer() for _ in range(2)] == [True, False]
    assert guarded.guard.refused == 2


def test_another_port_of_the_same_host_is_another_peer() -> None:
    guarded = Guarded(rate=10, burst=1)
    guarded.hear(PEER)
    guarded.hear(OTHER)
    assert guarded.answer(PEER)
    assert guarded.answer(OTHER)
    assert not guarded.answer(PEER)


def test_nothing_goes_where_nothing_came_from() -> None:
    assert not Guarded().answer()


def test_a_peer_gets_no_more_bytes_than_the_amplification_allows() -> None:
    guarded = Guarded(amplification=2)
    guarded.hear(size=72)
    assert not guarded.answer(size=2 * 100 - HEADERS + 1)
    assert guarded.answer(size=2 * 100 - HEADERS)
    assert not guarded.answer(size=0)


def test_an_empty_question_can_be_answered() -> None:
    guarded = Guarded(amplification=3)
    guarded.hear(size=0)
    assert guarded.answer(size=4)


def test_the_peer_heard_longest_ago_is_forgotten_first() -> None:
    guarded = Guarded(capacity=2)
    for address in (PEER, OTHER, PEER, ("192.0.2.3", 7)):
        guarded.hear(address)
    assert guarded.answer(PEER)
    assert not guarded.answer(OTHER)


def test_a_limit_that_is_set_again_gives_no_new_burst_and_another_one_does() -> None:
    guarded = Guarded(rate=10, burst=1)
    guarded.hear()
    assert guarded.answer()
    guarded.guard.apply(ReplyGuard(rate=10, burst=1, amplification=1e6, clock=guarded.clock))
    assert not guarded.answer()
    guarded.guard.apply(ReplyGuard(rate=10, burst=2, amplification=1e6, clock=guarded.clock))
    assert guarded.answer()


@pytest.mark.parametrize(
    "options",
    [
        {"rate": 0},
        {"rate": True},
        {"burst": 0},
        {"amplification": 0},
        {"amplification": True},
        {"amplification": float("nan")},
        {"capacity": 0},
        {"clock": 5},
    ],
)
def test_what_cannot_work_is_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(gen.BadOption) as caught:
        ReplyGuard(**options)
    assert caught.value.option == next(iter(options))


@settings(max_examples=examples(100, 2000))
@given(
    steps=st.lists(st.tuples(st.sampled_from(["hear", "answer", "wait"]), st.integers(0, 3), st.integers(0, 2000))),
    burst=st.integers(1, 5),
)
@pytest.mark.thorough
def test_no_peer_ever_gets_more_than_its_share(steps: list[tuple[str, int, int]], burst: int) -> None:
    guarded = Guarded(rate=10, burst=burst, amplification=3)
    begin = guarded.clock.now
    came, went, answers = [0] * 4, [0] * 4, [0] * 4
    for what, peer, size in steps:
        if what == "hear":
            guarded.hear(("h", peer), size)
            came[peer] += size + HEADERS
        elif what == "wait":
            guarded.clock.now += size / 1000
        elif guarded.answer(("h", peer), size):
            went[peer] += size + HEADERS
            answers[peer] += 1
    elapsed = guarded.clock.now - begin
    for peer in range(4):
        assert went[peer] <= 3 * came[peer]
        assert answers[peer] <= burst + 10 * elapsed + 0.001
