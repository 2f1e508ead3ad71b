"""Asynchronous callbacks: those that wait for nothing end in the slice that begins with them; those that wait were in a
task of their own from the start."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import sys
import weakref
from collections.abc import AsyncIterator, Callable, Generator
from contextvars import ContextVar
from typing import Any

import pytest

import homing
from homing import act, gen
from homing.node.scheduling import callback_tasks

from ...support import Probe, eventually, in_thread
from ..actors import QUIET, Doer, Meta

pytestmark = pytest.mark.loops

COLOR: ContextVar[str] = ContextVar("COLOR", default="none")
SHADE: ContextVar[list[int]] = ContextVar("SHADE")


async def nothing(actor: Any) -> None:
    """For `Doer`: a callback that waits for nothing."""


def spares(node: homing.Node) -> list[asyncio.Task[None]]:
    return node._core.callback_tasks.spare


async def warm(node: homing.Node) -> None:
    """Lets the node have a callback task: the first callback of all begins in the loop's next iteration."""
    pid = await node.spawn(Doer)
    node.send(pid, nothing)
    await eventually(lambda: spares(node), "a callback task")
    await asyncio.sleep(0)


@pytest.fixture
async def doer(node: homing.Node) -> gen.PID:
    """A process that runs what it is sent, on a node that has a callback task."""
    await warm(node)
    return await node.spawn(Doer)


class Chain(act.Actor):
    """Answers by asking the next one, and notes its task before and after."""

    def init(self, following: gen.PID | None, tasks: list[Any]) -> None:
        self.following = following
        self.tasks = tasks

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: int) -> int:
        before = asyncio.current_task()
        answer = request if self.following is None else await self.call(self.following, request) + 1
        self.tasks.append((id(before), id(asyncio.current_task())))
        return answer


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
async def test_a_loop_that_begins_its_tasks_at_once_changes_nothing() -> None:
    loop = asyncio.get_running_loop()
    if not isinstance(loop, asyncio.BaseEventLoop):
        pytest.skip("uvloop takes no eager task factory")
    loop.set_task_factory(asyncio.eager_task_factory)
    try:
        async with homing.start_node("eager@localhost", QUIET) as node:
            doer = await node.spawn(Doer)

            async def wait(actor: Doer) -> bool:
                before = asyncio.current_task()
                await asyncio.sleep(0)
                return before is not None and asyncio.current_task() is before

            assert [await node.call(doer, wait) for _ in range(3)] == [True, True, True]
            await node.call(doer, nothing)
    finally:
        loop.set_task_factory(None)


# --- in the slice -------------------------------------------------------------------------------------------


async def test_a_callback_that_waits_for_nothing_makes_no_task_and_costs_no_iteration(
    node: homing.Node, doer: gen.PID
) -> None:
    before = asyncio.all_tasks()
    seen: list[Any] = []

    async def note(actor: Doer) -> None:
        seen.append(asyncio.all_tasks() == before)

    node.send(doer, note)
    await asyncio.sleep(0)
    assert seen == [True]
    for _ in range(299):  # more than a turn, and on a busy machine more than a slice
        node.send(doer, note)
    await eventually(lambda: len(seen) == 300)
    assert all(seen)
    assert asyncio.all_tasks() == before


async def test_it_runs_in_a_task_of_the_loop(node: homing.Node, doer: gen.PID) -> None:
    async def look(actor: Doer) -> tuple[bool, ...]:
        task = asyncio.current_task()
        assert task is not None
        return (
            isinstance(task, asyncio.Task),
            task in asyncio.all_tasks(),
            task.get_loop() is asyncio.get_running_loop(),
            task.done(),
            task.cancelling() > 0,
        )

    assert await node.call(doer, look) == (True, True, True, False, False)


async def test_the_callers_task_is_current_again_afterwards(node: homing.Node, doer: gen.PID) -> None:
    mine = asyncio.current_task()

    async def answer(actor: Doer) -> bool:
        return asyncio.current_task() is mine

    assert await node.call(doer, answer) is False
    assert asyncio.current_task() is mine


