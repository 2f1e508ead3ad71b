"""Options given as texts."""

from __future__ import annotations

from typing import Any

import pytest

from homing import meta
from homing.gen import BadOption
from homing.observe.option_values import parse

OPTIONS = meta.UDPServerOptions(rate_limit=meta.RateLimit(rate=10, burst=5))


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("high_water", "2_000", 2000),
        ("high_water", 5, 5),
        ("low_water", "none", None),
        ("low_water", None, None),
        ("linger", "1.5", 1.5),
        ("broadcast", "yes", True),
        ("broadcast", False, False),
        ("host", "::1", "::1"),
        ("overflow", "drop_oldest", "drop_oldest"),
        ("allow", "10.0.0.0/8, 127.0.0.1", ("10.0.0.0/8", "127.0.0.1")),
        ("allow", ["10.0.0.0/8"], ("10.0.0.0/8",)),
        ("allow", "", ()),
        ("process", "worker", "worker"),
        ("multicast_interface", "3", 3),
        ("rate_limit", "rate=100", meta.RateLimit(rate=100, burst=5)),
        ("rate_limit", {"burst": None}, meta.RateLimit(rate=10, burst=None)),
        ("rate_limit", '{"rate": 7, "dry_run": true}', meta.RateLimit(rate=7, burst=5, dry_run=True)),
        ("rate_limit", "none", None),
        ("reply_limit", "rate=9", meta.RateLimit(rate=9)),
    ],
)
def test_a_value_becomes_that_of_the_option(name: str, given: Any, value: Any) -> None:
    assert parse(OPTIONS, name, given) == value


@pytest.mark.parametrize(
    ("name", "given", "text"),
    [
        ("high_water", "many", "high_water='many': give an integer"),
        ("high_water", 1.5, "high_water=1.5: give an integer"),
        ("high_water", True, "high_water=True: give an integer"),
        ("high_water", "none", "high_water='none': it cannot be none"),
        ("high_water", [1], r"high_water=\[1\]: give an integer"),
        ("broadcast", "perhaps", "broadcast='perhaps': give true or false"),
        ("overflow", "spill", "overflow='spill': give one of pause, drop_newest, drop_oldest"),
        ("rate_limit", "fast", "rate_limit='fast': give RateLimit"),
        ("rate_limit", "speed=1", r"rate_limit\.speed='1': RateLimit has no such field"),
        ("rate_limit", "rate=quick", r"rate_limit\.rate='quick': give a number"),
        ("rate_limit", "{", "rate_limit='{': give RateLimit"),
        ("reply_limit", "burst=1", "reply_limit='burst=1': .*missing.*rate"),
        ("allow", 5, "allow=5: give a list"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_the_option(name: str, given: Any, text: str) -> None:
    with pytest.raises(BadOption, match=text):
        parse(OPTIONS, name, given)
