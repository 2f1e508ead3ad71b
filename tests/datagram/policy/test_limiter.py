"""The limiter: what a source gets, by the clock of the test; and that a flood of others frees nobody from his limit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homing import gen
from homing.datagram import RateLimit
from homing.datagram.policy.limiter import Limiter
from homing.datagram.policy.networks import number_of

from ...support import examples


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Limited:
    """A limiter whose clock is the test's."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.limiter = Limiter()
        self.limiter.apply(RateLimit(**{"exempt": (), "clock": self.clock, **options}))

    def ask(self, host: str, count: int = 1) -> int:
        number = number_of(host)
        assert number is not None
        self.limiter.look_at_clock()
        return int(self.limiter.admit(*number, count))

    def wait(self, seconds: float) -> None:
        self.clock.now += seconds


def test_a_source_has_its_burst_at_once_and_then_its_rate() -> None:
    limited = Limited(rate=10, burst=3)
    assert [limited.ask("192.0.2.1") for _ in range(5)] == [1, 1, 1, 0, 0]
    limited.wait(0.05)
    assert limited.ask("192.0.2.1") == 0
    limited.wait(0.05)
    assert [limited.ask("192.0.2.1") for _ in range(2)] == [1, 0]
    limited.wait(60)
    assert [limited.ask("192.0.2.1") for _ in range(5)] == [1, 1, 1, 0, 0]
    assert limited.limiter.limited == 6


def test_without_a_burst_a_source_has_what_one_second_brings() -> None:
    assert Limited(rate=2.5).ask("192.0.2.1", 10) == 3
    assert Limited(rate=0.1).ask("192.0.2.1", 10) == 1


def test_sources_have_buckets_of_their_own() -> None:
    limited = Limited(rate=1, burst=1)
    assert [limited.ask(f"192.0.2.{number}") for number in range(100)] == [1] * 100
    assert [limited.ask(f"192.0.2.{number}") for number in range(100)] == [0] * 100


@pytest.mark.parametrize(
    ("prefix", "one", "same", "other"),
    [
        ({"prefix4": 24}, "192.0.2.1", "192.0.2.255", "192.0.3.1"),
        ({"prefix4": 0}, "192.0.2.1", "10.0.0.1", "2001:db8::"),
        ({}, "2001:db8::", "2001:db8:0:ff:ffff::", "2001:db8:0:100::"),
        ({"prefix6": 128}, "2001:db8::1", "2001:db8::1", "2001:db8::2"),
        ({"prefix6": 100}, "::1", "::fff:ffff", "::1000:0"),
        ({"prefix6": 0}, "2001:db8::", "ff02::1", "192.0.2.1"),
        ({"prefix6": 0}, "::", "ff02::1", "0.0.0.0"),
        ({}, "192.0.2.1", "::ffff:192.0.2.1", "::c000:201"),
    ],
)
def test_sources_of_one_network_count_as_one(prefix: dict[str, int], one: str, same: str, other: str) -> None:
    limited = Limited(rate=1, burst=1, **prefix)
    assert [limited.ask(one), limited.ask(same), limited.ask(other)] == [1, 0, 1]


def test_exempt_sources_have_no_limit() -> None:
    limited = Limited(rate=1, burst=1, exempt=("192.0.2.0/24", "2001:db8::1"))
    assert limited.ask("192.0.2.1", 1000) == limited.ask("2001:db8::1", 1000) == 1000
    assert limited.ask("2001:db8::2", 1000) == 1


def test_this_machine_is_exempt_by_default() -> None:
    limited = Limited(rate=1, burst=1, exempt=RateLimit(rate=1).exempt)
    assert limited.ask("127.0.0.1", 1000) == limited.ask("::1", 1000) == 1000


def test_a_dry_run_lets_everything_pass_and_counts_what_it_would_not() -> None:
    limited = Limited(rate=1, burst=2, slip=2, dry_run=True)
    assert [limited.ask("192.0.2.1") for _ in range(10)] == [1] * 10
    assert limited.ask("192.0.2.2", 10) == 10
    counted = limited.limiter
    assert (counted.limited, counted.limited_dry_run, counted.slipped) == (0, 16, 0)


def test_each_slip_th_above_the_limit_passes() -> None:
    limited = Limited(rate=1, burst=1, slip=3)
    assert [limited.ask("192.0.2.1") for _ in range(10)] == [1, 0, 0, 1, 0, 0, 1, 0, 0, 1]
    assert limited.ask("192.0.2.2", 10) == 4
    assert (limited.limiter.limited, limited.limiter.slipped) == (12, 6)


