"""Stopping a node: sources first, then what waits in the mailboxes, then the processes; kill is the last resort."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen

from ..support import busy_tasks, eventually
from .actors import QUIET, Doer, Gate, Meta, hang, throw


class Noted(act.Actor):
    """Notes its name and its reason when it ends."""

    def init(self, notes: list[Any]) -> None:
        self.notes = notes

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.notes.append(message)

    def terminate(self, reason: Exception) -> None:
        self.notes.append((self.name, type(reason)))


async def test_mailboxes_are_worked_off_before_the_processes_end() -> None:
    notes: list[Any] = []
    async with homing.start_node("stop@localhost", QUIET) as node:
        pid = await node.spawn(Noted, notes, name="a")
        for number in range(2000):
            node.send(pid, number)
        assert await node.stop()
    assert notes == [*range(2000), ("a", gen.TerminateShutdown)]


async def test_work_that_makes_more_work_is_done_too_before_the_end() -> None:
    notes: list[Any] = []

    def pass_on(left: int, to: gen.PID) -> Any:
        def function(actor: Doer) -> None:
            if left:
                actor.send(actor.pid, pass_on(left - 1, to))
            else:
                actor.send(to, "done")

        return function

    async with homing.start_node("stop@localhost", QUIET) as node:
        last = await node.spawn(Noted, notes)
        node.send(await node.spawn(Doer), pass_on(1000, last))
    assert notes == ["done", (None, gen.TerminateShutdown)]


async def test_processes_end_in_the_reverse_order_of_their_start() -> None:
    notes: list[Any] = []
    async with homing.start_node("stop@localhost", QUIET) as node:
        for name in "abc":
            await node.spawn(Noted, notes, name=name)
    assert [name for name, _ in notes] == ["c", "b", "a"]


async def test_a_top_level_process_ends_before_those_started_below_another() -> None:
    notes: list[Any] = []
    async with homing.start_node("stop@localhost", QUIET) as node:
        top = await node.spawn(Doer)
        await node.call(top, lambda actor: actor.spawn(Noted, notes, name="below"))
        await node.spawn(Noted, notes, name="top")
    assert [name for name, _ in notes] == ["top", "below"]


async def test_a_trapping_process_ends_all_the_same_when_the_node_stops() -> None:
    class Traps(Noted):
        trap_exit = True

    notes: list[Any] = []
    async with homing.start_node("stop@localhost", QUIET) as node:
        top = await node.spawn(Doer)
        await node.call(top, lambda actor: actor.spawn(Traps, notes, name="below"))
        assert await node.stop()
    assert notes == [("below", gen.TerminateShutdown)]


async def test_sources_are_asked_to_drain_before_any_process_ends() -> None:
    notes: list[Any] = []

    class Source(Meta):
        def drain(self) -> None:
            notes.append("drain")

        def terminate(self, reason: Exception) -> None:
            notes.append("terminate")

    async with homing.start_node("stop@localhost", QUIET) as node:
        pid = await node.spawn(Doer)
        await node.call(pid, lambda actor: actor.spawn_meta(Source()))
        await node.spawn(Noted, notes)
    assert notes == ["drain", (None, gen.TerminateShutdown), "terminate"]


async def test_a_stop_waits_until_what_is_still_to_go_out_has_gone() -> None:
    asked: list[bool] = []

    class Source(Meta):
        def drained(self) -> bool:
            asked.append(len(asked) >= 3)
            return asked[-1]

    async with homing.start_node("stop@localhost", QUIET) as node:
        pid = await node.spawn(Doer)
        await node.call(pid, lambda actor: actor.spawn_meta(Source()))
        assert await node.stop()
    assert asked[:4] == [False, False, False, True]


@pytest.mark.parametrize("callback", ["drain", "drained"])
async def test_a_source_that_fails_to_drain_is_logged_and_keeps_nothing_from_stopping(
    callback: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = Meta()
    setattr(source, callback, lambda: throw(OSError("no"))(None))
    async with homing.start_node("stop@localhost", QUIET) as node:
        pid = await node.spawn(Doer)
        await node.call(pid, lambda actor: actor.spawn_meta(source))
        assert await node.stop()
    assert node.info().processes == 0
    assert len(source.reasons) == 1
    assert [record.exc_info is not None for record in caplog.records] == [True]


async def test_a_stuck_process_is_killed_and_the_stop_says_so(caplog: pytest.LogCaptureFixture) -> None:
    reasons: list[Exception] = []
    async with homing.start_node("stop@localhost", QUIET) as node:
        pid = await node.spawn(Doer, reasons)
        node.send(pid, hang)
        await eventually(lambda: node.process_info(pid).state is gen.ProcessState.RUNNING)
        assert await node.stop(timeout=0.05) is False
    assert [type(reason) for reason in reasons] == [gen.TerminateKill]
    assert "is killed" in caplog.text


async def test_a_stuck_process_does_not_use_up_the_time_of_those_that_end_in_order() -> None:
    notes: list[Any] = []
    async with homing.start_node("stop@localhost", QUIET) as node:
        for name in "abc":
            await node.spawn(Noted, notes, name=name)
        stuck = await node.spawn(Doer)
        node.send(stuck, hang)
        await eventually(lambda: node.process_info(stuck).state is gen.ProcessState.RUNNING)
        assert await node.stop(timeout=0.2) is False
    assert notes == [(name, gen.TerminateShutdown) for name in "cba"]


async def test_a_process_that_swallows_its_cancellation_is_left_behind_and_the_node_stops(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate = asyncio.Event()

    async def swallow(actor: Doer) -> None:
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                pass

    async with homing.start_node("stop@localhost", QUIET) as node:
        pid = await node.spawn(Doer, name="stuck")
        node.send(pid, swallow)
        await eventually(lambda: node.process_info(pid).state is gen.ProcessState.RUNNING)
        assert await node.stop(timeout=0.01) is False
        assert node.info().processes == 0
        assert "left behind" in caplog.text
        caplog.clear()
        gate.set()
        await eventually(lambda: len(busy_tasks(node)) == 1, "the end of its task")
    assert caplog.records == []


async def test_a_process_that_never_runs_out_of_work_ends_in_order() -> None:
    reasons: list[Exception] = []

    def again(actor: Doer) -> None:
        actor.send(actor.pid, again)

    async with homing.start_node("stop@localhost", QUIET) as node:
        node.send(await node.spawn(Doer, reasons), again)
        assert await node.stop(timeout=0.5)
    assert [type(reason) for reason in reasons] == [gen.TerminateShutdown]


async def test_stopping_twice_at_once_is_one_stop() -> None:
    reasons: list[Exception] = []
    async with homing.start_node("stop@localhost", QUIET) as node:
        await node.spawn(Doer, reasons)
        assert await asyncio.gather(node.stop(), node.stop()) == [True, True]
        assert await node.stop()
    assert len(reasons) == 1


async def test_a_second_stop_shortens_the_first() -> None:
    async with homing.start_node("stop@localhost", QUIET) as node:
        pid = await node.spawn(Doer)
        node.send(pid, hang)
        await asyncio.sleep(0)
        first = asyncio.create_task(node.stop(timeout=3600))
        await eventually(lambda: node.info().state == "stopping")
        assert await node.stop(timeout=0) is False
        assert await first is False


async def test_a_second_stop_soon_is_at_once_however_soon_it_comes() -> None:
    reasons: list[Exception] = []
    async with homing.start_node("stop@localhost", gen.NodeOptions(handle_signals=False, stop_timeout=3600)) as node:
        pid = await node.spawn(Doer, reasons)
        node.send(pid, hang)
        await eventually(lambda: node.process_info(pid).state is gen.ProcessState.RUNNING)
        node.stop_soon()
        node.stop_soon()
        await node.wait()
    assert [type(reason) for reason in reasons] == [gen.TerminateKill]


async def test_cancelling_a_stop_does_not_stop_the_stop() -> None:
    async with homing.start_node("stop@localhost", QUIET) as node:
        kept: list[Any] = []
        gate = asyncio.Event()
        node.send(await node.spawn(Gate, kept, gate), "busy")
        await eventually(lambda: kept)
        waiting = asyncio.create_task(node.stop())
        await eventually(lambda: node.info().state == "stopping")
        waiting.cancel()
        await asyncio.wait((waiting,))
        assert waiting.cancelled()
        gate.set()
        await node.wait()
        assert node.processes() == []


async def test_wait_returns_when_somebody_stops_the_node() -> None:
    async with homing.start_node("stop@localhost", QUIET) as node:
        waiting = asyncio.create_task(node.wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        node.stop_soon()
        await waiting
        assert node.info().state == "stopped"


async def test_a_process_that_waits_for_the_stop_of_its_own_node_is_refused_as_a_call_to_oneself_is() -> None:
    reasons: list[Exception] = []
    async with homing.start_node("stop@localhost", QUIET) as node:
        node.send(await node.spawn(Doer, reasons), lambda actor: node.stop(timeout=0.05))
        await eventually(lambda: reasons, "the end of the process")
        assert node.info().state == "running"
    assert [type(reason) for reason in reasons] == [gen.NotAllowed]


@pytest.mark.parametrize("timeout", [-1, "soon", float("nan")])
async def test_a_bad_time_to_stop_in_is_refused(node: homing.Node, timeout: Any) -> None:
    with pytest.raises(gen.BadOption, match="timeout"):
        await node.stop(timeout)
    assert node.info().state == "running"


async def test_nothing_is_started_while_the_node_stops() -> None:
    errors: list[Exception] = []
    source = Meta()

    async def start(actor: Doer) -> None:
        await eventually(lambda: node.info().state == "stopping")
        for attempt in (actor.spawn(Doer), actor.spawn_meta(source)):
            try:
                await attempt
            except gen.NodeTerminated as error:
                errors.append(error)

    async with homing.start_node("stop@localhost", QUIET) as node:
        node.send(await node.spawn(Doer), start)
        await asyncio.sleep(0)
        stopping = asyncio.create_task(node.stop())
        await eventually(lambda: node.info().state == "stopping")
        with pytest.raises(gen.NodeTerminated, match="stop@localhost"):
            await node.spawn(Doer)
        assert await stopping
    assert len(errors) == 2
    assert len(source.reasons) == 1


async def test_what_asks_to_be_told_is_called_once_when_the_node_has_stopped_or_at_once_afterwards() -> None:
    states: list[str] = []
    async with homing.start_node("stop@localhost", QUIET) as node:
        node.on_stopped(lambda: states.append(node.info().state))
        await node.stop()
    assert states == ["stopped"]
    node.on_stopped(lambda: states.append("at once"))
    assert states == ["stopped", "at once"]


async def test_a_meta_process_that_starts_while_the_node_stops_is_drained_before_it_begins() -> None:
    events: list[str] = []
    gate = asyncio.Event()

    class Late(gen.MetaBehavior):
        async def init(self, process: gen.MetaProcess) -> None:
            self.process = process
            events.append("init")
            await gate.wait()
            events.append("ready")

        def drain(self) -> None:
            events.append("drain")

        async def start(self) -> None:
            events.append("start")

    class Owner(act.Actor):
        async def init(self) -> None:
            self.send(self.pid, "go")

        async def handle_message(self, sender: gen.PID, message: Any) -> None:
            await self.spawn_meta(Late())

    node = await homing.start_node("stop@localhost", gen.NodeOptions(handle_signals=False))
    await node.spawn(Owner)
    await eventually(lambda: events == ["init"])
    stopping = asyncio.create_task(node.stop())
    await eventually(lambda: node.info().state == "stopping" and "drain" in events)
    gate.set()
    await stopping
    assert events[events.index("ready") + 1 :] == ["drain", "start"]