async def test_calls_inside_of_calls_are_answered_in_the_same_iteration(node: homing.Node, doer: gen.PID) -> None:
    tasks: list[Any] = []
    pid = None
    for _ in range(5):
        pid = await node.spawn(Chain, pid, tasks)
    assert pid is not None
    for _ in range(2):  # the first time there are not enough callback tasks
        tasks.clear()
        done = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(done.set_result, None)
        assert await node.call(pid, 0) == 4
    assert not done.done()
    assert all(before == after for before, after in tasks)
    assert len(set(tasks)) == 5


async def test_a_chain_of_calls_may_be_longer_than_may_be_nested(node: homing.Node, doer: gen.PID) -> None:
    pid = None
    tasks: list[Any] = []
    for _ in range(60):
        pid = await node.spawn(Chain, pid, tasks)
    for _ in range(3):
        assert await node.call(pid, 0) == 59
    assert all(before == after for before, after in tasks)


async def test_calls_that_end_in_a_busy_process_wait_for_it(node: homing.Node, doer: gen.PID) -> None:
    gate = asyncio.Event()

    async def wait(actor: Doer) -> str:
        await gate.wait()
        return "done"

    middle = await node.spawn(Doer)
    node.send(doer, wait)
    call = asyncio.create_task(node.call(middle, lambda actor: actor.call(doer, wait)))
    await eventually(lambda: node.process_info(middle).state is gen.ProcessState.WAIT_RESPONSE)
    gate.set()
    assert await call == "done"


async def test_a_call_back_to_the_caller_times_out_and_hurts_nobody(node: homing.Node, doer: gen.PID) -> None:
    other = await node.spawn(Doer)

    async def back(actor: Doer) -> str:
        try:
            return str(await actor.call(doer, nothing, timeout=0.02))
        except gen.CallTimeout:
            return "late"

    assert await node.call(doer, lambda actor: actor.call(other, back)) == "late"
    assert await node.call(doer, lambda actor: "alive") == "alive"


# --- waiting ------------------------------------------------------------------------------------------------


async def test_the_task_is_the_same_before_and_after_waiting(node: homing.Node, doer: gen.PID) -> None:
    async def look(actor: Doer) -> bool:
        before = asyncio.current_task()
        await asyncio.sleep(0)
        middle = asyncio.current_task()
        await asyncio.sleep(0.001)
        return before is middle is asyncio.current_task() and before in asyncio.all_tasks()

    assert await node.call(doer, look) is True


async def test_the_mailbox_waits_while_the_callback_waits(node: homing.Node, doer: gen.PID) -> None:
    gate, order = asyncio.Event(), []

    def step(number: int, wait: bool) -> Callable[[Doer], Any]:
        async def function(actor: Doer) -> None:
            order.append(number)
            if wait:
                await (gate.wait() if number == 3 else asyncio.sleep(0))
            order.append(number)

        return function

    for number in range(6):
        node.send(doer, step(number, wait=number % 2 == 1))
        node.send(doer, lambda actor, number=number: order.append(-number))
    await eventually(lambda: order[-1:] == [3])
    await asyncio.sleep(0.002)
    assert order == [0, 0, 0, 1, 1, -1, 2, 2, -2, 3]
    info = node.process_info(doer)
    assert (info.state, info.mailbox.main) == (gen.ProcessState.RUNNING, 5)
    gate.set()
    await eventually(lambda: len(order) == 18)
    assert order[9:] == [3, 3, -3, 4, 4, -4, 5, 5, -5]


