"""How processes on threads of their own end: no thread is left behind, and nothing waits for a thread for ever."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from collections import deque
from typing import Any

import pytest

import homing
from homing import act, gen

from ...support import DEADLINE, Probe, eventually
from ..actors import QUIET, Doer, Keeper, hang, throw, throw_later
from .threads import THREAD, Block, bounded, ended, no_thread, threads_of

pytestmark = pytest.mark.loops


class Worker(Doer):
    """Notes the end of its `terminate` in a list of the test's."""

    def init(self, reasons: list[Exception] | None = None, init: Any = None) -> Any:
        super().init(reasons)
        return None if init is None else init(self)


@pytest.fixture
async def doer(node: homing.Node) -> gen.PID:
    """A process on a thread of its own, which runs what it is sent."""
    return await node.spawn(Doer, options=THREAD)


# --- crashes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("thrower", [throw, throw_later])
async def test_what_a_callback_raises_is_a_bounded_logged_once_with_its_traceback(
    node: homing.Node, probe: Probe, doer: gen.PID, caplog: pytest.LogCaptureFixture, thrower: Any
) -> None:
    await probe.do(lambda actor: actor.monitor(doer))
    node.send(doer, thrower(LookupError("on the thread")))
    down = await probe.get()
    assert (down.pid, repr(down.reason)) == (doer, "LookupError('on the thread')")
    assert down.reason.__traceback__ is None
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith(f"process {doer} Doer crashed, handling a function: LookupError")
    assert "in function" in caplog.text
    assert node.info().crashes == 1
    await no_thread(doer)


@pytest.mark.parametrize("thrower", [throw, throw_later])
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
async def test_what_is_no_exception_is_a_panic_and_ends_that_process_only(
    node: homing.Node, probe: Probe, doer: gen.PID, thrower: Any, error: type[BaseException]
) -> None:
    await probe.do(lambda actor: actor.monitor(doer))
    node.send(doer, thrower(error))
    down = await probe.get()
    assert isinstance(down.reason, gen.TerminatePanic)
    assert isinstance(down.reason.__cause__, error)
    await no_thread(doer)


async def test_a_child_that_exits_the_program_in_init_is_raised_at_its_parent_on_the_thread(
    node: homing.Node, doer: gen.PID
) -> None:
    async def spawn(actor: Any) -> str:
        try:
            await actor.spawn(Worker, None, throw(SystemExit("no")))
        except SystemExit as error:
            return f"caught {error}"
        return "nothing"

    assert await node.call(doer, spawn) == "caught no"


async def test_what_the_runtime_raises_for_it_ends_it_in_order(node: homing.Node, probe: Probe) -> None:
    reasons: list[Exception] = []
    pid = await node.spawn(Doer, reasons, options=THREAD)
    await probe.do(lambda actor: actor.monitor(pid))
    node.send(pid, throw(gen.TerminateNormal))
    assert isinstance((await probe.get()).reason, gen.TerminateNormal)
    assert [type(reason) for reason in reasons] == [gen.TerminateNormal]
    await no_thread(pid)


async def test_a_caller_is_told_at_once_when_the_callee_crashes(node: homing.Node, doer: gen.PID) -> None:
    with pytest.raises(gen.ProcessTerminated) as caught:
        await node.call(doer, throw(LookupError("no answer")))
    assert isinstance(caught.value.reason, LookupError)


async def test_a_supervisor_starts_it_again_and_hands_over_what_waited(node: homing.Node) -> None:
    kept: list[int] = []
    block = Block()

    class Child(Keeper):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            if message == "crash":
                block()
                raise LookupError(message)
            super().handle_message(sender, message)

    class Keeping(act.Supervisor):
        def init(self) -> act.SupervisorSpec:
            options = gen.ProcessOptions(thread=True, preserve_mailbox=True)
            return act.SupervisorSpec(
                children=(act.ChildSpec(name="child", behavior=Child, args=(kept,), options=options),)
            )

    await node.spawn(Keeping)
    first = node._process("child").id
    node.send("child", "crash")
    for number in range(100):
        node.send("child", number)
    await block.entered()
    block.released.set()
    await eventually(lambda: len(kept) == 100)
    assert kept == list(range(100))
    assert node._process("child").id != first
    await no_thread(first)


