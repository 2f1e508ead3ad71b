"""Ages of messages, estimated from how many have arrived at each sample."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.observe.ages import MOST_MARKS, Mark, add_mark, age


def test_without_a_waiting_message_there_is_no_age() -> None:
    assert age([Mark(5, 1.0)], Mark(5, 2.0), 5) is None


def test_a_message_that_waited_at_the_first_mark_is_at_least_that_old() -> None:
    assert age([Mark(5, 1.0)], Mark(5, 4.0), 3) == (3.0, True)


@pytest.mark.parametrize(("taken", "seconds"), [(10, 1.9), (14, 1.5), (19, 1.0)])
def test_a_message_that_came_between_two_marks_has_an_age_between_theirs(taken: int, seconds: float) -> None:
    found = age([Mark(10, 1.0), Mark(20, 2.0)], Mark(20, 3.0), taken)
    assert found is not None
    assert found.seconds == pytest.approx(seconds)
    assert not found.at_least


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=2, max_size=200))
def test_the_age_is_wrong_by_a_period_or_an_eighth_of_itself_at_most(periods: list[tuple[int, int]]) -> None:
    """In each period of one second so many messages come, evenly, and at its end so many are taken."""
    arrivals: list[float] = []
    taken, marks = 0, [Mark(0, 0.0)]
    for number, (come, go) in enumerate(periods):
        arrivals += [number + (place + 1) / (come + 1) for place in range(come)]
        now = float(number + 1)
        taken = min(len(arrivals), taken + go)
        mark = Mark(len(arrivals), now)
        found = age(marks, mark, taken)
        if taken == len(arrivals):
            assert found is None
            marks = [mark]
        else:
            true = now - arrivals[taken]
            assert found is not None
            assert not found.at_least
            assert abs(found.seconds - true) <= max(1.0, true / 8)
            add_mark(marks, mark, taken)
        assert len(marks) <= MOST_MARKS
