"""`terminate` of a meta-process: exactly once, on every path."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import homing
from homing import act, gen

from ...support import Probe, busy_tasks, eventually
from ..actors import QUIET, Doer, Meta, hang, throw, throw_later


class Sync(Meta):
    """Its `init` does what the test tells it."""

    def __init__(self, init: Callable[[Any], Any] | None = None) -> None:
        super().__init__()
        self.in_init = init
        self.done = 0

    def init(self, process: gen.MetaProcess) -> Any:
        self.process = process
        return self.in_init(self) if self.in_init is not None else None


class Async(Sync):
    """Its `terminate` is asynchronous."""

    async def terminate(self, reason: Exception) -> None:
        self.reasons.append(reason)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.done += 1


KINDS = pytest.mark.parametrize("kind", [Sync, Async])


async def spawn(actor: Doer, source: Any, options: Any = None) -> gen.Alias:
    return await actor.spawn_meta(source, options)


async def spawn_and_expect(node: homing.Node, source: Any, error: type[BaseException], options: Any = None) -> None:
    """Lets a process spawn it in vain."""

    async def attempt(actor: Doer) -> None:
        with pytest.raises(error):
            await actor.spawn_meta(source, options)

    await node.call(await node.spawn(Doer), attempt)


@KINDS
@pytest.mark.parametrize(
    ("init", "error"),
    [
        (throw(OSError("in use")), OSError),
        (throw_later(OSError("in use")), OSError),
        (throw_later(SystemExit(1)), SystemExit),
        (hang, gen.InitTimeout),
    ],
    ids=["raises", "raises later", "panics", "times out"],
)
async def test_a_failed_init_is_raised_after_terminate_has_run(
    node: homing.Node, kind: type[Sync], init: Any, error: type[BaseException]
) -> None:
    source = kind(init)
    await spawn_and_expect(node, source, error, gen.MetaOptions(init_timeout=0.05))
    assert len(source.reasons) == 1
    assert source.done == (kind is Async)
    assert node.info().metas == 0
    await spawn_and_expect(node, source, gen.NotAllowed)
    assert len(source.reasons) == 1


@KINDS
async def test_a_node_that_stops_refuses_it_after_terminate_has_run(kind: type[Sync]) -> None:
    source = kind()

    async def attempt(actor: Doer) -> None:
        await eventually(lambda: node.info().state == "stopping")
        for error in (gen.NodeTerminated, gen.NotAllowed):
            with pytest.raises(error):
                await actor.spawn_meta(source)

    async with homing.start_node("stopping@localhost", QUIET) as node:
        node.send(await node.spawn(Doer), attempt)
        await asyncio.sleep(0)
        await node.stop()
    assert [type(reason) for reason in source.reasons] == [gen.NodeTerminated]


@KINDS
async def test_a_bad_option_is_refused_after_terminate_has_run(node: homing.Node, kind: type[Sync]) -> None:
    source = kind()
    await spawn_and_expect(node, source, gen.BadOption, gen.ProcessOptions())
    assert [type(reason) for reason in source.reasons] == [gen.BadOption]


@KINDS
async def test_a_parent_that_is_dead_is_refused_after_terminate_has_run(node: homing.Node, kind: type[Sync]) -> None:
    source = kind()
    ended = asyncio.Event()

    class Late(act.Actor):
        async def terminate(self, reason: Exception) -> None:
            with pytest.raises(gen.NotAllowed, match="has ended"):
                await self.spawn_meta(source)
            ended.set()

    node.kill(await node.spawn(Late))
    await eventually(ended.is_set)
    assert [type(reason) for reason in source.reasons] == [gen.NotAllowed]


@KINDS
async def test_one_that_was_started_before_is_refused_and_lives_on(node: homing.Node, kind: type[Sync]) -> None:
    source = kind()
    parent = await node.spawn(Doer)
    alias = await node.call(parent, lambda actor: spawn(actor, source))
    await spawn_and_expect(node, source, gen.NotAllowed)
    assert source.reasons == []
    assert await node.call(alias, "alive?") == ("answer", "alive?")


ENDS: dict[str, tuple[Callable[[homing.Node, gen.PID, gen.Alias], Any], type[Exception]]] = {
    "exit": (
        lambda node, parent, alias: node.send(parent, lambda actor: actor.send_exit_meta(alias, gen.TerminateShutdown)),
        gen.TerminateShutdown,
    ),
    "parent's crash": (lambda node, parent, alias: node.send(parent, throw(ValueError)), ValueError),
    "parent's kill": (lambda node, parent, alias: node.kill(parent), gen.TerminateKill),
    "parent's kill while it runs": (
        lambda node, parent, alias: node.send(parent, lambda actor: node.kill(parent)),
        gen.TerminateKill,
    ),
    "crash": (lambda node, parent, alias: node.send(alias, throw(ValueError)), ValueError),
    "later crash": (lambda node, parent, alias: node.send(alias, throw_later(ValueError)), ValueError),
    "end": (lambda node, parent, alias: node.send(alias, throw(gen.TerminateNormal)), gen.TerminateNormal),
    "node's stop": (lambda node, parent, alias: node.stop(), gen.TerminateShutdown),
}


@KINDS
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("busy", [False, True])
async def test_terminate_runs_once_however_it_ends(kind: type[Sync], end: str, busy: bool) -> None:
    source = kind()
    cause, reason = ENDS[end]
    async with homing.start_node("ends@localhost", QUIET) as node:
        parent = await node.spawn(Doer)
        alias = await node.call(parent, lambda actor: spawn(actor, source))
        if busy and "crash" not in end and end != "end":
            node.send(alias, lambda self: asyncio.sleep(0.001))
        for _ in range(1 if end == "parent's kill" else 2):  # a second kill cuts an asynchronous terminate short
            try:
                result = cause(node, parent, alias)
            except gen.HomingError:
                break  # the first has ended it already
            if isinstance(result, Awaitable):
                await result
        await eventually(lambda: node.info().metas == 0)
        with pytest.raises(gen.MetaTerminated):
            node.send(alias, "late")
    assert [type(each) for each in source.reasons] == [reason]
    assert source.done == (kind is Async)


@KINDS
async def test_a_start_that_ends_before_the_handler_does_ends_it_once(node: homing.Node, kind: type[Sync]) -> None:
    gate = asyncio.Event()

    class Short(kind):  # type: ignore[misc, valid-type]
        async def start(self) -> None:
            await gate.wait()

    source = Short()
    parent = await node.spawn(Doer)
    alias = await node.call(parent, lambda actor: spawn(actor, source))
    node.send(alias, hang)
    await eventually(lambda: node.meta_info(alias).state is gen.ProcessState.RUNNING)
    gate.set()
    await eventually(lambda: node.info().metas == 0 and len(busy_tasks(node)) == 1)
    assert [type(each) for each in source.reasons] == [gen.TerminateNormal]


async def test_one_that_is_ended_before_its_tasks_began_ends_once(node: homing.Node) -> None:
    source = Sync()

    async def both(actor: Doer) -> None:
        alias = await actor.spawn_meta(source)
        node.send(alias, lambda self: asyncio.sleep(0))
        node.kill(actor.pid)

    node.send(await node.spawn(Doer), both)
    await eventually(lambda: node.processes() == [])
    assert [type(each) for each in source.reasons] == [gen.TerminateKill]


async def test_an_exit_during_an_asynchronous_init_ends_it_once(node: homing.Node, probe: Probe) -> None:
    gate = asyncio.Event()
    source = Sync(lambda self: gate.wait())
    parent = await node.spawn(Doer)
    node.send(parent, lambda actor: spawn(actor, source))
    await eventually(lambda: node.info().metas == 1)
    alias = source.process.id
    await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateShutdown))
    gate.set()
    await eventually(lambda: node.info().metas == 0)
    assert [type(each) for each in source.reasons] == [gen.TerminateShutdown]
    assert parent in node.processes()


@KINDS
def test_a_loop_that_is_shut_down_without_the_nodes_stop_ends_it_once(kind: type[Sync]) -> None:
    source = Sync()

    async def main() -> None:
        node = await homing.start_node("cancelled@localhost", QUIET)
        parent = await node.spawn(Doer)
        await node.call(parent, lambda actor: spawn(actor, source))
        if kind is Async:
            await asyncio.sleep(0)  # its start has begun

    asyncio.run(main())
    assert [type(each) for each in source.reasons] == [gen.TerminateKill]


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(1)], ids=["ValueError", "SystemExit"])
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_terminate_that_raises_is_logged_and_it_ends_all_the_same(
    node: homing.Node, probe: Probe, caplog: pytest.LogCaptureFixture, error: BaseException, asynchronous: bool
) -> None:
    class Bad(Meta):
        def terminate(self, reason: Exception) -> Any:
            return (throw_later if asynchronous else throw)(error)(self)

    parent = await node.spawn(Doer)
    alias = await node.call(parent, lambda actor: spawn(actor, Bad()))
    await probe.do(lambda actor: actor.monitor(alias))
    node.send(alias, throw(gen.TerminateNormal))
    assert isinstance((await probe.get()).reason, gen.TerminateNormal)
    assert [record.exc_info is not None for record in caplog.records] == [True]


async def test_a_failing_terminate_does_not_hide_why_it_could_not_be_started(
    node: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    class Bad(Sync):
        def terminate(self, reason: Exception) -> Any:
            raise ValueError("in terminate")

    await spawn_and_expect(node, Bad(throw(OSError("in use"))), OSError)
    await spawn_and_expect(node, Bad(), gen.BadOption, "no options")
    assert ["in terminate" in record.getMessage() for record in caplog.records] == [True, True]


# --- the order of a parent's end -------------------------------------------------------------------------


async def test_the_meta_processes_have_ended_last_started_first_before_the_parents_terminate(
    node: homing.Node, probe: Probe
) -> None:
    notes: list[Any] = []

    class Noted(Meta):
        def __init__(self, number: int, asynchronous: bool) -> None:
            super().__init__()
            self.number, self.asynchronous = number, asynchronous

        def terminate(self, reason: Exception) -> Any:
            notes.append(("begun", self.number))
            return self.later() if self.asynchronous else None

        async def later(self) -> None:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            notes.append(("done", self.number))

    class Parent(Doer):
        def terminate(self, reason: Exception) -> None:
            notes.append(("parent", type(reason), node.info().metas))

    pid = await node.spawn(Parent)
    for number in range(3):
        await node.call(pid, lambda actor, number=number: actor.spawn_meta(Noted(number, number != 1)))
    await probe.do(lambda actor: actor.monitor(pid))
    node.send(pid, throw(gen.TerminateShutdown))
    assert isinstance(await probe.get(), gen.MessageDownPID)
    assert notes[:3] == [("begun", 2), ("begun", 1), ("begun", 0)]
    assert sorted(notes[3:5]) == [("done", 0), ("done", 2)]
    assert notes[5:] == [("parent", gen.TerminateShutdown, 0)]


async def test_a_stuck_end_of_a_meta_process_is_cut_short_by_kill(node: homing.Node) -> None:
    notes: list[str] = []

    class Stuck(Meta):
        async def terminate(self, reason: Exception) -> None:
            notes.append("begun")
            try:
                await asyncio.Event().wait()
            finally:
                notes.append("cut")

    reasons: list[Exception] = []
    pid = await node.spawn(Doer, reasons)
    await node.call(pid, lambda actor: actor.spawn_meta(Stuck()))
    node.send_exit(pid, gen.TerminateShutdown)
    await eventually(lambda: notes)
    assert node.process_info(pid).state is gen.ProcessState.ZOMBIE
    node.kill(pid)
    await eventually(lambda: node.info().processes == node.info().metas == 0)
    assert notes == ["begun", "cut"]
    assert [type(reason) for reason in reasons] == [gen.TerminateShutdown]
