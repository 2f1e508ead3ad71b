"""The amplification budget: what an address gets, by what came from there, by proofs and by the clock of the test."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homing import gen
from homing.datagram import Amplification, MessageUDP, ReplyGuard
from homing.datagram.policy.address_table import AddressTable, rest_of
from homing.datagram.policy.budget import Budget
from homing.datagram.policy.networks import number_of
from homing.datagram.policy.reply_limit import ReplyLimit

from ...support import examples
from .test_limiter import Clock

PEER, OTHER = ("192.0.2.1", 7), ("192.0.2.1", 8)
SIX = ("2001:db8::1", 7, 0, 0)


class Limited:
    """A budget whose clock is the test's, behind the place that all datagrams pass."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.limit = ReplyLimit()
        self.budget: Budget = self.limit.budget
        self.options = Amplification(**{"clock": self.clock, "exempt": (), **options})
        self.limit.apply(None, None, self.options)

    def hear(self, address: Any = PEER, size: int = 100) -> None:
        self.budget.heard_from(address, size)

    def answer(self, address: Any = PEER, size: int = 100) -> bool:
        try:
            self.limit.pass_on(MessageUDP(None, address, bytes(size)))
        except gen.AmplificationLimited:
            return False
        return True


@pytest.mark.parametrize("address", [PEER, SIX, ("fe80::1", 7, 0, 3), ("::ffff:192.0.2.1", 7, 0, 0)])
def test_an_address_gets_k_times_the_bytes_that_came_from_it_and_no_more(address: Any) -> None:
    limited = Limited(factor=3)
    limited.hear(address)
    assert [limited.answer(address) for _ in range(4)] == [True, True, True, False]
    limited.hear(address, 10)
    assert [limited.answer(address, size) for size in (31, 30, 1)] == [False, True, False]
    assert (limited.budget.limited, limited.budget.limited_bytes) == (3, 132)


def test_another_port_or_scope_is_another_address() -> None:
    limited = Limited()
    limited.hear(PEER)
    limited.hear(("fe80::1", 7, 0, 3))
    assert not limited.answer(OTHER)
    assert not limited.answer(("fe80::1", 7, 0, 4))
    assert limited.budget.unknown == 2


def test_an_address_of_ipv4_is_the_same_as_an_ipv6_socket_writes_it() -> None:
    limited = Limited()
    limited.hear(("::ffff:192.0.2.1", 7, 0, 0))
    assert limited.answer(PEER)


def test_an_empty_datagram_allows_no_answer_and_counts_as_a_byte_when_it_is_sent() -> None:
    limited = Limited(factor=3)
    assert not limited.answer(PEER, 0)
    limited.hear(PEER, 0)
    assert not limited.answer(PEER, 0)
    limited.hear(PEER, 1)
    assert [limited.answer(PEER, 0) for _ in range(4)] == [True, True, True, False]


def test_a_fraction_of_a_byte_is_no_byte() -> None:
    limited = Limited(factor=0.5)
    limited.hear(PEER, 3)
    assert not limited.answer(PEER, 2)
    assert limited.answer(PEER, 1)


def test_a_validated_address_gets_everything_for_a_time() -> None:
    limited = Limited(validity=60)
    limited.budget.validate(PEER)
    assert all(limited.answer(PEER, 60_000) for _ in range(100))
    assert not limited.answer(OTHER)
    limited.clock.now += 59.9
    assert limited.answer(PEER, 60_000)
    limited.clock.now += 0.1
    assert not limited.answer(PEER, 60_000)
    limited.budget.validate(PEER)
    limited.clock.now += 30
    limited.budget.validate(PEER)
    limited.clock.now += 59
    assert limited.answer(PEER, 60_000)


def test_what_is_exempt_gets_everything() -> None:
    limited = Limited(exempt=("192.0.2.0/24", "2001:db8::/32"))
    assert limited.answer(PEER, 60_000)
    assert limited.answer(SIX, 60_000)
    assert not limited.answer(("198.51.100.1", 7))


def test_by_default_this_machine_is_exempt() -> None:
    limit = ReplyLimit()
    limit.apply(None, None, Amplification())
    limit.pass_on(MessageUDP(None, ("127.0.0.5", 7), bytes(100)))
    limit.pass_on(MessageUDP(None, ("::1", 7, 0, 0), bytes(100)))
    with pytest.raises(gen.AmplificationLimited, match="validated"):
        limit.pass_on(MessageUDP(None, PEER, bytes(100)))


def test_of_a_guard_and_a_budget_the_budget_counts_the_bytes_and_the_guard_the_answers() -> None:
    limited = Limited(dry_run=False)
    guard = ReplyGuard(burst=3, clock=limited.clock)
    limited.limit.apply(None, guard, limited.options)
    limited.hear()
    limited.limit.guard.heard(PEER, 1)
    limited.budget.validate(PEER)
    assert [limited.limit.guard.admits(MessageUDP(None, PEER, bytes(9000))) for _ in range(4)] == [True] * 3 + [False]
    limited.limit.apply(None, guard, replace(limited.options, dry_run=True))
    limited.clock.now += 60
    assert not limited.limit.guard.admits(MessageUDP(None, PEER, bytes(9000)))


def test_a_dry_run_counts_and_drops_nothing() -> None:
    limited = Limited(dry_run=True)
    limited.hear(PEER, 1)
    assert [limited.answer(PEER, 50) for _ in range(3)] == [True] * 3
    assert (limited.budget.limited, limited.budget.dry_limited, limited.budget.dry_limited_bytes) == (0, 3, 150)