async def test_a_timeout_that_does_not_fire_and_one_that_does(node: homing.Node, doer: gen.PID) -> None:
    async def quick(actor: Doer) -> str:
        async with asyncio.timeout(5):  # noqa: ASYNC100 - it waits for nothing, and is to cost nothing
            return "quick"

    async def slow(actor: Doer) -> str:
        try:
            async with asyncio.timeout(0.005):
                await asyncio.sleep(60)
        except TimeoutError:
            return f"timeout {asyncio.current_task().cancelling()}"
        return "slept"

    async def early(actor: Doer) -> str:
        try:
            async with asyncio.timeout(0):
                await asyncio.sleep(60)
        except TimeoutError:
            return "timeout"
        return "slept"

    async def inner(actor: Doer) -> str:
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
            return await asyncio.wait_for(asyncio.sleep(0, "inner"), 5)

    for _ in range(3):
        assert [await node.call(doer, function) for function in (quick, slow, early, inner)] == [
            "quick",
            "timeout 0",
            "timeout",
            "inner",
        ]


async def test_a_task_group(node: homing.Node, doer: gen.PID) -> None:
    async def gather(actor: Doer) -> list[int]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.sleep(0.001, number)) for number in range(3)]
        return [task.result() for task in tasks]

    async def fail(actor: Doer) -> str:
        async def crash() -> None:
            raise ValueError("crash")

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(crash())
                await asyncio.sleep(60)
        except* ValueError:
            pass
        return f"caught {asyncio.current_task().cancelling()}"

    for _ in range(2):
        assert await node.call(doer, gather) == [0, 1, 2]
        assert await node.call(doer, fail) == "caught 0"


async def test_what_is_awaited_may_be_anything_that_a_task_may_await(node: homing.Node, doer: gen.PID) -> None:
    class Bare:
        def __await__(self) -> Generator[Any, None, None]:
            yield None

    class Wrong:
        def __await__(self) -> Generator[Any, None, None]:
            yield 42

    async def wait(actor: Doer) -> str:
        await Bare()
        await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))
        async for _ in numbers():
            pass
        try:
            await Wrong()
        except RuntimeError as error:
            return str(error)
        return "no error"

    async def numbers() -> AsyncIterator[int]:
        for number in range(3):
            await asyncio.sleep(0)
            yield number

    assert "42" in await node.call(doer, wait)


async def test_only_the_time_in_which_it_runs_is_charged(node: homing.Node, doer: gen.PID) -> None:
    charged = []
    for _ in range(5):  # a machine that is busy may hold it while it runs, but not each time
        before = node.process_info(doer).running_time
        await node.call(doer, lambda actor: asyncio.sleep(0.05))
        charged.append(node.process_info(doer).running_time - before)
    assert 0 < min(charged) < 0.04


# --- what a callback leaves behind --------------------------------------------------------------------------


@pytest.mark.parametrize("waits", [False, True])
async def test_context_variables_are_seen_by_no_other_process_and_no_other_turn(
    node: homing.Node, doer: gen.PID, waits: bool
) -> None:
    other = await node.spawn(Doer)

    async def look(actor: Doer) -> tuple[Any, ...]:
        before = COLOR.get(), SHADE.get(None)
        COLOR.set("red")
        SHADE.set([])
        if waits:
            await asyncio.sleep(0)
        return (*before, COLOR.get(), SHADE.get())

    COLOR.set("of the test")
    for pid in (doer, other, doer, other):
        assert await node.call(pid, look) == ("none", None, "red", [])
    assert COLOR.get() == "of the test"


async def test_a_value_that_is_equal_but_not_the_same_is_not_left_behind() -> None:
    SHADE.set([])
    async with homing.start_node("test@localhost", QUIET) as node:
        await warm(node)

        async def look(actor: Doer) -> int:
            shade = SHADE.get()
            SHADE.set([])
            SHADE.get().append(len(shade))
            SHADE.set([])
            return id(shade)

        pid = await node.spawn(Doer)
        assert {await node.call(pid, look) for _ in range(3)} == {id(SHADE.get())}


