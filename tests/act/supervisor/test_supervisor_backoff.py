"""Backoff: how long a child waits for its restart, and what the supervisor does meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import homing
from homing import act, gen
from homing.act.supervisor.restart_limits import Pace

from ...support import Probe, eventually
from .supervision import (
    ALL,
    DISABLED,
    ONE,
    REST,
    RESTARTING,
    RUNNING,
    SIMPLE,
    TEMPORARY,
    TERMINATED,
    Child,
    Clock,
    FailsSometimes,
    Given,
    child,
    children,
    crash,
    end,
    pids,
    states,
    supervise,
)

EXACT = act.Backoff(first=0.1, most=1.0, factor=2.0, jitter=0.0)
NEVER = act.Backoff(first=3600.0, most=3600.0)
"""Waits longer than any test, unless that lets the time pass."""


class Waits:
    """The waits of supervisors, which last until the test lets their time pass. `seconds`: how long they were to be."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.seconds: list[float] = []
        self._waiting: list[tuple[asyncio.TimerHandle, Callable[[], None]]] = []
        self._call_later = loop.call_later

    def call_later(self, seconds: float, callback: Any, *args: Any) -> asyncio.TimerHandle:
        timer = self._call_later(seconds, callback, *args)
        if seconds >= 1000:
            self.seconds.append(seconds)
            self._waiting.append((timer, partial(callback, *args)))
        return timer

    def pass_by(self) -> int:
        """Ends those that were not cancelled, and tells how many that were."""
        over = [callback for timer, callback in self._waiting if not timer.cancelled()]
        for timer, _ in self._waiting:
            timer.cancel()
        self._waiting.clear()
        for callback in over:
            callback()
        return len(over)


@pytest.fixture
async def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    loop = asyncio.get_running_loop()
    waits = Waits(loop)
    monkeypatch.setattr(loop, "call_later", waits.call_later)
    return waits


# --- the delays -------------------------------------------------------------------------------------------


def test_each_delay_is_longer_by_the_factor_up_to_the_most() -> None:
    assert [EXACT.delay(restarts) for restarts in range(6)] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


@pytest.mark.parametrize(("chance", "share"), [(0.0, 1.0), (0.5, 0.75), (1.0, 0.5)])
def test_jitter_takes_up_to_its_part_of_the_delay(chance: float, share: float) -> None:
    backoff = act.Backoff(first=2.0, most=8.0, jitter=0.5, random=lambda: chance)
    assert [backoff.delay(restarts) for restarts in range(3)] == pytest.approx([2 * share, 4 * share, 8 * share])


@given(
    first=st.floats(1e-3, 1e3),
    more=st.floats(1.0, 1e6),
    factor=st.floats(1.0, 1000.0),
    jitter=st.floats(0.0, 1.0),
    chance=st.floats(0.0, 1.0),
    restarts=st.integers(0, 1_000_000),
)
def test_a_delay_is_never_longer_than_the_most_nor_shorter_than_jitter_allows(
    first: float, more: float, factor: float, jitter: float, chance: float, restarts: int
) -> None:
    backoff = act.Backoff(first=first, most=first * more, factor=factor, jitter=jitter, random=lambda: chance)
    assert first * (1 - jitter) * (1 - 1e-9) <= backoff.delay(restarts) <= first * more


def test_what_has_lived_long_begins_with_the_first_delay_again() -> None:
    pace = Pace(EXACT)
    lived = [0.0, 0.5, 0.99, 1.0, 0.0, 5.0]
    assert [pace.next(seconds) for seconds in lived] == pytest.approx([0.1, 0.2, 0.4, 0.1, 0.2, 0.1])


