"""A limiter whose limit changes while somebody asks for admission, and one whose clock tells no time."""

from __future__ import annotations

import itertools
import random
from math import inf, nan

import pytest

from homing.datagram import MessageUDP
from homing.datagram.policy.admission import Admission
from homing.datagram.policy.budget import Budget
from homing.datagram.policy.limiter import Limiter
from homing.datagram.policy.limits import Amplification, RateLimit

from ...garbage import littered
from ...support import examples

pytestmark = pytest.mark.thorough


def test_a_limiter_without_a_limit_admits_all() -> None:
    limiter = Limiter()
    assert limiter.admit(True, 0, 1, 7) == 7
    limiter.apply(RateLimit(rate=1.0))
    limiter.apply(None)
    assert limiter.admit(True, 0, 1, 7) == 7
    assert (limiter.active, limiter.limited) == (False, 0)


@pytest.mark.parametrize("seed", range(examples(4, 100)))
def test_finalizers_may_ask_for_admission_while_the_limit_changes(seed: int) -> None:
    limiter, draw, kept = Limiter(), random.Random(seed), []

    def ask() -> None:
        for _ in range(20):
            assert 0 <= limiter.admit(draw.random() < 0.5, draw.getrandbits(64), draw.getrandbits(64), 3) <= 3

    with littered(ask, seed):
        for number in range(60):
            limit = RateLimit(rate=1.0 + number, capacity=draw.choice((1, 8, 100, 5000)), slip=draw.choice((0, 2)))
            kept.append([limit])
            limiter.apply(limit if draw.random() < 0.8 else None)
            ask()


@pytest.mark.parametrize("seed", range(examples(4, 100)))
def test_finalizers_may_send_and_validate_while_a_budget_changes(seed: int) -> None:
    budget, draw, kept = Budget(), random.Random(seed), []

    def use() -> None:
        for _ in range(20):
            address = (f"10.0.0.{draw.randrange(256)}", draw.randrange(1, 9))
            budget.heard_from(address, 10)
            if draw.random() < 0.2:
                budget.validate(address)
            message = MessageUDP(None, address, bytes(draw.randrange(99)))
            if not budget.takes(message):
                budget.refuses(message)

    with littered(use, seed):
        for _ in range(60):
            options = Amplification(capacity=draw.choice((1, 8, 100, 5000)), exempt=(), dry_run=draw.random() < 0.5)
            kept.append([options])
            budget.apply(options if draw.random() < 0.8 else None)
            use()


@pytest.mark.parametrize("moment", [nan, inf, -inf, 1e308, -1e308])
def test_a_clock_that_tells_no_time_admits_no_more_than_came(moment: float) -> None:
    times = itertools.cycle((1.0, moment, 2.0))
    admission = Admission()
    admission.limiter.apply(RateLimit(rate=10.0, burst=5, exempt=(), clock=lambda: next(times)))
    for source in range(50):
        admission.look_at_clock()
        assert 0 <= admission.admit(True, 0, source % 3, 60) <= 60