@pytest.mark.parametrize("waits", [False, True])
async def test_a_task_that_somebody_has_kept_is_not_that_of_another_callback(
    node: homing.Node, doer: gen.PID, waits: bool
) -> None:
    kept: list[asyncio.Task[Any]] = []
    canceled: list[int] = []

    async def keep(actor: Doer) -> None:
        if waits:
            await asyncio.sleep(0)
        kept.append(asyncio.current_task())  # type: ignore[arg-type]

    async def suffer(actor: Doer) -> None:
        try:
            for task in kept:
                task.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)
        except asyncio.CancelledError:
            canceled.append(1)
        actor.reasons.append(len(kept))

    done: list[Any] = []
    other = await node.spawn(Doer, done)
    for _ in range(4):
        node.send(doer, keep)
        node.send(other, suffer)
        node.send(doer, keep)
        node.send(doer, suffer)
    await eventually(lambda: len(kept) == 8 and len(done) == 4)
    await eventually(lambda: all(task.done() for task in kept))
    assert canceled == []
    assert len(set(kept)) == 8
    assert await node.call(doer, lambda actor: "alive") == "alive"


def leave_name(task: asyncio.Task[Any]) -> None:
    task.set_name("mine")


def leave_callback(task: asyncio.Task[Any]) -> None:
    task.add_done_callback(lambda task: None)


def leave_cancellation(task: asyncio.Task[Any]) -> None:
    task.cancel()


WEAK: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


def leave_weakly(task: asyncio.Task[Any]) -> None:
    WEAK[task] = "mine"


@pytest.mark.parametrize("leave", [leave_name, leave_callback, leave_cancellation, leave_weakly])
@pytest.mark.parametrize("waits", [False, True])
async def test_a_task_at_which_something_is_left_ends(
    node: homing.Node, doer: gen.PID, leave: Callable[[Any], None], waits: bool
) -> None:
    names: list[str] = []
    ended: list[Any] = []

    async def mark(actor: Doer) -> None:
        task = asyncio.current_task()
        assert task is not None
        names.append(task.get_name())
        if waits:
            await asyncio.sleep(0)
        task.add_done_callback(ended.append) if leave is leave_callback else leave(task)

    async def look(actor: Doer) -> None:
        task = asyncio.current_task()
        assert task is not None
        names.append(task.get_name())
        assert (task.cancelling(), WEAK.get(task)) == (0, None)
        await asyncio.sleep(0)

    for _ in range(3):
        node.send(doer, mark)
        node.send(doer, look)
    await eventually(lambda: len(names) == 6)
    assert len(set(names)) == 1
    if leave is leave_callback:
        await eventually(lambda: len(ended) == 3)
    assert await node.call(doer, lambda actor: "alive") == "alive"


async def test_a_callback_that_leaves_nothing_gives_its_task_to_the_next(node: homing.Node, doer: gen.PID) -> None:
    seen: set[int] = set()

    async def note(actor: Doer) -> None:
        seen.add(id(asyncio.current_task()))
        async with asyncio.timeout(5):
            await asyncio.sleep(0)

    for _ in range(20):
        node.send(doer, note)
        await asyncio.sleep(0.001)
    await node.call(doer, nothing)
    assert len(seen) == 1


async def test_a_spare_task_keeps_no_message_and_no_behavior(node: homing.Node, doer: gen.PID) -> None:
    class Message:
        pass

    class Short(act.Actor):
        async def handle_message(self, sender: gen.PID, message: Any) -> None:
            if message is not None:
                await asyncio.sleep(0)
                raise gen.TerminateNormal

    pid = await node.spawn(Short)
    message = Message()
    kept = [weakref.ref(message), weakref.ref(node._core.processes[pid].behavior)]
    node.send(pid, None)
    node.send(pid, message)
    del message
    await eventually(lambda: pid not in node.processes())
    gc.collect()
    assert [ref() for ref in kept] == [None, None]
    assert spares(node)


