"""Significant children: when their end ends the supervisor."""

from __future__ import annotations

from typing import Any

import pytest

import homing
from homing import act, gen

from ...support import Probe, eventually
from .supervision import (
    ALL,
    ONE,
    REST,
    RUNNING,
    SIMPLE,
    TEMPORARY,
    TERMINATED,
    TRANSIENT,
    Child,
    child,
    children,
    crash,
    end,
    nested,
    states,
    supervise,
)

ANY, EVERY = act.AutoShutdown.ANY_SIGNIFICANT, act.AutoShutdown.ALL_SIGNIFICANT
NORMAL = gen.TerminateNormal()


async def watched(node: homing.Node, probe: Probe, *specs: act.ChildSpec, **options: Any) -> gen.PID:
    supervisor = await supervise(node, *specs, **options)
    await probe.do(lambda actor: actor.monitor(supervisor))
    return supervisor


@pytest.mark.parametrize("strategy", [TRANSIENT, TEMPORARY])
@pytest.mark.parametrize("kind", [ONE, ALL, REST])
async def test_the_end_of_any_significant_child_ends_the_supervisor_in_order(
    kind: act.SupervisorType, strategy: act.RestartStrategy, node: homing.Node, probe: Probe
) -> None:
    events: list[str] = []
    significant = [child(events, label, restart=strategy, significant=True) for label in "bc"]
    await watched(node, probe, child(events, "a"), *significant, child(events, "d"), type=kind, auto_shutdown=ANY)
    await end(node, "b", NORMAL)
    reason = (await probe.get()).reason
    assert type(reason) is gen.TerminateShutdown
    assert str(reason) == "significant child 'b' has ended"
    assert events[4:] == ["-b", "-d", "-c", "-a"]
    assert node.info().crashes == 0


async def test_only_the_end_of_the_last_significant_child_ends_it_where_all_must_have(
    node: homing.Node, probe: Probe
) -> None:
    events: list[str] = []
    specs = [child(events, label, restart=TRANSIENT, significant=True) for label in "abc"]
    await watched(node, probe, *specs, child(events, "d"), auto_shutdown=EVERY)
    await end(node, "b", NORMAL)
    await end(node, "a", NORMAL)
    assert await states(node) == {"a": TERMINATED, "b": TERMINATED, "c": RUNNING, "d": RUNNING}
    await end(node, "c", gen.TerminateShutdown())
    assert isinstance((await probe.get()).reason, gen.TerminateShutdown)
    assert events[-1] == "-d"


@pytest.mark.parametrize("mode", [ANY, EVERY])
async def test_a_significant_child_that_is_started_again_ends_nothing(
    mode: act.AutoShutdown, node: homing.Node
) -> None:
    await supervise(node, child([], "a", restart=TRANSIENT, significant=True), auto_shutdown=mode)
    await crash(node, "a")
    assert await states(node) == {"a": RUNNING}


@pytest.mark.parametrize("mode", [ANY, EVERY])
async def test_a_temporary_significant_child_ends_the_supervisor_by_a_crash_too(
    mode: act.AutoShutdown, node: homing.Node, probe: Probe
) -> None:
    await watched(node, probe, child([], "a", restart=TEMPORARY, significant=True), auto_shutdown=mode)
    await crash(node, "a")
    assert type((await probe.get()).reason) is gen.TerminateShutdown


@pytest.mark.parametrize("mode", [ANY, EVERY])
@pytest.mark.parametrize("request_", [act.TerminateChild("a"), act.DisableChild("a")])
async def test_what_the_supervisor_ends_on_request_ends_nothing_else(
    request_: Any, mode: act.AutoShutdown, node: homing.Node
) -> None:
    await supervise(node, child([], "a", restart=TRANSIENT, significant=True), child([], "b"), auto_shutdown=mode)
    await node.call("supervisor", request_)
    assert (await states(node))["b"] is RUNNING


async def test_a_temporary_significant_child_that_ends_with_its_group_ends_nothing_else(node: homing.Node) -> None:
    await supervise(
        node, child([], "a"), child([], "b", restart=TEMPORARY, significant=True), type=ALL, auto_shutdown=ANY
    )
    await crash(node, "a")
    assert await states(node) == {"a": RUNNING}


async def test_an_insignificant_child_ends_nothing(node: homing.Node) -> None:
    specs = [child([], "a", restart=TRANSIENT), child([], "b", restart=TRANSIENT, significant=True)]
    await supervise(node, *specs, auto_shutdown=ANY)
    await end(node, "a", NORMAL)
    assert await states(node) == {"a": TERMINATED, "b": RUNNING}


async def test_one_that_waits_for_its_restart_is_still_there(node: homing.Node, probe: Probe) -> None:
    specs = [child([], label, restart=TRANSIENT, significant=True) for label in "ab"]
    backoff = act.Backoff(first=3600.0, most=3600.0)
    await watched(node, probe, *specs, auto_shutdown=EVERY, backoff=backoff)
    await crash(node, "a")
    await end(node, "b", NORMAL)
    assert (await states(node))["b"] is TERMINATED
    assert probe.waiting() == []


async def test_instances_may_be_significant(node: homing.Node, probe: Probe) -> None:
    template = act.ChildSpec(name="instance", behavior=Child, args=([],), restart=TEMPORARY, significant=True)
    supervisor = await watched(node, probe, template, type=SIMPLE, auto_shutdown=EVERY)
    first, second = [await node.call(supervisor, act.StartChild(args=(label,))) for label in "ab"]
    await end(node, first, NORMAL)
    assert list(await children(node)) == [str(second)]
    await end(node, second, NORMAL)
    assert type((await probe.get()).reason) is gen.TerminateShutdown


async def test_a_supervisor_that_shut_down_is_restarted_by_its_own_if_it_is_permanent_there(
    node: homing.Node,
) -> None:
    inner = act.SupervisorSpec(children=(child([], "a", restart=TRANSIENT, significant=True),), auto_shutdown=ANY)
    await supervise(node, nested("permanent", inner))
    before = node.process_info("permanent").pid
    await end(node, "a", NORMAL)
    await eventually(lambda: before not in node.processes(), "the end of the supervisor")
    assert (await children(node))["permanent"].pid != before


async def test_a_significant_child_is_refused_where_the_supervisor_ends_with_none(node: homing.Node) -> None:
    await supervise(node)
    with pytest.raises(gen.BadOption) as caught:
        await node.call("supervisor", act.StartChild(child([], "a", restart=TRANSIENT, significant=True)))
    assert caught.value.option == "auto_shutdown"
    assert await states(node) == {}
