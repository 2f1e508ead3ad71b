"""Applications that depend on others: those are started first, and not stopped before."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen

from ..support import eventually
from .applications import PERMANENT, TRANSIENT, Broken, Noted, member

RUNNING, LOADED = gen.ApplicationState.RUNNING, gen.ApplicationState.LOADED


def state(node: homing.Node, name: str) -> gen.ApplicationState:
    return node.application_info(name).state


async def load(node: homing.Node, notes: list[Any], **depends: tuple[str, ...]) -> None:
    """Loads an application for each name; each has one member of the same name, in capitals."""
    for name, others in depends.items():
        await node.application_load(Noted(name, (name.upper(),), notes=notes, depends=others))


async def test_what_an_application_depends_on_is_started_first_in_order_and_once(node: homing.Node) -> None:
    notes: list[Any] = []
    await load(node, notes, web=("cache", "store"), cache=("store",), store=())
    await node.application_start("web", PERMANENT)
    assert [name for kind, name in notes if kind == "init"] == ["STORE", "CACHE", "WEB"]
    assert node.application_info("web").mode is PERMANENT
    assert node.application_info("store").mode is gen.ApplicationMode.TEMPORARY


async def test_what_runs_already_is_left_as_it_is(node: homing.Node) -> None:
    notes: list[Any] = []
    await load(node, notes, web=("store",), store=())
    await node.application_start("store", TRANSIENT)
    await node.application_start("web")
    assert notes.count(("init", "STORE")) == 1
    assert node.application_info("store").mode is TRANSIENT


async def test_a_dependency_that_is_not_loaded_is_named_and_nothing_is_started(node: homing.Node) -> None:
    notes: list[Any] = []
    await load(node, notes, web=("cache",), cache=("store",))
    with pytest.raises(gen.ApplicationDepends, match="'cache' depends on 'store', which is not loaded") as caught:
        await node.application_start("web")
    assert caught.value.names == ("store",)
    assert notes == []


@pytest.mark.parametrize(
    ("depends", "circle"),
    [
        ({"a": ("a",)}, "a -> a"),
        ({"a": ("b",), "b": ("a",)}, "a -> b -> a"),
        ({"a": ("d", "b"), "b": ("c",), "c": ("b",), "d": ()}, "b -> c -> b"),
    ],
)
async def test_a_circle_is_refused_by_name_and_nothing_is_started(
    node: homing.Node, depends: dict[str, tuple[str, ...]], circle: str
) -> None:
    notes: list[Any] = []
    await load(node, notes, **depends)
    with pytest.raises(gen.ApplicationDepends, match=circle):
        await node.application_start("a")
    assert notes == []
    assert state(node, "a") is LOADED


async def test_many_ways_to_one_dependency_are_no_circle_and_are_checked_once_each(node: homing.Node) -> None:
    layers = {f"{side}{level}": (f"a{level - 1}", f"b{level - 1}") for level in range(1, 40) for side in "ab"}
    notes: list[Any] = []
    await load(node, notes, a0=(), b0=(), **layers)
    await node.application_start("a39")
    assert len([kind for kind, _ in notes if kind == "init"]) == 79


async def test_a_dependency_that_cannot_be_started_is_the_cause_and_what_had_started_runs_on(node: homing.Node) -> None:
    notes: list[Any] = []
    await load(node, notes, web=("store", "cache"), store=())
    await node.application_load(Noted("cache", (member(Broken, "CACHE", notes),)))
    with pytest.raises(gen.ApplicationDepends, match="'cache', which could not be started: ValueError") as caught:
        await node.application_start("web")
    assert isinstance(caught.value.__cause__, ValueError)
    assert (state(node, "web"), state(node, "cache"), state(node, "store")) == (LOADED, LOADED, RUNNING)


class Slow(act.Actor):
    async def init(self, gate: asyncio.Event) -> None:
        await gate.wait()


async def test_two_that_start_at_once_wait_for_the_same_dependency(node: homing.Node) -> None:
    notes: list[Any] = []
    gate = asyncio.Event()
    await load(node, notes, one=("store",), two=("store",))
    await node.application_load(Noted("store", (member(Slow, "STORE", gate),)))
    starts = asyncio.gather(node.application_start("one"), node.application_start("two"))
    await eventually(node.processes)
    gate.set()
    await starts
    assert {state(node, name) for name in ("one", "two", "store")} == {RUNNING}


async def test_a_dependency_that_is_stopping_is_started_again_when_it_has_ended(node: homing.Node) -> None:
    notes: list[Any] = []
    await load(node, notes, web=("store",), store=())
    await node.application_start("store")
    stop = asyncio.create_task(node.application_stop("store"))
    await eventually(lambda: state(node, "store") is not RUNNING)
    await node.application_start("web")
    await stop
    assert (state(node, "web"), state(node, "store")) == (RUNNING, RUNNING)


async def test_an_application_that_others_need_is_not_stopped_and_they_are_named(node: homing.Node) -> None:
    notes: list[Any] = []
    await load(node, notes, web=("store",), shop=("store",), store=())
    await node.application_start("web")
    with pytest.raises(gen.ApplicationDepends, match="'store' is needed by 'web'; stop that one first"):
        await node.application_stop("store")
    await node.application_start("shop")
    with pytest.raises(gen.ApplicationDepends, match="needed by 'web', 'shop'; stop those first") as caught:
        await node.application_stop("store")
    assert caught.value.names == ("web", "shop")
    for name in ("web", "shop", "store"):
        assert await node.application_stop(name)


async def test_one_that_ends_by_itself_leaves_those_that_need_it_alone_as_in_ergo(node: homing.Node) -> None:
    notes: list[Any] = []
    await load(node, notes, web=("store",), store=())
    await node.application_start("web")
    node.kill(node.application_info("store").members[0])
    assert (state(node, "store"), state(node, "web")) == (LOADED, RUNNING)


async def test_a_node_that_stops_ends_an_application_before_what_it_depends_on() -> None:
    notes: list[Any] = []
    async with homing.start_node("stop@localhost", gen.NodeOptions(handle_signals=False)) as node:
        await load(node, notes, store=(), web=("cache",), cache=("store",))
        await node.application_start("web")
    assert [name for kind, name in notes if kind == "terminate"] == ["WEB", "CACHE", "STORE"]
