"""How often a supervisor starts children again: the window, restarts that fail or hang, and escalation."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen

from ...faults.figures import figure
from ...support import Probe, eventually
from .supervision import (
    ALL,
    ONE,
    REST,
    RUNNING,
    TEMPORARY,
    Child,
    Clock,
    FailsAgain,
    FailsSometimes,
    HangsAgain,
    child,
    children,
    crash,
    end,
    nested,
    pids,
    states,
    supervise,
)

TYPES = [ONE, ALL, REST]


async def watch(probe: Probe, supervisor: gen.PID) -> None:
    await probe.do(lambda actor: actor.monitor(supervisor))


# --- the window -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TYPES)
async def test_as_many_restarts_as_the_intensity_are_made_and_one_more_ends_the_supervisor(
    kind: act.SupervisorType, node: homing.Node, probe: Probe
) -> None:
    events: list[str] = []
    supervisor = await supervise(
        node, child(events, "a"), child(events, "b"), type=kind, intensity=3, period=10, clock=Clock()
    )
    await watch(probe, supervisor)
    for _ in range(3):
        await crash(node, "a")
        assert await states(node) == {"a": RUNNING, "b": RUNNING}
    assert probe.waiting() == []
    cause = RuntimeError("once too often")
    await end(node, "a", cause)
    reason = (await probe.get()).reason
    assert isinstance(reason, act.RestartsExceeded)
    assert reason.child == "a"
    assert reason.__cause__ is cause
    assert str(reason) == "child 'a': more than 3 restarts within 10 s"
    assert events[-2:] == ["-a", "-b"]
    assert node.processes() == [probe.pid]


@pytest.mark.parametrize(("last", "survives"), [(9.9, False), (10.0, False), (10.1, True)])
async def test_a_restart_counts_until_the_period_is_over(last: float, survives: bool, node: homing.Node) -> None:
    clock = Clock()
    supervisor = await supervise(node, child([], "a"), intensity=2, period=10, clock=clock)
    for clock.now in (0.0, 5.0, last):
        await crash(node, "a")
        await eventually(lambda: "a" in names(node) or supervisor not in node.processes())
    assert (supervisor in node.processes()) is survives
    figure(
        16,
        "the third crash in a window of 10 s with 2 allowed, at s",
        f"{last} {'is survived' if survives else 'ends it'}",
    )


def names(node: homing.Node) -> set[str | None]:
    return {node.process_info(pid).name for pid in node.processes()}


async def test_a_slow_drip_of_crashes_goes_on_for_ever(node: homing.Node) -> None:
    clock = Clock()
    await supervise(node, child([], "a"), intensity=1, period=10, clock=clock)
    for _ in range(50):
        await crash(node, "a")
        assert await states(node) == {"a": RUNNING}
        clock.now += 10.1
    assert (await node.inspect("supervisor"))["restarts"] == 50


async def test_restarts_of_all_children_count_together(node: homing.Node) -> None:
    await supervise(node, child([], "a"), child([], "b"), intensity=2)
    for name in ("a", "b", "a"):
        await crash(node, name)
        await eventually(lambda: node.info().processes in (0, 3))
    assert node.processes() == []


async def test_an_intensity_of_0_ends_the_supervisor_with_the_first_crash(node: homing.Node) -> None:
    events: list[str] = []
    await supervise(node, child(events, "a"), child(events, "b"), intensity=0)
    await crash(node, "b")
    await eventually(lambda: node.processes() == [])
    assert events == ["+a", "+b", "-b", "-a"]


async def test_a_supervisor_that_gives_up_is_logged_once(node: homing.Node, caplog: pytest.LogCaptureFixture) -> None:
    await supervise(node, child([], "a"), intensity=0)
    await crash(node, "a")
    await eventually(lambda: node.processes() == [])
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 2
    assert "('a') Child crashed, handling a RuntimeError: RuntimeError('crash')" in errors[0]
    assert "('supervisor') Given crashed: RestartsExceeded" in errors[1]
    assert node.info().crashes == 2


# --- restarts that fail -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TYPES)
async def test_restarts_that_fail_count_and_end_the_supervisor_instead_of_looping_for_ever(
    kind: act.SupervisorType, node: homing.Node, probe: Probe
) -> None:
    events: list[str] = []
    supervisor = await supervise(node, child(events, "a", FailsAgain), type=kind, intensity=2)
    await watch(probe, supervisor)
    await crash(node, "a")
    reason = (await probe.get()).reason
    assert isinstance(reason, act.RestartsExceeded)
    assert str(reason.__cause__) == "not again"
    assert events == ["+a", "-a", "!a", "!a"]


@pytest.mark.parametrize(
    ("kind", "tree"), [(ALL, ["-d", "-c", "-a", "+a", "+b"]), (REST, ["-d", "-c", "+b"])], ids=["all", "rest"]
)
async def test_a_child_that_fails_in_a_group_restart_undoes_it_and_the_whole_group_is_tried_again(
    kind: act.SupervisorType, tree: list[str], node: homing.Node
) -> None:
    events: list[str] = []
    errors: list[BaseException] = []
    specs = [child(events, label, FailsSometimes, errors if label == "c" else []) for label in "abcd"]
    await supervise(node, *specs, type=kind, intensity=3)
    before = await pids(node)
    events.clear()
    errors += [RuntimeError("first"), SystemExit(2)]
    await crash(node, "b")
    after = await children(node)
    assert {name: info.state for name, info in after.items()} == dict.fromkeys("abcd", RUNNING)
    started, undone = (
        [each for each in tree if each[0] == "+"],
        [f"-{each[1]}" for each in reversed(tree) if "+" in each],
    )
    failed = [*started, "!c", *undone]
    assert events == ["-b", *(each for each in tree if "-" in each), *failed, *failed, *started, "+c", "+d"]
    assert (after["a"].pid == before["a"]) is (kind is REST)
    assert (await node.inspect("supervisor"))["restarts"] == 3, "each attempt counts"


async def test_a_group_restart_that_always_fails_leaves_no_half_started_tree(node: homing.Node, probe: Probe) -> None:
    events: list[str] = []
    supervisor = await supervise(
        node, child(events, "a"), child(events, "b", FailsAgain), child(events, "c"), type=ALL, intensity=2
    )
    await watch(probe, supervisor)
    await crash(node, "c")
    reason = (await probe.get()).reason
    assert (type(reason), reason.child) == (act.RestartsExceeded, "b")
    assert events == ["+a", "+b", "+c", "-c", "-b", "-a", *["+a", "!b", "-a"] * 2]
    assert node.processes() == [probe.pid]


SHORT = gen.ProcessOptions(init_timeout=0.02)


async def test_an_init_that_hangs_in_a_group_restart_ends_with_its_timeout_and_undoes_the_group(
    node: homing.Node, probe: Probe
) -> None:
    events: list[str] = []
    hanging = child(events, "b", HangsAgain, asyncio.Event(), options=SHORT)
    supervisor = await supervise(node, child(events, "a"), hanging, child(events, "c"), type=ALL, intensity=2)
    await watch(probe, supervisor)
    await crash(node, "c")
    reason = (await probe.get()).reason
    assert isinstance(reason.__cause__, gen.InitTimeout)
    assert events == ["+a", "+b", "+c", "-c", "-b", "-a", *["+a", "?b", "-a"] * 2]
    assert node.processes() == [probe.pid]


async def test_between_two_attempts_a_supervisor_hears_its_own_exit_signal(node: homing.Node) -> None:
    events: list[str] = []
    let = asyncio.Event()
    supervisor = await supervise(
        node, child(events, "a", HangsAgain, let, options=SHORT), child(events, "b"), intensity=1_000_000
    )
    await crash(node, "a")
    await eventually(lambda: "?a" in events)
    node.send_exit(supervisor, gen.TerminateShutdown)
    await eventually(lambda: node.processes() == [])
    assert events[-1] == "-b"


async def test_a_supervisor_that_is_killed_amid_a_group_restart_leaves_nothing(node: homing.Node) -> None:
    events: list[str] = []
    specs = [child(events, label) for label in "ac"]
    supervisor = await supervise(node, specs[0], child(events, "b", HangsAgain, asyncio.Event()), specs[1], type=ALL)
    await crash(node, "c")
    await eventually(lambda: "?b" in events)
    node.kill(supervisor)
    await eventually(lambda: node.processes() == [])
    assert events[-3:] == ["+a", "?b", "-a"]


async def test_a_node_that_stops_amid_a_group_restart_stops_in_order(node: homing.Node) -> None:
    events: list[str] = []
    let = asyncio.Event()
    specs = [child(events, label) for label in "ac"]
    await supervise(node, specs[0], child(events, "b", HangsAgain, let), specs[1], type=ALL)
    await crash(node, "c")
    await eventually(lambda: "?b" in events)
    stop = asyncio.create_task(node.stop())
    await eventually(lambda: node.info().state == "stopping")
    let.set()
    assert await stop is True
    assert node.processes() == []
    assert (events.count("+a"), events.count("-a")) == (2, 2)
    assert node.info().crashes == 1, "not the supervisor"


class EndsAtOnce(Child):
    """Its first message is its end."""

    def init(self, events: list[str], label: str) -> None:
        super().init(events, label)
        self.send(self.pid, RuntimeError("at once"))


async def test_a_child_that_crashes_right_after_each_start_escalates(node: homing.Node, probe: Probe) -> None:
    events: list[str] = []
    supervisor = await supervise(node, child(events, "a"), intensity=5)
    await watch(probe, supervisor)
    await node.call(supervisor, act.StartChild(child(events, "b", EndsAtOnce)))
    assert isinstance((await probe.get()).reason, act.RestartsExceeded)
    assert events.count("+b") == 6


# --- node stop --------------------------------------------------------------------------------------------


async def test_a_child_that_crashes_while_the_node_stops_is_not_restarted_and_the_others_end_in_order(
    node: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[str] = []
    let = asyncio.Event()

    class Slow(Child):
        async def handle_message(self, sender: gen.PID, message: Any) -> None:
            await let.wait()
            raise RuntimeError("crash at the end")

    await supervise(node, child(events, "a"), child(events, "b", Slow), child(events, "c"), type=ALL)
    node.send("b", "go")
    stop = asyncio.create_task(node.stop())
    await eventually(lambda: node.info().state == "stopping")
    let.set()
    assert await stop is True
    assert events == ["+a", "+b", "+c", "-b", "-c", "-a"]
    assert sum(record.levelname == "ERROR" for record in caplog.records) == 1


# --- escalation -------------------------------------------------------------------------------------------


def leaf_crashes_often(events: list[str], **options: Any) -> act.SupervisorSpec:
    return act.SupervisorSpec(children=(child(events, "a"), child(events, "b")), **options)


async def test_a_supervisor_that_gives_up_is_restarted_by_its_own_supervisor(node: homing.Node) -> None:
    events: list[str] = []
    await supervise(node, nested("inner", leaf_crashes_often(events, intensity=2)), child(events, "other"))
    before = await pids(node)
    for _ in range(3):
        await eventually(lambda: node.info().processes == 5)
        await crash(node, "a")
    await eventually(lambda: node.info().processes == 5)
    after = await children(node)
    assert isinstance(after["inner"].reason, act.RestartsExceeded)
    assert after["inner"].pid != before["inner"]
    assert after["other"].pid == before["other"]
    assert events.count("+b") == 2
    assert (await node.call("a", "who"))[1] == "a"


@pytest.mark.parametrize("kind", TYPES)
async def test_crashes_escalate_through_three_levels_each_as_often_as_it_allows(
    kind: act.SupervisorType, node: homing.Node, probe: Probe
) -> None:
    events: list[str] = []
    inner = leaf_crashes_often(events, intensity=1, type=kind)
    middle = act.SupervisorSpec(children=(nested("inner", inner), child(events, "m")), intensity=1, type=kind)
    top = await supervise(node, nested("middle", middle), child(events, "t"), intensity=1, type=kind)
    await watch(probe, top)
    crashes = 0
    while top in node.processes():
        await eventually(lambda: "a" in names(node) or top not in node.processes())
        if top in node.processes():
            await crash(node, "a")
            crashes += 1
            await eventually(lambda: node.info().processes in (1, 8))
    reason = (await probe.get()).reason
    chain = []
    while reason is not None:
        chain.append((type(reason).__name__, getattr(reason, "child", None)))
        reason = reason.__cause__
    assert crashes == 8, "two at each level"
    assert chain == [
        ("RestartsExceeded", "middle"),
        ("RestartsExceeded", "inner"),
        ("RestartsExceeded", "a"),
        ("RuntimeError", None),
    ]
    assert events.count("+a") == events.count("-a") == 8
    assert events.count("+m") == events.count("-m") == (2 if kind is ONE else 4)
    assert node.processes() == [probe.pid]


async def test_a_temporary_supervisor_that_gives_up_stays_gone_and_its_parent_lives_on(node: homing.Node) -> None:
    events: list[str] = []
    await supervise(
        node, nested("inner", leaf_crashes_often(events, intensity=0), restart=TEMPORARY), child(events, "x")
    )
    await crash(node, "a")
    await eventually(lambda: node.info().processes == 2)
    assert await states(node) == {"x": RUNNING}