def test_instead_of_a_reply_above_the_budget_a_shorter_one_that_fits_is_sent() -> None:
    limited = Limited(shorten=lambda data: data[:12])
    limited.hear(PEER, 10)
    sent = [limited.limit.pass_on(MessageUDP(None, PEER, bytes(100))).data for _ in range(2)]
    assert sent == [bytes(12)] * 2
    assert not limited.answer(PEER, 100)
    assert (limited.budget.shortened, limited.budget.limited) == (2, 1)


def test_equal_options_forget_nobody_and_others_keep_who_is_known() -> None:
    limited = Limited(factor=3)
    limited.hear(PEER)
    limited.budget.validate(OTHER)
    assert limited.answer(PEER, 300)
    limited.limit.apply(None, None, limited.options)
    assert not limited.answer(PEER, 1)
    limited.limit.apply(None, None, Amplification(factor=4, exempt=(), clock=limited.clock))
    assert limited.answer(PEER, 100)
    assert limited.answer(OTHER, 9000)
    limited.limit.apply(None)
    assert not limited.limit.active
    limited.limit.apply(None, None, limited.options)
    assert not limited.answer(OTHER)


@pytest.mark.parametrize("time", [float("nan"), float("inf"), "noon"])
def test_a_clock_that_fails_makes_every_proof_too_old(time: Any) -> None:
    limited = Limited()
    limited.budget.validate(PEER)
    limited.clock.now = time
    assert not limited.answer()


def test_of_too_many_addresses_the_one_silent_longest_is_forgotten_and_gets_less() -> None:
    limited = Limited(capacity=8)
    addresses = [("192.0.2.1", port) for port in range(1, 10)]
    for address in addresses:
        limited.hear(address)
    assert [limited.answer(address) for address in addresses] == [False] + [True] * 8


def test_of_too_many_validated_addresses_the_first_one_is_forgotten() -> None:
    limited = Limited(capacity=8)
    addresses = [("192.0.2.1", port) for port in range(1, 10)]
    for address in addresses:
        limited.clock.now += 1
        limited.budget.validate(address)
    assert [limited.answer(address) for address in addresses] == [False] + [True] * 8
    assert limited.budget.evicted == 1


def test_a_flood_of_sources_frees_nobody_and_takes_no_proof_away() -> None:
    limited = Limited(capacity=1024, factor=3)
    limited.budget.validate(PEER)
    for number in range(20_000):
        address = (f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 1000 + number % 50_000)
        limited.hear(address, 10)
        assert limited.answer(address, 30)
        assert not limited.answer(address, 1)
    assert limited.answer(PEER, 60_000)
    assert limited.budget.limited == 20_000


@pytest.mark.parametrize(
    "address", [None, 7, (), ("192.0.2.1",), ("a name", 7), ("192.0.2.1", "x"), ("192.0.2.1", -1), ("::1", 7, 0, -1)]
)
def test_an_address_that_is_none_is_left_to_the_backend_and_is_never_validated(address: Any) -> None:
    limited = Limited()
    assert limited.answer(address)
    with pytest.raises((TypeError, ValueError, IndexError, OverflowError)):
        limited.budget.validate(address)


@pytest.mark.parametrize("field", ["factor", "validity", "capacity", "exempt", "shorten", "dry_run", "clock"])
def test_a_wrong_option_is_named(field: str) -> None:
    with pytest.raises(gen.BadOption, match=field):
        Amplification(**{field: "x"})


STEPS = st.lists(
    st.tuples(st.sampled_from(["hear", "answer", "validate", "wait"]), st.integers(1, 12), st.integers(0, 300)),
    max_size=120,
)


@settings(max_examples=examples(60, 2000), deadline=None)
@given(STEPS, st.sampled_from([0.5, 1.0, 2.5, 3.0]), st.booleans())
def test_it_does_what_a_plain_account_of_each_address_does(steps: Any, factor: float, small: bool) -> None:
    """With room for all, exactly that; if there are too many, no address gets more."""
    limited = Limited(factor=factor, capacity=8 if small else 4096, validity=500)
    received: dict[Any, int] = {}
    sent: dict[Any, int] = {}
    until: dict[Any, float] = {}
    for what, port, size in steps:
        address = ("192.0.2.1", port)
        if what == "hear":
            limited.hear(address, size)
            received[address] = received.get(address, 0) + size
        elif what == "validate":
            limited.budget.validate(address)
            until[address] = limited.clock.now + 500
        elif what == "wait":
            limited.clock.now += size
        else:
            passes, total = limited.answer(address, size), sent.get(address, 0) + max(1, size)
            fits = address in received and total <= factor * received[address]
            free = limited.clock.now < until.get(address, 0)
            assert passes <= (fits or free)
            assert small or passes == (fits or free)
            if passes and fits:
                sent[address] = total


@settings(max_examples=examples(60, 2000), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), max_size=200))
def test_a_row_is_never_that_of_another_address(places: list[tuple[int, int]]) -> None:
    table = AddressTable(8)
    number = number_of("192.0.2.1")
    assert number is not None
    for port, scope in places:
        row = table.row(*number, rest_of(port, scope))
        assert table.find(*number, rest_of(port, scope)) == row
        assert table.received[row] in (0, 1 + port + 100 * scope)
        table.received[row] = 1 + port + 100 * scope