# --- the end ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sleeps", [0, 1, 3])
async def test_a_kill_cancels_what_the_callback_waits_for(node: homing.Node, doer: gen.PID, sleeps: int) -> None:
    reasons: list[Exception] = []
    pid = await node.spawn(Doer, reasons)
    seen: list[Any] = []
    waited = asyncio.get_running_loop().create_future()

    async def wait(actor: Doer) -> None:
        seen.append("began")
        try:
            await waited
        except asyncio.CancelledError:
            seen.append(waited.cancelled())
            raise

    node.send(pid, wait)
    await eventually(lambda: seen)
    for _ in range(sleeps):
        await asyncio.sleep(0)
    node.kill(pid)
    assert waited.cancelled()
    await eventually(lambda: reasons)
    assert seen == ["began", True]
    assert [type(reason) for reason in reasons] == [gen.TerminateKill]


async def test_a_callback_that_kills_itself_is_canceled_where_it_waits(node: homing.Node, doer: gen.PID) -> None:
    seen: list[Any] = []

    async def suicide(actor: Doer) -> None:
        node.kill(actor.pid)
        seen.append("killed")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def at_once(actor: Doer) -> None:
        node.kill(actor.pid)

    for function in (suicide, at_once):
        reasons: list[Exception] = []
        pid = await node.spawn(Doer, reasons)
        node.send(pid, function)
        node.send(pid, lambda actor: seen.append("too late"))
        await eventually(lambda: reasons)  # noqa: B023 - it is of this round
        assert [type(reason) for reason in reasons] == [gen.TerminateKill]
    assert seen == ["killed", "cancelled"]
    assert await node.call(doer, lambda actor: "alive") == "alive"


async def test_a_callback_that_cancels_its_own_task_sees_the_message_at_its_next_await(
    node: homing.Node, doer: gen.PID
) -> None:
    async def cancel(actor: Doer) -> tuple[Any, ...]:
        task = asyncio.current_task()
        assert task is not None
        task.cancel("enough")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as error:
            return (*error.args, task.cancelling(), task.uncancel())
        return ("slept",)

    assert await node.call(doer, cancel) == ("enough", 1, 0)


async def test_a_callback_that_cancels_its_own_task_is_canceled_even_if_it_waits_for_no_future(
    node: homing.Node, doer: gen.PID
) -> None:
    async def cancel(actor: Doer) -> tuple[Any, ...]:
        task = asyncio.current_task()
        assert task is not None
        task.cancel("enough")
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError as error:
            return (*error.args, task.cancelling(), task.uncancel())
        return ("slept",)

    assert [await node.call(doer, cancel) for _ in range(2)] == [("enough", 1, 0)] * 2


async def test_what_a_callback_waits_for_is_canceled_if_it_has_canceled_its_task_before(
    node: homing.Node, doer: gen.PID
) -> None:
    future = asyncio.get_running_loop().create_future()

    async def cancel(actor: Doer) -> bool:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        try:
            await future
        except asyncio.CancelledError:
            task.uncancel()
        await asyncio.sleep(0)
        return future.cancelled()

    assert await node.call(doer, cancel) is True


async def test_the_task_of_a_callback_that_cancels_it_and_returns_is_canceled(node: homing.Node, doer: gen.PID) -> None:
    kept: list[asyncio.Task[Any]] = []

    async def cancel(actor: Doer) -> None:
        task = asyncio.current_task()
        assert task is not None
        kept.append(task)
        task.cancel()

    await node.call(doer, cancel)
    await eventually(kept[0].done)
    assert kept[0].cancelled()
    assert await node.call(doer, lambda actor: asyncio.sleep(0, "alive")) == "alive"


async def test_a_cancellation_that_a_callback_takes_back_reaches_no_other(node: homing.Node, doer: gen.PID) -> None:
    async def cancel(actor: Doer) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        task.uncancel()

    for _ in range(3):
        await node.call(doer, cancel)
        assert await node.call(doer, lambda actor: asyncio.sleep(0, "alive")) == "alive"


