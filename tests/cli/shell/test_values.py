"""Values as words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.cli.shell import values


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "-"),
        (0.0, "0s"),
        (0.000_35, "350us"),
        (0.000_999_9, "1ms"),
        (0.012, "12ms"),
        (0.999_9, "1.0s"),
        (1.24, "1.2s"),
        (9.96, "10s"),
        (200, "3m20s"),
        (7500, "2h5m"),
        (7200, "2h"),
        (86400 * 12 + 3 * 3600 + 5, "12d3h"),
    ],
)
def test_a_time_is_shown_in_its_two_largest_units(seconds: float | None, shown: str) -> None:
    assert values.seconds(seconds) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [(None, "-"), (0, "0B"), (1023, "1023B"), (1024, "1KiB"), (1536, "1.5KiB"), (212992, "208KiB"), (5 << 40, "5TiB")],
)
def test_a_size_is_shown_in_the_largest_unit_that_fits(number: float | None, shown: str) -> None:
    assert values.size(number) == shown


@pytest.mark.parametrize(
    ("number", "shown"), [(None, "-"), (0.0, "0"), (0.04, "0.0"), (9.94, "9.9"), (9.96, "10"), (123456.7, "123457")]
)
def test_a_rate_has_a_decimal_below_ten(number: float | None, shown: str) -> None:
    assert values.rate(number) == shown


@given(st.floats(min_value=0, max_value=1e12))
def test_numbers_are_one_word(number: float) -> None:
    for function in (values.seconds, values.size, values.rate, values.share, values.whole):
        assert len(function(number).split()) == 1


@given(st.text())
def test_no_text_steers_the_terminal(text: str) -> None:
    shown = values.text(text)
    assert shown.isprintable()
    assert shown


def test_drops_are_shown_by_direction_and_cause() -> None:
    drops = [{"direction": "in", "cause": "kernel", "count": 5}, {"direction": "out", "cause": "EPERM", "count": 2}]
    assert values.causes(drops) == "in.kernel=5,out.EPERM=2"
    assert values.causes([]) == "-"
