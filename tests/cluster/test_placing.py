"""Applications placed on some nodes of a cluster, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from homing import act, gen
from homing.cluster.memory_engine import MemoryNetwork
from homing.cluster.placement_text import parse_placement

from .nodes import Member, member, members, virtual


class Serving(act.Actor):
    """A member of the application."""

    def handle_message(self, sender: Any, message: Any) -> None:
        raise ValueError("crash")


class App(gen.Application):
    """An application of one member."""

    def load(self, node: Any, *args: Any) -> gen.ApplicationSpec:
        return gen.ApplicationSpec(name="app", members=(gen.ApplicationMember(behavior=Serving, name="serving"),))


def runs_on(*nodes: Member) -> list[str]:
    running = gen.ApplicationState.RUNNING
    return sorted(one.node.name for one in nodes if one.node.application_info("app").state is running)


async def placed(*nodes: Member, **how: Any) -> None:
    for one in nodes:
        await one.node.application_load(App)
        one.cluster.place("app", **how)
    await asyncio.sleep(20)


@virtual
async def test_an_application_runs_on_so_many_nodes_and_waits_loaded_on_the_others() -> None:
    async with members("a", "b", "c") as nodes:
        await placed(*nodes, copies=2)
        assert len(runs_on(*nodes)) == 2
        (info,) = nodes[0].cluster.singletons()
        assert sorted(info.running) == runs_on(*nodes)
        assert info.pid is None


@virtual
async def test_another_node_steps_in_for_one_that_goes_down_or_drains() -> None:
    async with members("a", "b", "c", "d") as nodes:
        await placed(*nodes, copies=2)
        before = runs_on(*nodes)
        gone = next(one for one in nodes if one.node.name == before[0])
        nodes[0].engine.network.freeze(gone.node.name)
        await asyncio.sleep(20)
        left = [one for one in nodes if one is not gone]
        assert len(runs_on(*left)) == 2
        nodes[0].engine.network.thaw(gone.node.name)
        await asyncio.sleep(20)
        assert runs_on(*nodes) == before
        gone.cluster.drain()
        await gone.cluster.drained()
        assert gone.node.name not in runs_on(*nodes)
        await asyncio.sleep(20)
        assert len(runs_on(*nodes)) == 2


@virtual
async def test_an_application_that_ends_by_itself_is_started_again() -> None:
    async with members("a") as (a,):
        await placed(a)
        a.node.send("serving", "crash")
        await asyncio.sleep(5)
        assert runs_on(a) == ["a@localhost"]


@virtual
async def test_only_nodes_with_the_tag_run_it() -> None:
    network = MemoryNetwork()
    one = await member(network, "one", tags=("zone",))
    two = await member(network, "two")
    await placed(one, two, copies=2, tag="zone")
    assert runs_on(one, two) == ["one@localhost"]
    with pytest.raises(gen.ApplicationUnknown):
        one.cluster.place("other")
    for each in (one, two):
        await each.node.stop()


def test_a_placement_on_the_command_line_is_a_number_and_a_tag() -> None:
    assert parse_placement("2/zone") == (2, "zone")
    assert parse_placement("1") == (1, None)
    for bad in ("", "0", "x", "-1", "2/", "/zone", "1.5", "99999", "٣"):
        with pytest.raises(gen.BadOption, match="place"):
            parse_placement(bad)