def test_without_backoff_there_is_no_delay() -> None:
    assert [Pace(None).next(lived) for lived in (0.0, 1.0)] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("first", 0),
        ("first", -1),
        ("first", "0.1"),
        ("first", 31.0),
        ("most", float("inf")),
        ("factor", 0.5),
        ("factor", None),
        ("factor", 1e6),
        ("jitter", 1.5),
        ("jitter", True),
        ("random", 0.5),
    ],
)
def test_a_bad_option_of_the_backoff_is_refused_by_an_error_that_names_it(option: str, value: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        act.Backoff(**{option: value})
    assert caught.value.option == f"backoff.{option}"


# --- waiting ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ONE, ALL, REST])
async def test_a_child_is_restarted_after_its_delay(kind: act.SupervisorType, node: homing.Node, waits: Waits) -> None:
    supervisor = await supervise(node, *(child([], label) for label in "abc"), type=kind, backoff=NEVER, intensity=100)
    for _ in range(3):
        await crash(node, "b")
        assert (await states(node))["b"] is RESTARTING
        assert waits.pass_by() == 1, "one for all of the group"
        assert await states(node) == dict.fromkeys("abc", RUNNING)
    assert (await children(node))["b"].restarts == 3
    assert (await node.inspect(supervisor))["restarts"] == 3


async def test_a_real_wait_ends_by_itself(node: homing.Node) -> None:
    await supervise(node, child([], "a"), backoff=act.Backoff(first=0.01, most=0.01))
    before = await crash(node, "a")
    await eventually(lambda: node.info().processes == 2)
    assert (await pids(node))["a"] not in (None, before)


async def test_the_delays_are_those_of_the_backoff(node: homing.Node, waits: Waits) -> None:
    clock = Clock()
    errors: list[BaseException] = []
    backoff = act.Backoff(first=2000.0, most=10000.0, factor=2.0, jitter=0.5, random=lambda: 0.5)
    await supervise(node, child([], "a", FailsSometimes, errors), backoff=backoff, intensity=100, clock=clock)
    for lived in (0, 9999, 10000):
        clock.now += lived
        await crash(node, "a")
        await children(node)
        if lived == 10000:
            errors += [RuntimeError("not yet"), RuntimeError("not yet")]
            for _ in range(2):
                waits.pass_by()
                await children(node)
        waits.pass_by()
        assert await states(node) == {"a": RUNNING}
    assert waits.seconds == [1500, 3000, 1500, 3000, 6000]


async def test_each_child_has_a_wait_of_its_own_but_a_group_has_one(node: homing.Node, waits: Waits) -> None:
    exact = act.Backoff(first=2000.0, most=10000.0, factor=2.0, jitter=0.0)
    groups = act.SupervisorSpec(children=(child([], "c"), child([], "d")), type=ALL, backoff=exact)
    await supervise(node, child([], "a"), child([], "b"), backoff=exact)
    group = await node.spawn(Given, groups)
    for name in "abcd":
        await crash(node, name)
        await states(node)
        await states(node, group)
        waits.pass_by()
        await states(node)
        await states(node, group)
    assert waits.seconds == [2000, 2000, 2000, 4000]


async def test_why_a_child_could_not_be_started_again_is_told_while_it_waits(node: homing.Node, waits: Waits) -> None:
    errors: list[BaseException] = []
    await supervise(node, child([], "a", FailsSometimes, errors), backoff=NEVER)
    errors.append(SystemExit("once"))
    await crash(node, "a")
    await children(node)
    waits.pass_by()
    info = (await children(node))["a"]
    assert (info.state, type(info.reason)) == (RESTARTING, gen.TerminatePanic)
    assert info.reason is not None
    assert info.reason.__traceback__ is None, "it would keep frames, and they keep messages"


async def test_a_supervisor_is_responsive_while_a_child_waits(node: homing.Node) -> None:
    events: list[str] = []
    await supervise(node, child(events, "a"), child(events, "b"), backoff=NEVER)
    await crash(node, "a")
    info = (await children(node))["a"]
    assert (info.state, info.pid, repr(info.reason)) == (RESTARTING, None, "RuntimeError('crash')")
    assert (await node.inspect("supervisor"))["children"]["a"]["state"] == "restarting"
    await node.call("supervisor", act.StartChild(child(events, "c")))
    assert await states(node) == {"a": RESTARTING, "b": RUNNING, "c": RUNNING}
    assert await node.call("supervisor", act.CountChildren()) == act.ChildCount(
        specs=3, active=2, supervisors=0, workers=3
    )


@pytest.mark.parametrize(("kind", "ended"), [(ALL, ["-b", "-c", "-a"]), (REST, ["-b", "-c"])])
async def test_a_group_is_ended_at_once_and_waits_together(
    kind: act.SupervisorType, ended: list[str], node: homing.Node
) -> None:
    events: list[str] = []
    await supervise(node, *(child(events, label) for label in "abc"), type=kind, backoff=NEVER)
    await crash(node, "b")
    found = await states(node)
    assert events[3:] == ended
    assert found == {label: RESTARTING if f"-{label}" in ended else RUNNING for label in "abc"}


async def test_a_crash_before_a_group_that_waits_takes_it_into_its_own(node: homing.Node, waits: Waits) -> None:
    events: list[str] = []
    await supervise(node, *(child(events, label) for label in "abc"), type=REST, backoff=NEVER)
    await crash(node, "b")
    assert await states(node) == {"a": RUNNING, "b": RESTARTING, "c": RESTARTING}
    await crash(node, "a")
    assert await states(node) == dict.fromkeys("abc", RESTARTING)
    assert waits.pass_by() == 1
    assert await states(node) == dict.fromkeys("abc", RUNNING)
    assert events[3:] == ["-b", "-c", "-a", "+a", "+b", "+c"]


async def test_a_crash_of_one_that_was_added_while_a_group_waits_makes_it_wait_with_them(node: homing.Node) -> None:
    events: list[str] = []
    await supervise(node, child(events, "a"), type=ALL, backoff=NEVER)
    await crash(node, "a")
    await children(node)
    await node.call("supervisor", act.StartChild(child(events, "b")))
    await node.call("supervisor", act.StartChild(child(events, "c", restart=TEMPORARY)))
    await crash(node, "b")
    assert await states(node) == {"a": RESTARTING, "b": RESTARTING}


@pytest.mark.parametrize(
    ("request_", "after"),
    [
        (act.TerminateChild("b"), {"a": RUNNING, "b": TERMINATED, "c": RUNNING}),
        (act.DisableChild("b"), {"a": RUNNING, "b": DISABLED, "c": RUNNING}),
        (act.DeleteChild("b"), {"a": RUNNING, "c": RUNNING}),
    ],
    ids=["terminate", "disable", "delete"],
)
@pytest.mark.parametrize("kind", [ONE, ALL, REST])
async def test_a_request_cancels_the_wait_of_its_child_and_of_no_other(
    kind: act.SupervisorType,
    request_: Any,
    after: dict[str, act.ChildState],
    node: homing.Node,
    waits: Waits,
) -> None:
    events: list[str] = []
    await supervise(node, *(child(events, label) for label in "abc"), type=kind, backoff=NEVER)
    await crash(node, "b")
    assert (await states(node))["b"] is RESTARTING
    await node.call("supervisor", request_)
    assert waits.pass_by() == (0 if kind is ONE else 1)
    assert await states(node) == after
    assert events.count("+b") == 1


async def test_a_cancelled_wait_leaves_no_timer(node: homing.Node) -> None:
    await supervise(node, child([], "a"), backoff=NEVER)
    await crash(node, "a")
    await children(node)
    timers = pending_timers()
    await node.call("supervisor", act.TerminateChild("a"))
    assert len(pending_timers()) == len(timers) - 1


def pending_timers() -> list[asyncio.TimerHandle]:
    """The long timers of the loop."""
    loop: Any = asyncio.get_running_loop()
    return [timer for timer in loop._scheduled if not timer.cancelled() and timer.when() > loop.time() + 60]


async def test_a_supervisor_that_ends_cancels_the_waits(node: homing.Node) -> None:
    events: list[str] = []
    supervisor = await supervise(node, child(events, "a"), child(events, "b"), backoff=NEVER)
    await crash(node, "a")
    await children(node)
    node.send_exit(supervisor, gen.TerminateShutdown)
    await eventually(lambda: node.processes() == [])
    assert events == ["+a", "+b", "-a", "-b"]
    assert pending_timers() == []


async def test_one_that_waits_can_not_be_restarted_by_request_too(node: homing.Node) -> None:
    await supervise(node, child([], "a"), backoff=NEVER)
    await crash(node, "a")
    with pytest.raises(act.ChildRestarting, match="terminate it"):
        await node.call("supervisor", act.RestartChild("a"))
    await node.call("supervisor", act.TerminateChild("a"))
    assert await node.call("supervisor", act.RestartChild("a")) == node.process_info("a").pid


async def test_a_wait_does_not_outwit_the_intensity(node: homing.Node, probe: Probe) -> None:
    supervisor = await supervise(node, child([], "a"), child([], "b"), backoff=NEVER, intensity=1)
    await probe.do(lambda actor: actor.monitor(supervisor))
    await crash(node, "a")
    await crash(node, "b")
    assert isinstance((await probe.get()).reason, act.RestartsExceeded)
    assert pending_timers() == []


async def test_a_node_that_stops_while_a_child_waits_stops_in_order(node: homing.Node) -> None:
    events: list[str] = []
    backoff = act.Backoff(first=0.001, most=0.001)
    await supervise(node, child(events, "a"), child(events, "b"), backoff=backoff, intensity=1000)
    node.send("a", RuntimeError("crash"))
    assert await node.stop() is True
    assert events[-1] == "-b"


async def test_an_instance_that_waits_is_found_by_the_pid_that_it_had(node: homing.Node) -> None:
    template = act.ChildSpec(name="instance", behavior=Child, args=([],))
    supervisor = await supervise(node, template, type=SIMPLE, backoff=NEVER)
    pid = await node.call(supervisor, act.StartChild(args=("x",)))
    await end(node, pid, RuntimeError("crash"))
    assert list((await node.inspect(supervisor))["children"]) == [str(pid)]
    await node.call(supervisor, act.TerminateChild(pid))
    assert await pids(node) == {}
    with pytest.raises(act.ChildUnknown):
        await node.call(supervisor, act.TerminateChild(pid))