def test_with_a_slip_of_one_all_pass() -> None:
    assert Limited(rate=1, burst=1, slip=1).ask("192.0.2.1", 100) == 100


steps = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 20), st.integers(0, 40)), max_size=60)


@pytest.mark.thorough
@settings(max_examples=examples(100, 2000))
@given(steps=steps, rate=st.sampled_from([1, 8, 64]), burst=st.integers(1, 30))
def test_it_does_what_a_token_bucket_does(steps: list[tuple[int, int, int]], rate: int, burst: int) -> None:
    """The model counts tokens, in 1/64 of one. Times are sums of 1/64 s, which a double represents exactly."""
    limited = Limited(rate=rate, burst=burst)
    tokens = [burst * 64] * 4
    dropped = 0
    for source, count, wait in steps:
        expected = min(count, tokens[source] // 64)
        assert limited.ask(f"192.0.2.{source}", count) == expected
        tokens[source] -= expected * 64
        dropped += count - expected
        assert limited.limiter.limited == dropped
        limited.wait(wait / 64)
        tokens = [min(burst * 64, bucket + wait * rate) for bucket in tokens]


def flood(limited: Limited, start: int, count: int) -> None:
    for number in range(start, start + count):
        limited.ask(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}")


@pytest.mark.parametrize("capacity", [1, 64])
def test_a_flood_of_others_frees_nobody_from_the_limit(capacity: int) -> None:
    limited = Limited(rate=1, burst=5, capacity=capacity)
    assert limited.ask("192.0.2.1", 100) == 5
    for number in range(100):
        flood(limited, number * 50, 50)
        assert limited.ask("192.0.2.1", 1) == 0
    assert limited.limiter.evicted > 1000
    limited.wait(1)
    assert limited.ask("192.0.2.1", 100) == 1


def test_a_source_that_was_idle_for_long_enough_is_forgotten_for_nothing() -> None:
    limited = Limited(rate=1, burst=5, capacity=1024)
    for number in range(100):
        flood(limited, number * 20, 20)
        limited.wait(1)
    assert limited.limiter.evicted == 0


@pytest.mark.parametrize(
    "pattern", ["10.0.{}.{}", "10.{}.{}.0", "{}.{}.0.0", "2001:db8:{:x}:{:x}00::", "2001:{:x}:{:x}::"]
)
def test_sources_that_are_neighbours_spread_over_the_table(pattern: str) -> None:
    """1024 sources for 4096 places, 8 to a set: hardly one has to be forgotten, whatever the secret is."""
    limited = Limited(rate=1, burst=1, capacity=4096)
    for number in range(1024):
        limited.ask(pattern.format(number >> 8, number & 255))
    assert limited.limiter.evicted < 30


def test_the_same_limit_again_gives_nobody_a_new_burst_and_another_one_does() -> None:
    limited = Limited(rate=1, burst=1)
    assert limited.ask("192.0.2.1", 10) == 1
    limited.limiter.apply(RateLimit(rate=1, burst=1, exempt=(), clock=limited.clock))
    assert limited.ask("192.0.2.1", 10) == 0
    limited.limiter.apply(RateLimit(rate=1, burst=2, exempt=(), clock=limited.clock))
    assert limited.ask("192.0.2.1", 10) == 2
    limited.limiter.apply(None)
    assert (limited.limiter.active, limited.limiter.limited) == (False, 9 + 10 + 8)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("rate", 0),
        ("rate", -1),
        ("rate", float("inf")),
        ("rate", float("nan")),
        ("rate", "10"),
        ("rate", True),
        ("burst", 0),
        ("burst", 1.5),
        ("prefix4", 33),
        ("prefix4", -1),
        ("prefix6", 129),
        ("prefix6", None),
        ("capacity", 0),
        ("capacity", 1 << 27),
        ("exempt", ("127.0.0.1/8",)),
        ("exempt", "127.0.0.0/8"),
        ("slip", -1),
        ("slip", True),
        ("shorten", b"x"),
        ("dry_run", 1),
        ("clock", 5),
    ],
)
def test_a_limit_that_cannot_work_is_refused_by_name(option: str, value: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        RateLimit(**{"rate": 10, option: value})
    assert caught.value.option == option
