"""A process on a thread of its own: its callbacks may block, and the node's loop continues.

The mailbox, the state and the links stay on the loop, as with any process. The loop gives the next message to the
thread, with some messages that may follow it, until an entry comes to a higher lane: that is handled before the next of
them. Methods that the callbacks call on `self` run on the loop (`node/processes/thread_bridge.py`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import replace
from functools import partial
from time import perf_counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ...gen import PID, MailboxInfo, ProcessBehavior, ProcessOptions, ProcessState, Ref
from ...gen.retrying import twice
from ..mailbox.envelope import is_coroutine
from ..mailbox.lane import put_back
from .process import Process
from .thread_worker import Job, Worker

if TYPE_CHECKING:
    from ..core import Core
    from ..mailbox.mailbox import Entry

MOST_AHEAD = 64
"""Messages that may follow the one that is handed over. One by one, a process runs 18 thousand of the shortest
handlers a second; if 16, 64, 256 may follow, 240, 610 and 1,070 thousand. Longer handlers gain little beyond 64."""

STRETCH_SECONDS = 0.001
"""Seconds after which no further message follows. A hand-over takes 0.05 ms."""

_SLEEP, _RUNNING, _TERMINATED = ProcessState.SLEEP, ProcessState.RUNNING, ProcessState.TERMINATED


class ThreadedProcess(Process):
    """A process whose `init`, handlers and `terminate` run on one thread. The loop's thread and its own both take from
    `ahead`, whole messages only."""

    __slots__ = ("_job", "_view", "_worker")

    ahead: deque[Entry]

    stuck = "blocks its thread"

    def __init__(
        self, core: Core, parent: PID, leader: PID, env: Mapping[str, Any], split: bool, options: ProcessOptions
    ) -> None:
        super().__init__(core, parent, leader, env, split, options)
        self._worker = Worker(core, f"homing {self.id}")
        self.ahead = deque()
        self._job: Job | None = None
        self._view: Any = None

    async def run_init(self, args: tuple[Any, ...]) -> Any:
        result = await self._run_at_start(partial(self.behavior.init, *args))
        self._view = _View(self)
        return result

    async def run_load(self, state: Any) -> Any:
        return await self._run_at_start(partial(self.behavior.load_state, state))

    async def _run_at_start(self, function: Callable[[], Any]) -> Any:
        """Runs a callback on the thread, and returns its result."""
        over: asyncio.Future[None] = self.core.loop.create_future()
        job = self._worker.submit((function,), partial(self._init_over, over))
        try:
            await over
        except BaseException:
            job.cancel()
            raise
        try:
            return job.take()
        finally:
            del job

    def _init_over(self, over: asyncio.Future[None], job: Job) -> None:
        self.running_time += job.stopwatch.seconds
        if not over.done():
            over.set_result(None)

    # --- turns --------------------------------------------------------------------------------------------

    def turn(self, deadline: float, budget: int) -> None:
        if self.state is _SLEEP:
            self._hand_over()  # if this raises, the process is still asleep, and gets another turn

    def turn_with(self, sender: Any, message: Any, deadline: float, budget: int) -> None:
        if self.scheduled or self.paused or self.state is not _SLEEP:
            return
        self.put((sender, message), 0)
        self.scheduler.taken = True
        self.scheduled = True
        self.turn(deadline, budget)

    def _hand_over(self) -> None:
        """Passes the next message, with some that may follow it, to the thread; sleeps if there is none."""
        main = None if self.paused else self.main
        lane = self.urgent or self.system or main or self.logs
        if not lane:
            self._job = None
            self._rest()
            return
        self.state = _RUNNING
        try:
            first = self.hand = lane.popleft()  # in hand already before the thread has begun with it
            if lane is main and not self.limit:  # otherwise more messages would wait than the limit allows
                self._take_ahead(lane)
            self._job = self._worker.submit(self._entries(first), self._handled)
        except MemoryError:
            self._not_handed_over(lane)
            return
        if self.drain_callbacks is not None:
            self.run_drain_callbacks()

    def _take_ahead(self, lane: deque[Entry]) -> None:
        for _ in range(min(len(lane), MOST_AHEAD)):
            if lane:  # checked each time, as taking an entry may run a finalizer that ends this process
                entry = lane.popleft()
                try:
                    self.ahead.append(entry)
                except MemoryError:
                    put_back(lane, entry)
                    return

    def _not_handed_over(self, lane: deque[Entry]) -> None:
        """Takes everything back for another turn, as there was no memory to hand it over."""
        self._job = None
        self._take_back()
        hand, self.hand = self.hand, None
        if hand is not None:
            put_back(lane, hand)
        self.turn_over()

    def _entries(self, entry: Entry) -> Iterator[Callable[[], Any]]:
        """Yields, on the thread, the callbacks for `entry` and for the messages that follow it."""
        view, keeper, end = self._view, self.keeper, perf_counter() + STRETCH_SECONDS
        while True:
            self.hand = entry
            self.handled += 1
            yield partial(_handle, view, entry)
            if keeper is not None:
                yield keeper.rested
            if self.urgent or self.system or perf_counter() >= end:
                return
            try:
                entry = self.ahead.popleft()
            except IndexError:
                return

    def _take_back(self) -> None:
        """Puts the messages that the thread has not begun back at the head of the main lane."""
        lane = self.main_lane() if self.ahead else None
        try:
            while lane is not None:
                put_back(lane, self.ahead.pop())
        except IndexError:
            pass  # `ahead` is not checked first: if the process is killed, the thread may take the last entry meanwhile

    @property
    def waiting(self) -> int:
        return super().waiting + len(self.ahead)

    def mailbox_info(self) -> MailboxInfo:
        info = super().mailbox_info()
        return replace(info, main=info.main + len(self.ahead))

    def _handled(self, job: Job) -> None:
        if job is not self._job:
            return  # reported before
        if self.state is _TERMINATED:
            self._job = None
            return  # the process was left behind
        self._take_back()
        self.running_time += job.stopwatch.seconds
        error, job.error = job.error, None
        if error is None:
            self.hand = None
            if self.alive:
                self._hand_over()
                return
        self._job = None
        if error is None:
            self.turn_over()
        else:
            self.failed(error)

    # --- the end ------------------------------------------------------------------------------------------

    def kill(self) -> None:
        job = self._job if self.alive else None
        self._take_back()
        super().kill()
        if job is not None:
            job.cancel()

    def hurry(self) -> None:
        super().hurry()
        if self._job is not None:
            self._job.cancel()

    def terminate(self, reason: Exception, seconds: float | None) -> None:
        functions: tuple[Callable[[], Any], ...] = (partial(_terminate, self.behavior, reason, seconds),)
        final = None if self.keeper is None else self.keeper.final
        if final is not None:
            functions = (final, *functions)
        self._job = twice(self._worker.submit, functions, partial(self._terminated_by, reason), last=True)

    def _terminated_by(self, reason: Exception, job: Job) -> None:
        if job is not self._job:
            return  # reported before
        self._job = None
        self.running_time += job.stopwatch.seconds
        if job.error is not None and self.state is not _TERMINATED:
            self.terminate_failed(job.error)
        self.ended(reason)

    def ended(self, reason: Exception) -> None:
        super().ended(reason)
        self._worker.close()
        self._view = None


class _View:
    """The process as an envelope uses it on the thread: answers go to the loop, in order with everything else that goes
    there; all other attributes are only read."""

    __slots__ = ("_core", "behavior", "core", "handler", "process")

    def __init__(self, process: ThreadedProcess) -> None:
        self._core = process.core
        self.process = process
        self.behavior = process.behavior
        self.handler: Callable[[PID, Any], Any] = process.handler or process.behavior.handle_message
        self.core = SimpleNamespace(calls=SimpleNamespace(answer=self._answer, fail=self._fail))

    @property
    def wants_letters(self) -> bool:
        return self.process.wants_letters

    @property
    def requests(self) -> Any:
        return self.process.requests

    @property
    def idle(self) -> Any:
        return self.process.idle

    def traps_exit(self, sender: PID) -> bool:
        return self.process.traps_exit(sender)

    def _answer(self, ref: Ref, answer: Any) -> None:
        self._core.from_thread(self._core.calls.answer, ref, answer)

    def _fail(self, ref: Ref, error: Exception) -> None:
        self._core.from_thread(self._core.calls.fail, ref, error)


def _handle(view: _View, entry: Entry) -> Any:
    """Handles one message, on the thread."""
    return view.handler(*entry) if type(entry) is tuple else entry.handle(view)


def _terminate(behavior: ProcessBehavior, reason: Exception, seconds: float | None) -> Any:
    pending: Any = behavior.terminate(reason)
    return _within(seconds, pending) if is_coroutine(pending) else None


async def _within(seconds: float | None, pending: Coroutine[Any, Any, Any]) -> None:
    async with asyncio.timeout(seconds):
        await pending