# --- exit signals and kill -------------------------------------------------------------------------------------


async def test_an_exit_signal_ends_it_after_the_callback_in_hand(node: homing.Node, doer: gen.PID) -> None:
    block, kept = Block(), []
    node.send(doer, block)
    await block.entered()
    for number in range(10):
        node.send(doer, lambda actor, n=number: kept.append(n))
    node.send_exit(doer, gen.TerminateShutdown)
    assert node.process_info(doer).state is gen.ProcessState.RUNNING
    block.released.set()
    await ended(node, doer)
    assert kept == []
    assert node.info().discarded == 10


async def test_a_signal_of_another_process_can_be_trapped(node: homing.Node, probe: Probe) -> None:
    class Trapping(Keeper):
        trap_exit = True

    kept: list[Any] = []
    pid = await node.spawn(Trapping, kept, options=THREAD)
    await probe.do(lambda actor: actor.send_exit(pid, LookupError("trapped")))
    await eventually(lambda: kept)
    assert isinstance(kept[0], gen.MessageExitPID)


async def test_a_killed_process_whose_callback_blocks_is_a_zombie_until_it_returns(
    node: homing.Node, doer: gen.PID
) -> None:
    block = Block()
    node.register_name("busy", doer)
    for _ in range(10):
        node.send(doer, block)
    await block.entered()
    node.kill(doer)
    assert node.process_info(doer).state is gen.ProcessState.ZOMBIE
    with pytest.raises(gen.ProcessTerminated):
        node.send(doer, print)
    with pytest.raises(gen.NameUnknown):
        node.send("busy", print)
    node.kill(doer)
    block.reached.clear()
    block.released.set()
    await ended(node, doer)
    assert not block.reached.is_set()
    assert node.info().discarded == 9
    await no_thread(doer)


async def test_kill_cancels_an_asynchronous_callback(node: homing.Node) -> None:
    reasons: list[Exception] = []
    pid = await node.spawn(Doer, reasons, options=THREAD)
    node.send(pid, hang)
    await eventually(lambda: node.process_info(pid).state is gen.ProcessState.RUNNING)
    node.kill(pid)
    await ended(node, pid)
    assert [type(reason) for reason in reasons] == [gen.TerminateKill]
    await no_thread(pid)


async def test_kill_ends_one_that_sleeps_at_once(node: homing.Node) -> None:
    reasons: list[Exception] = []
    pid = await node.spawn(Doer, reasons, options=THREAD)
    node.kill(pid)
    await ended(node, pid)
    assert [type(reason) for reason in reasons] == [gen.TerminateKill]


# --- init ------------------------------------------------------------------------------------------------------


async def test_init_timeout_holds_for_an_init_that_blocks(node: homing.Node, probe: Probe) -> None:
    block, reasons = Block(), []
    options = gen.ProcessOptions(thread=True, init_timeout=0.02)
    with pytest.raises(gen.InitTimeout, match="init of Worker"):
        await node.spawn(Worker, reasons, block, name="slow", options=options)
    assert node.processes() == [probe.pid]
    (thread,) = [thread for thread in threading.enumerate() if thread.name.startswith("homing <")]
    again = await node.spawn(Worker, name="slow", options=THREAD)
    block.released.set()
    await eventually(lambda: not thread.is_alive())
    assert node.processes() == [probe.pid, again]
    assert reasons == []


async def test_init_timeout_cancels_an_asynchronous_init(node: homing.Node) -> None:
    cancelled = threading.Event()

    async def init(actor: Any) -> None:
        try:
            await hang(actor)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(gen.InitTimeout):
        await node.spawn(Worker, None, init, options=gen.ProcessOptions(thread=True, init_timeout=0.02))
    await eventually(cancelled.is_set)


