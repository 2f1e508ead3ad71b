"""Cookies: who receives what is sent to an address can prove it, and nobody else."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing import gen
from homing.datagram import Cookies

from .test_limiter import Clock

SECRET, NEXT = b"a secret of 16 b", b"another secret of the same service"
PEER, SIX = ("192.0.2.1", 4242), ("2001:db8::1", 4242, 0, 0)
CLIENT = bytes(range(8))


def cookies(clock: Clock | None = None, secret: Any = SECRET, **options: Any) -> Cookies:
    return Cookies(secret, clock=clock or Clock(), **options)


@pytest.mark.parametrize("address", [PEER, SIX, ("fe80::1%eth0", 1, 0, 3)])
@pytest.mark.parametrize("parts", [(), (CLIENT,), (CLIENT, b"", b"id")])
def test_a_cookie_is_good_for_the_host_and_the_parts_that_it_was_made_for(address: Any, parts: Any) -> None:
    made = cookies()
    cookie = made.make(address, *parts)
    assert len(cookie) == 16
    assert made.check(cookie, address, *parts)
    assert not made.check(cookie, ("198.51.100.7", 4242), *parts)
    assert not made.check(cookie, address, *parts, b"more")
    assert not made.check(cookie, address, *parts[1:], b"")


def test_the_port_does_not_matter_unless_it_is_given_as_a_part() -> None:
    made = cookies()
    assert made.check(made.make(PEER), ("192.0.2.1", 1))
    assert made.check(made.make(PEER), ("::ffff:192.0.2.1", 1, 0, 0))
    bound = made.make(PEER, PEER[1].to_bytes(2, "big"))
    assert not made.check(bound, PEER, (1).to_bytes(2, "big"))


def test_parts_are_not_merely_joined() -> None:
    made = cookies()
    assert not made.check(made.make(PEER, b"ab", b"c"), PEER, b"a", b"bc")


def test_the_layout_is_that_of_rfc_9018() -> None:
    clock = Clock()
    clock.now = float(0x5CF79F11)
    assert cookies(clock).make(PEER)[:8] == bytes.fromhex("010000005cf79f11")


def test_a_cookie_is_accepted_for_its_lifetime_and_from_a_clock_that_is_five_minutes_ahead() -> None:
    clock = Clock()
    clock.now = 1.7e9 + 0.5
    made = cookies(clock)
    cookie = made.make(PEER)
    for passed, good in ((3599, True), (3602, False), (-300, True), (-302, False)):
        clock.now = 1.7e9 + 0.5 + passed
        assert made.check(cookie, PEER) is good


def test_seconds_may_pass_two_to_the_thirty_two() -> None:
    clock = Clock()
    clock.now = 2.0**32 - 10
    made = cookies(clock)
    cookie = made.make(PEER)
    clock.now += 100
    assert made.check(cookie, PEER)


def test_the_key_of_the_period_before_is_accepted_in_each_of_many_periods() -> None:
    clock = Clock()
    made = cookies(clock, lifetime=100)
    for _ in range(50):
        cookie = made.make(PEER)
        clock.now += 99
        assert made.check(cookie, PEER)
        clock.now += 2
        assert not made.check(cookie, PEER)


@pytest.mark.parametrize("secret", [SECRET, "a text of a secret, from a file"])
def test_who_has_the_same_secret_accepts_the_cookie(secret: Any) -> None:
    assert cookies(secret=secret).check(cookies(secret=secret).make(PEER), PEER)
    assert not cookies(secret=NEXT).check(cookies(secret=secret).make(PEER), PEER)


def test_without_a_secret_each_has_its_own() -> None:
    one, other = Cookies(), Cookies()
    assert one.check(one.make(PEER), PEER)
    assert not other.check(one.make(PEER), PEER)


def test_while_a_secret_is_replaced_no_cookie_is_refused() -> None:
    """The stages of RFC 9018, section 5: each server of a group is in one of two neighboring stages."""
    stages = [
        cookies(secret=SECRET),
        cookies(secret=SECRET, previous=(NEXT,)),
        cookies(secret=NEXT, previous=(SECRET,)),
        cookies(secret=NEXT),
    ]
    for one, other in pairwise(stages):
        assert one.check(other.make(PEER), PEER)
        assert other.check(one.make(PEER), PEER)
    assert not stages[3].check(stages[0].make(PEER), PEER)


@given(st.one_of(st.binary(max_size=40), st.none(), st.integers(), st.text(max_size=20)))
def test_anything_else_is_no_cookie_and_no_error(cookie: Any) -> None:
    assert not cookies().check(cookie, PEER)


@given(st.integers(0, 127))
def test_a_cookie_with_one_bit_changed_is_refused(bit: int) -> None:
    made = cookies()
    changed = int.from_bytes(made.make(PEER), "big") ^ 1 << bit
    assert not made.check(changed.to_bytes(16, "big"), PEER)


def test_a_cookie_may_be_a_part_of_a_buffer() -> None:
    made = cookies()
    buffer = bytearray(b"cookie:" + made.make(PEER, CLIENT))
    assert made.check(memoryview(buffer)[7:], PEER, bytearray(CLIENT))


@pytest.mark.parametrize("address", [None, (), 7, ("a name", 7), "/run/socket"])
def test_an_address_that_is_none_is_named(address: Any) -> None:
    with pytest.raises(gen.BadOption, match="address"):
        cookies().make(address)
    with pytest.raises(gen.BadOption, match="address"):
        cookies().check(bytes(16), address)


@pytest.mark.parametrize(
    ("option", "value"),
    [("secret", b"short"), ("secret", 7), ("previous", [SECRET]), ("previous", (b"short",)), ("clock", 7)],
)
def test_a_wrong_option_is_named_and_no_secret_shown(option: str, value: Any) -> None:
    with pytest.raises(gen.BadOption, match=option) as raised:
        Cookies(**{"secret": SECRET, option: value})
    assert "short" not in str(raised.value)


def test_a_part_is_bytes_and_the_secret_is_shown_nowhere() -> None:
    made = cookies()
    part: Any = "text"
    with pytest.raises(gen.BadOption, match="parts"):
        made.make(PEER, part)
    assert "secret" not in repr(made)
