"""Supervisors of many children: what one of them costs does not depend on the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import homing
from homing import act, gen

from ...node.work import Work, work_of
from ...support import eventually

FEW, MANY = 20, 1000


class Idle(act.Actor):
    def handle_message(self, sender: gen.PID, message: Any) -> None:
        pass


class Group(act.Supervisor):
    """Children that do nothing, and one that is significant."""

    def init(self, count: int, kind: act.SupervisorType) -> act.SupervisorSpec:
        significant = act.ChildSpec(
            name="significant", behavior=Idle, significant=True, restart=act.RestartStrategy.TEMPORARY
        )
        others = tuple(act.ChildSpec(name=f"child {number}", behavior=Idle) for number in range(count))
        shutdown = act.AutoShutdown.ALL_SIGNIFICANT
        return act.SupervisorSpec(children=(*others, significant), type=kind, intensity=10**6, auto_shutdown=shutdown)


async def one_more(node: homing.Node, supervisor: gen.PID, **options: Any) -> gen.PID:
    spec = act.ChildSpec(name="one more", behavior=Idle, **options)
    pid: gen.PID = await node.call(supervisor, act.StartChild(spec))
    return pid


async def count_them(node: homing.Node, supervisor: gen.PID) -> None:
    await node.call(supervisor, act.CountChildren())


async def end_a_significant_one(node: homing.Node, supervisor: gen.PID) -> None:
    pid = await one_more(node, supervisor, significant=True, restart=act.RestartStrategy.TEMPORARY)
    node.kill(pid)
    await node.call(supervisor, act.CountChildren())


async def restart_the_last(node: homing.Node, supervisor: gen.PID) -> None:
    pid = await one_more(node, supervisor)
    node.kill(pid)
    names = node._core.registry.names
    await eventually(lambda: (process := names.get("one more")) is not None and process.id != pid)
    await node.call(supervisor, act.TerminateChild("one more"))
    await node.call(supervisor, act.DeleteChild("one more"))


async def work_among(
    count: int, kind: act.SupervisorType, action: Callable[[homing.Node, gen.PID], Awaitable[None]], node: homing.Node
) -> Work:
    supervisor = await node.spawn(Group, count, kind)
    work = await work_of(lambda: action(node, supervisor))
    for pid in node.processes():
        node.kill(pid)
    await eventually(lambda: not node.processes())
    return work


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        (act.SupervisorType.ONE_FOR_ONE, count_them),
        (act.SupervisorType.ONE_FOR_ONE, end_a_significant_one),
        (act.SupervisorType.REST_FOR_ONE, restart_the_last),
    ],
    ids=lambda value: getattr(value, "__name__", value.name if hasattr(value, "name") else None),
)
async def test_what_a_child_costs_does_not_grow_with_the_number_of_others(
    kind: act.SupervisorType, action: Callable[[homing.Node, gen.PID], Awaitable[None]], node: homing.Node
) -> None:
    few, many = await work_among(FEW, kind, action, node), await work_among(MANY, kind, action, node)
    assert many.lines <= few.lines + 200


class Together(act.Supervisor):
    """Children that are started again together, a moment after one has ended."""

    def init(self, count: int) -> act.SupervisorSpec:
        children = tuple(act.ChildSpec(name=f"{count}: {number}", behavior=Idle) for number in range(count))
        return act.SupervisorSpec(
            children=children,
            type=act.SupervisorType.ALL_FOR_ONE,
            intensity=10**6,
            backoff=act.Backoff(first=0.001, most=0.001),
        )


async def lines_of_a_restart(node: homing.Node, count: int) -> int:
    supervisor = await node.spawn(Together, count)
    names = node._core.registry.names

    async def end_the_first() -> None:
        before = names[f"{count}: {count - 1}"]
        node.kill(names[f"{count}: 0"].id)
        await eventually(lambda: names.get(f"{count}: {count - 1}") not in (None, before))
        await node.call(supervisor, act.CountChildren())

    return (await work_of(end_the_first)).lines


async def test_a_restart_of_many_that_has_waited_costs_the_same_for_each(node: homing.Node) -> None:
    assert await lines_of_a_restart(node, 100) <= 10 * await lines_of_a_restart(node, 10)
