"""Groups over the cluster, in virtual time: every node knows the members of all, and they go with process and node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import homing
from homing import act, gen
from homing.cluster.memory_engine import MemoryNetwork

from .nodes import behavior_of, member, members, until, virtual


class Watching(act.Actor):
    """Monitors a group and keeps what it is told."""

    def init(self) -> None:
        self.told: list[Any] = []
        self.there = self.monitor_group("g")

    def handle_message(self, sender: Any, message: Any) -> None:
        self.told.append(message)


async def watch(node: homing.Node) -> Watching:
    watching: Watching = behavior_of(node, await node.spawn(Watching))
    return watching


def in_group(where: Any, *pids: gen.PID, group: str = "g") -> Callable[[], bool]:
    return lambda: sorted(where.cluster.members(group)) == sorted(pids)


@virtual
async def test_every_node_knows_the_members_on_all_nodes() -> None:
    async with members("a", "b", "c") as (a, b, c):
        a.keeper.join_group("g")
        b.keeper.join_group("g")
        for one in (a, b, c):
            await until(in_group(one, a.pid, b.pid))
            assert one.cluster.groups() == ["g"]
        assert b.cluster.members("g", local_first=True)[0] == b.pid
        assert a.cluster.members("g", local_first=True)[0] == a.pid


@virtual
async def test_a_node_that_joins_late_is_told_all_members() -> None:
    network = MemoryNetwork()
    async with members("a", "b", network=network) as (a, b):
        for one in (a, b):
            one.keeper.join_group("g")
            one.keeper.join_group("h")
        late = await member(network, "late")
        await until(in_group(late, a.pid, b.pid))
        await until(in_group(late, a.pid, b.pid, group="h"))
        await late.node.stop()


@virtual
async def test_a_member_leaves_by_its_own_will_by_its_end_and_with_its_node() -> None:
    async with members("a", "b", "c") as (a, b, c):
        for one in (a, b, c):
            one.keeper.join_group("g")
        await until(in_group(c, a.pid, b.pid, c.pid))
        assert c.keeper.leave_group("g")
        assert not c.keeper.leave_group("g")
        await until(in_group(a, a.pid, b.pid))
        b.node.kill(b.pid)
        await until(in_group(a, a.pid))
        await until(in_group(c, a.pid))
        a.engine.network.freeze("a@localhost")
        await until(in_group(c))
        assert c.cluster.groups() == []
        a.engine.network.thaw("a@localhost")
        await until(in_group(c, a.pid))


@virtual
async def test_a_monitor_gets_each_change_once_in_order() -> None:
    async with members("a", "b") as (a, b):
        a.keeper.join_group("g")
        await until(in_group(b, a.pid))
        watching = await watch(b.node)
        assert watching.there == [a.pid]
        b.keeper.join_group("g")
        a.keeper.leave_group("g")
        b.keeper.leave_group("g")
        await until(lambda: len(watching.told) == 3)
        assert watching.told[0] == gen.MessageGroupJoined("g", (b.pid,))
        assert {type(told) for told in watching.told[1:]} == {gen.MessageGroupLeft}
        assert watching.demonitor_group("g")
        assert not watching.demonitor_group("g")
        a.keeper.join_group("g")
        await until(in_group(b, a.pid))
        assert len(watching.told) == 3


@virtual
async def test_the_members_of_a_node_that_is_down_leave_at_once_in_one_notice() -> None:
    async with members("a", "b") as (a, b):
        watching = await watch(b.node)
        other = await a.node.spawn(type(a.keeper))
        a.keeper.join_group("g")
        behavior_of(a.node, other).join_group("g")
        await until(in_group(b, a.pid, other))
        a.engine.network.freeze("a@localhost")
        await until(lambda: not b.cluster.members("g"))
        await until(lambda: len(watching.told) == 3)
        assert watching.told[-1] == gen.MessageGroupLeft("g", (a.pid, other))


@virtual
async def test_a_short_interruption_is_seen_as_leaving_and_joining_of_what_changed_only() -> None:
    async with members("a", "b") as (a, b):
        a.keeper.join_group("g")
        a.keeper.join_group("g")  # a second time: it is a member once
        await until(in_group(b, a.pid))
        network = a.engine.network
        network.partition("a@localhost", "b@localhost")
        await until(lambda: not b.cluster.members("g"))
        a.keeper.leave_group("g")
        a.keeper.join_group("h")
        network.heal()
        await until(in_group(b, a.pid, group="h"))
        assert b.cluster.members("g") == []


@virtual
async def test_a_group_of_many_members_is_told_in_several_frames() -> None:
    network = MemoryNetwork()
    async with members("a", network=network) as (a,):
        pids = [gen.PID("a@localhost", 2000 + number, a.pid.creation) for number in range(4500)]
        for pid in pids:
            a.cluster.membership.announce("g", pid)
        late = await member(network, "late")
        await until(lambda: len(late.cluster.members("g")) == 4500)
        assert late.cluster.members("g") == pids
        await late.node.stop()


async def test_groups_need_a_cluster(node: homing.Node) -> None:
    keeper = behavior_of(node, await node.spawn(act.Actor))
    for method in (keeper.join_group, keeper.leave_group, keeper.monitor_group, keeper.demonitor_group):
        with pytest.raises(gen.NotAllowed, match="no cluster"):
            method("g")


@virtual
async def test_a_name_that_the_cluster_keeps_for_itself_is_refused() -> None:
    async with members("a") as (a,):
        for name in ("homing:running:x", "", "x" * 256):
            with pytest.raises(gen.BadOption):
                a.keeper.join_group(name)
            with pytest.raises(gen.BadOption):
                a.keeper.monitor_group(name)
