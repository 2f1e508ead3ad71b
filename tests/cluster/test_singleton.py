"""Singletons, in virtual time: one in each view, with a quorum in one view only, and after a split one gives way."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest

from homing import act, gen
from homing.cluster.memory_engine import MemoryNetwork

from .nodes import Member, member, members, until, virtual


class Billing(act.Actor):
    """A singleton. alive: those that run. ends: (node, reason) of those that have ended."""

    alive: ClassVar[list[Billing]] = []
    ends: ClassVar[list[tuple[str, Exception]]] = []

    def init(self, *args: Any) -> None:
        self.args = args
        self.got: list[Any] = []
        Billing.alive.append(self)

    def handle_message(self, sender: Any, message: Any) -> None:
        if message == "crash":
            raise ValueError("crash")
        self.got.append(message)

    def handle_call(self, sender: Any, ref: Any, request: Any) -> Any:
        return f"{request} at {self.node}"

    def terminate(self, reason: Exception) -> None:
        Billing.alive.remove(self)
        Billing.ends.append((self.node, reason))
        if isinstance(reason, gen.NameConflict):
            other: Any = reason.other
            self.send(other, ["handed over", *self.got])


@pytest.fixture(autouse=True)
def none_alive() -> None:
    Billing.alive, Billing.ends = [], []


def runs_on() -> list[str]:
    return sorted(one.node for one in Billing.alive)


def declare(*on: Member, **how: Any) -> None:
    for one in on:
        one.cluster.singleton("billing", Billing, "arg", **how)


async def settled() -> None:
    await asyncio.sleep(20)


NAME = gen.ClusterName("billing")


@virtual
async def test_one_of_the_nodes_runs_it_and_all_reach_it_by_its_name() -> None:
    async with members("a", "b", "c") as (a, b, c):
        declare(a, b, c)
        await settled()
        (billing,) = Billing.alive
        assert billing.args == ("arg",)
        assert billing.name == "billing"
        for one in (a, b, c):
            assert one.cluster.whereis("billing") == billing.pid
            assert await one.node.call(NAME, "ask") == f"ask at {billing.node}"
            one.keeper.send(NAME, one.node.name)
            (info,) = one.cluster.singletons()
            assert (info.owners, info.running, info.pid) == ((billing.node,), (billing.node,), billing.pid)
            assert (info.in_view, info.quorum) == (3, 1)
        await until(lambda: len(billing.got) == 3)


@virtual
async def test_when_its_node_dies_another_one_runs_it() -> None:
    async with members("a", "b", "c") as nodes:
        declare(*nodes)
        await settled()
        (first,) = Billing.alive
        nodes[0].engine.network.kill(first.node)
        Billing.alive.remove(first)
        await settled()
        (second,) = Billing.alive
        assert second.node != first.node
        Billing.alive.append(first)


@virtual
async def test_a_node_that_drains_gives_it_up_and_the_next_one_starts_when_it_has_ended() -> None:
    async with members("a", "b") as nodes:
        declare(*nodes)
        await settled()
        (first,) = Billing.alive
        owner = next(one for one in nodes if one.node.name == first.node)
        owner.cluster.drain()
        await owner.cluster.drained()
        assert Billing.alive == []
        assert [(node, type(reason)) for node, reason in Billing.ends] == [(first.node, gen.TerminateShutdown)]
        await settled()
        assert len(Billing.alive) == 1
        assert Billing.alive[0].node != first.node


@virtual
async def test_a_node_that_leaves_ends_it_before_others_start_it() -> None:
    async with members("a", "b") as nodes:
        declare(*nodes)
        await settled()
        (first,) = Billing.alive
        owner = next(one for one in nodes if one.node.name == first.node)
        await owner.cluster.leave()
        assert Billing.alive == []
        await settled()
        assert len(Billing.alive) == 1


@virtual
async def test_if_it_crashes_its_owner_starts_it_again() -> None:
    async with members("a", "b") as nodes:
        declare(*nodes)
        await settled()
        (first,) = Billing.alive
        nodes[0].node.send(NAME, "crash")
        await until(lambda: Billing.alive and Billing.alive[0] is not first)
        assert Billing.alive[0].node == first.node


@virtual
async def test_without_a_quorum_it_is_stopped() -> None:
    async with members("a", "b", "c") as nodes:
        declare(*nodes, quorum=2)
        await settled()
        (first,) = Billing.alive
        network = nodes[0].engine.network
        others = [one.node.name for one in nodes if one.node.name != first.node]
        for other in others:
            network.partition(first.node, other)
        await settled()
        assert runs_on()[0] in others
        assert len(Billing.alive) == 1
        assert [(node, type(reason)) for node, reason in Billing.ends] == [(first.node, gen.NoQuorum)]
        network.heal()
        await settled()
        assert runs_on() == [first.node]


@virtual
async def test_a_divided_network_without_quorum_has_one_in_each_part_and_then_one_gives_way_with_its_state() -> None:
    async with members("a", "b") as (a, b):
        declare(a, b)
        await settled()
        a.engine.network.partition("a@localhost", "b@localhost")
        await settled()
        assert runs_on() == ["a@localhost", "b@localhost"]
        for one in Billing.alive:
            one.got.append(f"state of {one.node}")
        a.engine.network.heal()
        await settled()
        (left,) = Billing.alive
        ((gone, reason),) = Billing.ends
        assert isinstance(reason, gen.NameConflict)
        assert reason.other == left.pid
        assert left.got == [f"state of {left.node}", ["handed over", f"state of {gone}"]]


@virtual
async def test_only_nodes_with_the_tag_and_a_name_that_fits_run_it() -> None:
    network = MemoryNetwork()
    tagged = await member(network, "tagged", tags=("x",))
    named = await member(network, "named", tags=("x",))
    plain = await member(network, "plain")
    declare(tagged, named, plain, tag="x", nodes=("t*", "p*"))
    await settled()
    assert runs_on() == ["tagged@localhost"]
    assert plain.cluster.whereis("billing") == Billing.alive[0].pid
    await tagged.node.stop()
    await settled()
    assert runs_on() == []
    for one in (named, plain):
        await one.node.stop()


@virtual
async def test_a_node_that_comes_back_is_no_second_owner() -> None:
    network = MemoryNetwork()
    async with members("a", "b", "c", network=network) as nodes:
        declare(*nodes)
        for _ in range(3):
            await settled()
            late = await member(network, "late")
            declare(late)
            await settled()
            assert len(Billing.alive) == 1
            await late.node.stop()
        await settled()
        assert len(Billing.alive) == 1


@virtual
async def test_withdrawn_on_its_node_it_runs_on_another_one() -> None:
    async with members("a", "b") as nodes:
        declare(*nodes)
        await settled()
        (first,) = Billing.alive
        owner = next(one for one in nodes if one.node.name == first.node)
        with pytest.raises(gen.NotAllowed, match="declared on this node already"):
            declare(owner)
        await owner.cluster.withdraw("billing")
        assert Billing.alive == []
        with pytest.raises(gen.NotAllowed, match="not declared"):
            await owner.cluster.withdraw("billing")
        await settled()
        assert len(Billing.alive) == 1
        assert Billing.alive[0].node != first.node


@virtual
async def test_an_init_that_fails_is_tried_again() -> None:
    class Failing(Billing):
        tries = 0

        def init(self, *args: Any) -> None:
            Failing.tries += 1
            if Failing.tries < 3:
                raise ValueError("not yet")
            super().init(*args)

    async with members("a") as (a,):
        a.cluster.singleton("billing", Failing)
        await until(lambda: Billing.alive)
        assert Failing.tries == 3


@virtual
async def test_a_name_of_the_cluster_that_nobody_has_is_unknown() -> None:
    async with members("a", "b") as (a, _):
        assert a.cluster.whereis("billing") is None
        with pytest.raises(gen.NameUnknown):
            a.node.send(NAME, "x")
        with pytest.raises(gen.NameUnknown):
            await a.node.call(NAME, "x")


@virtual
async def test_a_name_of_the_cluster_can_be_that_of_a_group_and_is_the_same_member_from_all_nodes() -> None:
    async with members("a", "b", "c") as nodes:
        for one in nodes:
            one.keeper.join_group("billing")
        await settled()
        (chosen,) = {one.cluster.whereis("billing") for one in nodes}
        for one in nodes:
            one.node.send(NAME, "x")
        await settled()
        assert [one.messages for one in nodes if one.pid == chosen] == [["x"] * 3]