async def test_the_task_of_a_callback_that_keeps_it_returns_none(node: homing.Node, doer: gen.PID) -> None:
    kept: list[asyncio.Task[Any]] = []

    async def keep(actor: Doer) -> None:
        kept.append(asyncio.current_task())  # type: ignore[arg-type]

    await node.call(doer, keep)
    assert await kept[0] is None


@pytest.mark.parametrize("waits", [False, True])
async def test_a_callback_may_inspect_its_task(node: homing.Node, doer: gen.PID, waits: bool) -> None:
    async def inspect(actor: Doer) -> tuple[bool, ...]:
        if waits:
            await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        task.print_stack(file=io.StringIO())
        return ("homing callback" in repr(task), asyncio.iscoroutine(task.get_coro()), len(task.get_stack()) > 0)

    assert await node.call(doer, inspect) == (True, True, True)


async def test_a_callback_that_breaks_its_task_ends_its_process_only(node: homing.Node, doer: gen.PID) -> None:
    reasons: list[Exception] = []
    pid = await node.spawn(Doer, reasons)

    async def destroy(actor: Doer) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.get_coro().close()  # type: ignore[union-attr]
        await asyncio.sleep(0)

    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    node.send(pid, destroy)
    await eventually(lambda: reasons)
    assert await node.call(doer, lambda actor: asyncio.sleep(0, "alive")) == "alive"


async def test_a_plain_callback_that_cancels_all_tasks_after_an_asynchronous_one_hurts_no_other_process(
    node: homing.Node, doer: gen.PID
) -> None:
    mine = asyncio.current_task()

    def cancel(actor: Doer) -> None:
        for task in asyncio.all_tasks():
            if task is not mine:
                task.cancel()

    other = await node.spawn(Doer)
    for _ in range(3):
        await warm(node)
        for function in (nothing, cancel, nothing):
            node.send(other, function)
        await eventually(lambda: node.process_info(other).mailbox.main == 0)
        assert await node.call(doer, lambda actor: asyncio.sleep(0, "alive")) == "alive"


async def deep() -> None:
    raise ValueError("deep inside")


async def at_once(actor: Any) -> None:
    await deep()


async def later(actor: Any) -> None:
    await asyncio.sleep(0)
    await deep()


@pytest.mark.parametrize("function", [at_once, later])
async def test_what_it_raises_is_logged_once_with_its_traceback(
    node: homing.Node, doer: gen.PID, caplog: pytest.LogCaptureFixture, function: Callable[[Any], Any]
) -> None:
    reasons: list[Exception] = []
    pid = await node.spawn(Doer, reasons)
    with caplog.at_level(logging.ERROR, "homing"):
        node.send(pid, function)
        await eventually(lambda: reasons)
    assert "deep inside" in repr(reasons)
    assert len(caplog.records) == 1
    for name in ("ValueError: deep inside", "in deep", f"in {function.__name__}"):
        assert name in caplog.text
    assert await node.call(doer, lambda actor: "alive") == "alive"


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()])
@pytest.mark.parametrize("waits", [False, True])
async def test_whatever_it_raises_ends_that_process_only(
    node: homing.Node, doer: gen.PID, error: BaseException, waits: bool
) -> None:
    reasons: list[Exception] = []
    pid = await node.spawn(Doer, reasons)

    async def throw(actor: Doer) -> None:
        if waits:
            await asyncio.sleep(0)
        raise error

    node.send(pid, throw)
    await eventually(lambda: reasons)
    assert await node.call(doer, lambda actor: "alive") == "alive"


async def test_stop_iteration_is_an_error_like_any_other(node: homing.Node, doer: gen.PID) -> None:
    async def stop(actor: Doer) -> None:
        raise StopIteration("inside")

    def plain(actor: Doer) -> None:
        raise StopIteration("plain")

    for function in (stop, plain):
        reasons: list[Exception] = []
        pid = await node.spawn(Doer, reasons)
        node.send(pid, nothing)
        node.send(pid, function)
        await eventually(lambda: reasons)  # noqa: B023 - it is of this round
        assert isinstance(reasons[0], (RuntimeError, StopIteration))