@pytest.mark.parametrize("thrower", [throw, throw_later])
@pytest.mark.parametrize("error", [LookupError, StopIteration, SystemExit])
async def test_what_init_raises_spawn_raises(node: homing.Node, thrower: Any, error: type[BaseException]) -> None:
    reasons: list[Exception] = []
    # a StopIteration cannot leave a coroutine
    with pytest.raises(RuntimeError if error is StopIteration else error):
        await node.spawn(Worker, reasons, thrower(error("in init")), options=THREAD)
    assert node.processes() == []
    assert reasons == []
    await eventually(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("homing <")])


async def test_a_process_that_is_killed_in_a_blocking_init_cannot_be_spawned(node: homing.Node) -> None:
    block = Block()
    spawn = asyncio.create_task(node.spawn(Worker, None, block, options=THREAD))
    await block.entered()
    (pid,) = node.processes()
    node.kill(pid)
    block.released.set()
    with pytest.raises(gen.ProcessTerminated):
        await spawn
    await no_thread(pid)


async def test_an_init_that_is_left_behind_can_do_nothing_any_more(node: homing.Node) -> None:
    block, errors = Block(), []

    def init(actor: Any) -> None:
        block()
        try:
            actor.create_alias()
        except gen.NotAllowed as error:
            errors.append(error)

    with pytest.raises(gen.InitTimeout):
        await node.spawn(Worker, None, init, options=gen.ProcessOptions(thread=True, init_timeout=0.02))
    block.released.set()
    await eventually(lambda: errors)
    assert node.info().aliases == 0


# --- terminate ---------------------------------------------------------------------------------------------------


class Ending(act.Actor):
    """Ends by a function of the test's."""

    def init(self, terminate: Any) -> None:
        self.function = terminate

    def terminate(self, reason: Exception) -> Any:
        return self.function(self)


async def test_links_and_monitors_are_told_after_a_terminate_that_blocks(node: homing.Node, probe: Probe) -> None:
    block = Block()
    pid = await node.spawn(Ending, block, options=THREAD)
    await probe.do(lambda actor: actor.monitor(pid))
    node.send_exit(pid, gen.TerminateShutdown)
    await block.entered()
    assert node.process_info(pid).state is gen.ProcessState.ZOMBIE
    assert await probe.do(lambda actor: "the node goes on") == "the node goes on"
    assert probe.waiting() == []
    block.released.set()
    assert (await probe.get()).pid == pid


async def test_terminate_may_send_from_the_thread(node: homing.Node, probe: Probe) -> None:
    async def terminate(actor: Any) -> None:
        await asyncio.sleep(0)
        actor.send(probe.pid, "the last")

    pid = await node.spawn(Ending, terminate, options=THREAD)
    node.kill(pid)
    assert await probe.get() == "the last"


@pytest.mark.parametrize("thrower", [throw, throw_later])
async def test_what_terminate_raises_is_logged(
    node: homing.Node, caplog: pytest.LogCaptureFixture, thrower: Any
) -> None:
    pid = await node.spawn(Ending, thrower(LookupError("at the end")), options=THREAD)
    node.send_exit(pid, gen.TerminateShutdown)
    await ended(node, pid)
    (record,) = caplog.records
    assert record.getMessage() == f"terminate of process {pid} Ending failed: LookupError('at the end')"
    await no_thread(pid)


async def test_an_asynchronous_terminate_that_waits_too_long_is_cancelled(
    node: homing.Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Ending._runtime_hooks, "terminate_timeout", 0.01)
    pid = await node.spawn(Ending, hang, options=THREAD)
    node.send_exit(pid, gen.TerminateShutdown)
    await ended(node, pid)
    assert "TimeoutError" in caplog.records[0].getMessage()


