"""Spawning: what a new process is given, and what is undone if its `init` does not succeed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen

from ...support import Probe, eventually
from ..actors import QUIET, Doer, Gate, Meta, hang, throw


class Init(act.Actor):
    """Runs a function as its `init`."""

    def init(self, function: Any) -> Any:
        return function(self)

    def terminate(self, reason: Exception) -> None:
        raise AssertionError("terminate of a process whose init failed")


class AsyncInit(Init):
    async def init(self, function: Any) -> None:
        await asyncio.sleep(0)
        result = function(self)
        if asyncio.iscoroutine(result):
            await result


class Child(act.Actor):
    """Tells a probe why it ends."""

    def init(self, reasons: list[Exception]) -> None:
        self.reasons = reasons

    def terminate(self, reason: Exception) -> None:
        self.reasons.append(reason)


@pytest.mark.parametrize("kind", [Init, AsyncInit])
async def test_init_runs_once_before_any_message_and_with_the_arguments(node: homing.Node, kind: type[Init]) -> None:
    seen: list[Any] = []

    class Both(kind):  # type: ignore[misc, valid-type]
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            seen.append(message)

        def terminate(self, reason: Exception) -> None:
            pass

    def init(actor: act.Actor) -> None:
        actor.send(actor.pid, "early")
        seen.append("init")

    await node.spawn(Both, init)
    await eventually(lambda: len(seen) == 2)
    assert seen == ["init", "early"]


@pytest.mark.parametrize("kind", [Init, AsyncInit])
async def test_spawn_raises_what_init_raised_and_leaves_nothing(node: homing.Node, kind: type[Init]) -> None:
    error = LookupError("mine")
    with pytest.raises(LookupError) as caught:
        await node.spawn(kind, throw(error), name="taken")
    assert caught.value is error
    assert caught.traceback[-1].name == "function"
    info = node.info()
    assert (info.processes, info.names, info.crashes) == (0, 0, 0)
    await node.spawn(Doer, name="taken")


@pytest.mark.parametrize("kind", [Init, AsyncInit])
async def test_a_panic_in_init_comes_to_who_spawned_it(node: homing.Node, kind: type[Init]) -> None:
    with pytest.raises(GeneratorExit):
        await node.spawn(kind, throw(GeneratorExit))
    assert node.processes() == []


async def test_an_init_that_takes_too_long_is_stopped_and_named(node: homing.Node) -> None:
    with pytest.raises(gen.InitTimeout) as caught:
        await node.spawn(AsyncInit, hang, options=gen.ProcessOptions(init_timeout=0.01))
    assert (caught.value.behavior, caught.value.seconds) == ("AsyncInit", 0.01)
    assert node.processes() == []


async def test_a_timeout_of_inits_own_is_not_mistaken_for_init_timeout(node: homing.Node) -> None:
    error = TimeoutError("mine")
    with pytest.raises(TimeoutError) as caught:
        await node.spawn(AsyncInit, throw(error))
    assert caught.value is error


async def test_everything_a_failing_init_began_is_undone(node: homing.Node, probe: Probe) -> None:
    reasons: list[Exception] = []
    source = Meta()

    async def init(actor: act.Actor) -> None:
        actor.create_alias()
        actor.register_event("tick")
        actor.send_every(probe.pid, "tick", 0.001)
        actor.monitor(probe.pid)
        await actor.spawn_meta(source)
        await actor.spawn(Child, reasons, options=gen.ProcessOptions(link_parent=True))
        raise LookupError("mine")

    with pytest.raises(LookupError):
        await node.spawn(AsyncInit, init)
    info = node.info()
    assert (info.metas, info.aliases, info.events) == (0, 0, 0)
    assert [repr(reason) for reason in source.reasons] == ["LookupError('mine')"]
    await eventually(lambda: node.processes() == [probe.pid])
    assert [repr(reason) for reason in reasons] == ["LookupError('mine')"]
    probe.waiting()
    await asyncio.sleep(0.005)
    assert probe.waiting() == []


async def test_a_failing_init_waits_for_the_asynchronous_end_of_its_meta_processes(node: homing.Node) -> None:
    notes: list[str] = []

    class Slow(Meta):
        async def terminate(self, reason: Exception) -> None:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            notes.append("socket closed")

    async def init(actor: act.Actor) -> None:
        await actor.spawn_meta(Slow())
        raise LookupError("mine")

    with pytest.raises(LookupError):
        await node.spawn(AsyncInit, init)
    assert notes == ["socket closed"]


async def test_messages_to_a_name_wait_until_init_is_done(node: homing.Node) -> None:
    gate, kept = asyncio.Event(), []

    class Late(act.Actor):
        async def init(self) -> None:
            await gate.wait()
            kept.append("init")

        def handle_message(self, sender: gen.PID, message: Any) -> None:
            kept.append(message)

    spawning = asyncio.create_task(node.spawn(Late, name="late"))
    await eventually(lambda: node.info().names)
    node.send("late", "hello")
    gate.set()
    await spawning
    await eventually(lambda: len(kept) == 2)
    assert kept == ["init", "hello"]


async def test_cancelling_a_spawn_undoes_it(node: homing.Node) -> None:
    spawning = asyncio.create_task(node.spawn(AsyncInit, hang, name="never"))
    await eventually(lambda: node.info().names)
    spawning.cancel()
    await asyncio.wait((spawning,))
    assert spawning.cancelled()
    assert (node.info().processes, node.info().names) == (0, 0)


async def test_killing_a_parent_that_waits_for_a_childs_init_undoes_the_child(node: homing.Node) -> None:
    parent = await node.spawn(Doer)
    node.send(parent, lambda actor: actor.spawn(AsyncInit, hang))
    await eventually(lambda: len(node.processes()) == 2)
    node.kill(parent)
    await eventually(lambda: node.processes() == [])


# --- what a child inherits -------------------------------------------------------------------------------


async def test_the_environment_comes_from_node_parent_and_options_the_later_winning() -> None:
    options = gen.NodeOptions(handle_signals=False, env={"a": "node", "b": "node", "c": "node"})
    async with homing.start_node("env@localhost", options) as node:
        parent = await node.spawn(Doer, options=gen.ProcessOptions(env={"b": "parent", "c": "parent"}))

        def spawn(actor: Doer) -> Any:
            return actor.spawn(Doer, options=gen.ProcessOptions(env={"c": "child"}))

        child = await node.call(parent, spawn)
        assert dict(node.process_info(parent).env) == {"a": "node", "b": "parent", "c": "parent"}
        assert dict(node.process_info(child).env) == {"a": "node", "b": "parent", "c": "child"}
        assert dict(node.env) == {"a": "node", "b": "node", "c": "node"}


async def test_nobody_can_change_an_environment(node: homing.Node) -> None:
    mine = {"a": 1}
    pid = await node.spawn(Doer, options=gen.ProcessOptions(env=mine))
    mine["a"] = 2
    assert node.process_info(pid).env["a"] == 1
    with pytest.raises(TypeError):
        node.process_info(pid).env["a"] = 3  # type: ignore[index]


async def test_parent_and_leader_are_inherited_unless_given(node: homing.Node) -> None:
    leader = await node.spawn(Doer)
    top = await node.spawn(Doer, options=gen.ProcessOptions(leader=leader))
    child = await node.call(top, lambda actor: actor.spawn(Doer))
    assert await node.call(top, lambda actor: (actor.parent, actor.leader)) == (node.pid, leader)
    assert await node.call(child, lambda actor: (actor.parent, actor.leader)) == (top, leader)
    assert node.process_info(leader).leader == node.pid


# --- what spawn refuses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "arguments"),
    [
        ("behavior", (Doer(),)),
        ("behavior", (int,)),
        ("behavior", (Meta,)),
        ("name", (Doer, "")),
        ("name", (Doer, 7)),
        ("name", (Doer, "x" * 256)),
        ("options", (Doer, None, {"mailbox_size": 1})),
        ("options", (Doer, None, gen.MetaOptions())),
        ("link_parent", (Doer, None, gen.ProcessOptions(link_parent=True))),
        ("link_parent", (Doer, None, gen.ProcessOptions(link_child=True))),
    ],
)
async def test_what_cannot_be_spawned_is_refused_by_its_name(
    node: homing.Node, option: str, arguments: tuple[Any, ...]
) -> None:
    behavior, name, options = (*arguments, None, None)[:3]
    with pytest.raises(gen.BadOption) as caught:
        await node.spawn(behavior, name=name, options=options)
    assert caught.value.option == option
    assert node.processes() == []


async def test_a_taken_name_is_refused_and_the_new_process_is_gone(node: homing.Node) -> None:
    owner = await node.spawn(Doer, name="doer")
    with pytest.raises(gen.NameTaken) as caught:
        await node.spawn(Doer, name="doer")
    assert (caught.value.name, caught.value.owner) == ("doer", owner)
    assert node.processes() == [owner]


async def test_the_name_of_a_process_that_still_ends_is_not_free(node: homing.Node) -> None:
    gate = asyncio.Event()

    class Slow(act.Actor):
        async def terminate(self, reason: Exception) -> None:
            await gate.wait()

    pid = await node.spawn(Slow, name="slow")
    node.kill(pid)
    with pytest.raises(gen.NameTaken):
        await node.spawn(Doer, name="slow")
    with pytest.raises(gen.NameUnknown):
        node.send("slow", "hello")
    gate.set()
    await eventually(lambda: node.processes() == [])
    await node.spawn(Doer, name="slow")


async def test_who_is_told_of_an_end_can_have_the_name_at_once(node: homing.Node, probe: Probe) -> None:
    pid = await node.spawn(Doer, name="mine")
    await probe.do(lambda actor: actor.monitor("mine"))
    node.kill(pid)
    assert isinstance(await probe.get(), gen.MessageDownName)
    await node.spawn(Doer, name="mine")


# --- the family ------------------------------------------------------------------------------------------


async def family(node: homing.Node, reasons: list[Exception], **options: Any) -> tuple[gen.PID, gen.PID]:
    parent = await node.spawn(Doer, reasons)
    child = await node.call(parent, lambda actor: actor.spawn(Doer, options=gen.ProcessOptions(**options)))
    return parent, child


async def test_with_link_parent_a_child_ends_with_its_parent_and_not_the_other_way(node: homing.Node) -> None:
    parent, child = await family(node, [], link_parent=True)
    node.kill(child)
    assert await node.call(parent, lambda actor: "alive") == "alive"
    parent, child = await family(node, [], link_parent=True)
    node.send(parent, throw(gen.TerminateNormal))
    await eventually(lambda: child not in node.processes())


async def test_with_link_child_a_parent_ends_with_its_child_for_its_reason(node: homing.Node) -> None:
    reasons: list[Exception] = []
    parent, child = await family(node, reasons, link_child=True)
    node.send(child, throw(gen.TerminateShutdown("enough")))
    await eventually(lambda: parent not in node.processes())
    assert [str(reason) for reason in reasons] == ["enough"]


async def test_a_child_without_links_outlives_its_parent(node: homing.Node) -> None:
    parent, child = await family(node, [])
    node.kill(parent)
    assert await node.call(child, lambda actor: actor.parent) == parent


async def test_a_failed_spawn_is_told_once_by_its_error_also_with_link_child(node: homing.Node, probe: Probe) -> None:
    async def spawn(actor: act.Actor) -> str:
        with pytest.raises(LookupError):
            await actor.spawn(Init, throw(LookupError), options=gen.ProcessOptions(link_child=True, link_parent=True))
        return "alive"

    parent = await node.spawn(Doer)
    assert await node.call(parent, spawn) == "alive"
    assert await node.call(parent, lambda actor: "still alive") == "still alive"
    assert await probe.do(spawn) == "alive"
    assert await probe.do(lambda actor: "still alive") == "still alive"
    assert probe.waiting() == []


async def test_who_monitors_a_process_in_its_init_is_told_if_that_fails(node: homing.Node, probe: Probe) -> None:
    gate = asyncio.Event()

    async def init(actor: act.Actor) -> None:
        await gate.wait()
        raise LookupError("mine")

    spawning = asyncio.create_task(node.spawn(AsyncInit, init, name="late"))
    await eventually(lambda: node.info().names)
    await probe.do(lambda actor: actor.monitor("late"))
    gate.set()
    with pytest.raises(LookupError):
        await spawning
    down = await probe.get()
    assert (down.name, repr(down.reason)) == ("late", "LookupError('mine')")


async def test_a_node_that_stops_does_not_wait_for_ever_for_an_init() -> None:
    gate = asyncio.Event()
    async with homing.start_node("init@localhost", QUIET) as node:
        spawning = asyncio.create_task(node.spawn(AsyncInit, lambda actor: gate.wait(), name="late"))
        await eventually(lambda: node.info().names)
        assert await node.stop(timeout=0) is False
        assert node.processes() == []
        gate.set()
        with pytest.raises(gen.ProcessTerminated) as caught:
            await spawning
    assert isinstance(caught.value.reason, gen.TerminateKill)


async def test_a_process_spawned_into_a_busy_node_starts_all_the_same(node: homing.Node) -> None:
    gate, kept = asyncio.Event(), []
    node.send(await node.spawn(Gate, kept, gate), "busy")
    pid = await node.spawn(Doer)
    assert await node.call(pid, lambda actor: actor.pid) == pid
    gate.set()