async def test_terminate_runs_after_a_callback_that_ended_by_itself(node: homing.Node, doer: gen.PID) -> None:
    tasks: list[Any] = []

    class Careful(act.Actor):
        async def handle_message(self, sender: gen.PID, message: Any) -> None:
            tasks.append(asyncio.current_task())
            raise gen.TerminateNormal

        async def terminate(self, reason: Exception) -> None:
            await asyncio.sleep(0)
            tasks.append(asyncio.current_task())

    pid = await node.spawn(Careful)
    node.send(pid, 1)
    await eventually(lambda: pid not in node.processes())
    assert tasks[0] is not tasks[1]


async def test_a_callback_of_a_meta_process_runs_in_the_slice_too(node: homing.Node, probe: Probe) -> None:
    source = Meta()
    alias = await probe.do(lambda actor: actor.spawn_meta(source))
    mine = asyncio.current_task()
    seen: list[Any] = []

    async def note(meta: Meta) -> None:
        seen.append(asyncio.current_task() is not mine)

    async def end(meta: Meta) -> None:
        await asyncio.sleep(0)
        raise gen.TerminateNormal

    node.send(alias, note)
    await asyncio.sleep(0)
    assert seen == [True]
    node.send(alias, end)
    await eventually(lambda: source.reasons)
    assert [type(reason) for reason in source.reasons] == [gen.TerminateNormal]


# --- the callback tasks ---------------------------------------------------------------------------------------------


async def test_the_first_callback_of_a_node_may_be_canceled_before_it_has_begun(node: homing.Node) -> None:
    reasons: list[Exception] = []
    pid = await node.spawn(Doer, reasons)
    seen: list[int] = []

    async def note(actor: Doer) -> None:
        seen.append(1)

    assert not spares(node)
    node.send(pid, note)
    process = node._core.processes[pid]
    asyncio.get_running_loop().call_soon(lambda: process.task is not None and node.kill(pid))
    await eventually(lambda: reasons)
    assert [type(reason) for reason in reasons] == [gen.TerminateKill]
    assert seen == []


async def test_many_callbacks_that_wait_at_once_leave_a_bounded_number_of_tasks(
    node: homing.Node, doer: gen.PID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callback_tasks, "MOST_SPARE", 4)
    ready: list[int] = []
    gate = asyncio.Event()

    async def wait(actor: Doer) -> None:
        ready.append(1)
        await gate.wait()

    for _ in range(20):
        node.send(await node.spawn(Doer), wait)
    await eventually(lambda: len(ready) == 20)
    gate.set()
    await eventually(lambda: len(asyncio.all_tasks()) == 5)
    assert len(spares(node)) == 4


async def test_who_cancels_all_tasks_does_not_break_the_node(node: homing.Node, doer: gen.PID) -> None:
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    assert await node.call(doer, lambda actor: asyncio.sleep(0, "alive")) == "alive"
    await asyncio.sleep(0)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.sleep(0.001)
    assert await node.call(doer, lambda actor: asyncio.sleep(0, "alive")) == "alive"


async def test_spare_tasks_end_with_the_node() -> None:
    async with homing.start_node("test@localhost", QUIET) as node:
        await warm(node)
        tasks = spares(node)
    assert tasks
    assert all(task.done() for task in tasks)


def test_a_loop_that_ends_before_the_node_ends_the_spare_tasks_quietly(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> list[asyncio.Task[None]]:
        node = await homing.start_node("test@localhost", QUIET)
        await warm(node)
        return spares(node)

    tasks = in_thread(lambda: asyncio.run(main()))
    assert all(task.cancelled() for task in tasks)
    gc.collect()
    assert caplog.records == []