async def test_a_second_kill_cancels_an_asynchronous_terminate(
    node: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    pid = await node.spawn(Ending, hang, options=THREAD)
    node.kill(pid)
    await eventually(lambda: node.process_info(pid).state is gen.ProcessState.ZOMBIE)
    node.kill(pid)
    await ended(node, pid)
    assert "CancelledError" in caplog.records[0].getMessage()


async def test_tasks_on_the_threads_event_loop_end_before_anybody_is_told(
    node: homing.Node, probe: Probe, doer: gen.PID
) -> None:
    async def task(actor: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            actor.send(probe.pid, "the task has ended")

    async def start(actor: Any) -> None:
        actor.task = asyncio.create_task(task(actor))
        await asyncio.sleep(0)

    await probe.do(lambda actor: actor.monitor(doer))
    await node.call(doer, start)
    node.send_exit(doer, gen.TerminateShutdown)
    assert await probe.get() == "the task has ended"
    assert (await probe.get()).pid == doer


# --- the node ------------------------------------------------------------------------------------------------------


async def test_a_stop_waits_for_a_handler_at_work() -> None:
    block, kept = Block(), []
    async with homing.start_node("stop@localhost", QUIET) as node:
        pid = await node.spawn(Doer, options=THREAD)
        other = await node.spawn(Keeper, kept, name="other")

        def answer(actor: Any) -> None:
            block()
            actor.send(other, "worked off")

        node.send(pid, answer)
        await block.entered()
        stop = asyncio.create_task(node.stop(4.0))
        await eventually(lambda: node.info().state == "stopping")
        block.released.set()
        assert await stop is True
    assert kept == ["worked off"]
    await no_thread(pid)


async def test_a_stop_leaves_a_thread_behind_that_does_not_return(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homing.node.stopping.KILL_TIMEOUT", 0.05)
    block, errors = Block(), []
    async with homing.start_node("stuck@localhost", QUIET) as node:
        pid = await node.spawn(Doer, options=THREAD)
        terminated: list[Any] = node._process(pid).behavior.reasons  # type: ignore[attr-defined]

        def stuck(actor: Any) -> None:
            block()
            try:
                actor.send(actor.pid, "late")
            except gen.ProcessTerminated as error:
                errors.append(error)

        node.send(pid, stuck)
        await block.entered()
        assert await bounded(node.stop(0.05)) is False
    assert "blocks its thread; it is left behind" in caplog.records[-1].getMessage()
    (thread,) = threads_of(pid)
    assert thread.daemon
    block.released.set()
    await no_thread(pid)
    assert (len(errors), terminated) == (1, [])


def test_a_thread_whose_loop_was_closed_is_told_so_and_ends() -> None:
    block, errors = Block(), []

    async def main() -> gen.PID:
        node = await homing.start_node("closed@localhost", QUIET)
        pid = await node.spawn(Doer, options=THREAD)

        async def later(actor: Any) -> None:
            await actor.call("nobody", 1)

        def stuck(actor: Any) -> Any:
            block()
            try:
                actor.send(actor.pid, "late")
            except gen.NodeTerminated as error:
                errors.append(error)
            return later(actor)

        node.send(pid, stuck)
        await block.entered()
        return pid

    pid = asyncio.run(main())
    (thread,) = threads_of(pid)
    block.released.set()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert len(errors) == 1


def test_an_idle_thread_ends_with_a_node_that_was_dropped() -> None:
    async def main() -> gen.PID:
        node = await homing.start_node("dropped@localhost", QUIET)
        return await node.spawn(Doer, options=THREAD)

    pid = asyncio.run(main())
    (thread,) = threads_of(pid)
    deadline = time.monotonic() + DEADLINE
    while thread.is_alive() and time.monotonic() < deadline:  # it may still have its last job in hand
        gc.collect()
        thread.join(0.01)
    assert not thread.is_alive()


async def test_a_thread_that_takes_the_last_message_while_the_process_is_killed_disturbs_nothing(
    node: homing.Node, doer: gen.PID
) -> None:
    class Taken(deque[Any]):
        """The thread is quicker: the last message is gone when the loop takes it back."""

        def pop(self) -> Any:  # type: ignore[override]
            if len(self) == 1:
                self.clear()
            return super().pop()

    block = Block()
    process: Any = node._process(doer)
    process.ahead = Taken()
    for function in (block, *3 * [lambda actor: None]):
        node.send(doer, function)
    await block.entered()
    assert len(process.ahead) == 3
    node.kill(doer)
    assert node.info().discarded == 2
    block.released.set()
    await ended(node, doer)
