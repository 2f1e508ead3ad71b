"""What a supervisor is told: children, intensity and period; and how it counts restarts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import homing
from homing import act, gen
from homing.act.supervisor.restart_limits import RestartWindow


class Child(act.Actor):
    pass


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("name", ""),
        ("name", None),
        ("name", 5),
        ("behavior", None),
        ("behavior", int),
        ("args", ["list"]),
        ("args", None),
        ("options", {"mailbox_size": 5}),
        ("restart", "permanent"),
        ("restart", True),
        ("shutdown", -1),
        ("shutdown", float("nan")),
        ("shutdown", float("inf")),
        ("shutdown", "5"),
        ("significant", 1),
        ("significant", True),  # a child is permanent unless said otherwise
    ],
)
def test_a_bad_option_of_a_child_is_refused_by_an_error_that_names_it(option: str, value: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        act.ChildSpec(**{"name": "a", "behavior": Child, option: value})
    assert caught.value.option == option


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("children", None),
        ("children", [act.ChildSpec(name="a", behavior=Child)]),
        ("children", (Child,)),
        ("children", (act.ChildSpec(name="a", behavior=Child), act.ChildSpec(name="a", behavior=Child))),
        ("intensity", -1),
        ("intensity", True),
        ("intensity", 1.5),
        ("period", 0),
        ("period", -1),
        ("period", float("inf")),
        ("type", "one for one"),
        ("type", None),
        ("auto_shutdown", False),
        ("auto_shutdown", "never"),
        ("backoff", 0.1),
        ("backoff", {"first": 0.1}),
        ("clock", 0.0),
    ],
)
def test_a_bad_option_of_a_supervisor_is_refused_by_an_error_that_names_it(option: str, value: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        act.SupervisorSpec(**{"children": (), option: value})
    assert caught.value.option == option


def significant(restart: act.RestartStrategy) -> act.ChildSpec:
    return act.ChildSpec(name="a", behavior=Child, restart=restart, significant=True)


def test_a_permanent_child_can_not_be_significant() -> None:
    with pytest.raises(gen.BadOption, match=r"^significant=True: child 'a' is permanent"):
        significant(act.RestartStrategy.PERMANENT)


@pytest.mark.parametrize("restart", [act.RestartStrategy.TRANSIENT, act.RestartStrategy.TEMPORARY])
def test_a_supervisor_that_ends_with_no_child_can_have_no_significant_one(restart: act.RestartStrategy) -> None:
    with pytest.raises(gen.BadOption, match="child 'a' is significant; give ANY_SIGNIFICANT") as caught:
        act.SupervisorSpec(children=(significant(restart),))
    assert caught.value.option == "auto_shutdown"
    for mode in (act.AutoShutdown.ANY_SIGNIFICANT, act.AutoShutdown.ALL_SIGNIFICANT):
        act.SupervisorSpec(children=(significant(restart),), auto_shutdown=mode)
        act.SupervisorSpec(children=(), auto_shutdown=mode)


@pytest.mark.parametrize("names", ["", "ab"])
def test_a_supervisor_of_instances_takes_exactly_one_template(names: str) -> None:
    children = tuple(act.ChildSpec(name=name, behavior=Child) for name in names)
    with pytest.raises(gen.BadOption, match="exactly one") as caught:
        act.SupervisorSpec(children=children, type=act.SupervisorType.SIMPLE_ONE_FOR_ONE)
    assert caught.value.option == "children"


def test_a_child_may_have_no_limit_to_its_end_and_no_time_for_it() -> None:
    assert [act.ChildSpec(name="a", behavior=Child, shutdown=each).shutdown for each in (None, 0)] == [None, 0]


class Forgetful(act.Supervisor):
    def init(self) -> Any:
        return [act.ChildSpec(name="a", behavior=Child)]


async def test_a_supervisor_whose_init_gives_no_spec_cannot_be_started(node: homing.Node) -> None:
    with pytest.raises(gen.BadOption, match="SupervisorSpec"):
        await node.spawn(Forgetful)
    assert node.processes() == []


def test_as_many_restarts_as_the_intensity_are_allowed_and_one_more_is_not() -> None:
    window = RestartWindow(intensity=3, period=10.0)
    assert [window.allowed(float(now)) for now in (0, 1, 2, 3)] == [True, True, True, False]


def test_restarts_older_than_the_period_count_no_more() -> None:
    window = RestartWindow(intensity=2, period=10.0)
    assert [window.allowed(now) for now in (0.0, 5.0, 10.5, 15.5)] == [True, True, True, True]


@pytest.mark.parametrize(("now", "allowed"), [(9.9, False), (10.0, False), (10.1, True)])
def test_a_restart_counts_until_the_period_is_over(now: float, allowed: bool) -> None:
    window = RestartWindow(intensity=1, period=10.0)
    assert window.allowed(0.0)
    assert window.allowed(now) is allowed


def test_an_intensity_of_0_allows_none() -> None:
    assert RestartWindow(intensity=0, period=5.0).allowed(100.0) is False


@given(
    gaps=st.lists(st.floats(0, 20, allow_nan=False), max_size=50),
    intensity=st.integers(0, 5),
    period=st.integers(1, 10),
)
def test_the_window_slides_as_a_plain_count_of_the_last_period_does(
    gaps: list[float], intensity: int, period: int
) -> None:
    window = RestartWindow(intensity, float(period))
    times: list[float] = []
    now = 0.0
    for gap in gaps:
        now += gap
        times.append(now)
        expected = sum(now - time <= period for time in times) <= intensity
        assert window.allowed(now) is expected
