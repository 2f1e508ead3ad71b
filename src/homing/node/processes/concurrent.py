"""A process with `ProcessOptions.concurrency`: its asynchronous callbacks run side by side, each in its own task.

The process has as many *places* as callbacks may run at once. A place handles one message at a time, taken from the
process's mailbox, and is an activity of its own as far as a callback task needs one. Synchronous callbacks run inline
in whichever place took their message. The process can be scheduled while a place is free; at the limit it waits.

When the process ends, the callbacks in flight are cancelled; meta-processes and `terminate` wait until all have ended.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeGuard

from ...gen import PID, ProcessOptions, ProcessState, TerminateKill
from ...gen.foreign import forget_frames
from ..mailbox.envelope import Exit, close_unbegun, is_coroutine
from ..mailbox.lane import COMPILED, STAND_INS, put_back
from ..mailbox.preserved import send_dead_letter
from ..scheduling.activity import Activity
from ..scheduling.slices import WAKES
from .key_order import PARKED
from .shared_mailbox import SharedMailbox

if TYPE_CHECKING:
    from ..core import Core
    from ..mailbox.mailbox import Entry
    from ..scheduling.callback_tasks import CallbackTask, CallbackTasks, Pending

    clock: Callable[[], float]
    filled: Callable[[deque[Any] | None], TypeGuard[deque[Any]]]

if not COMPILED:
    globals().update(STAND_INS)

_SLEEP, _RUNNING, _WAIT = ProcessState.SLEEP, ProcessState.RUNNING, ProcessState.WAIT_RESPONSE
_ZOMBIE, _TERMINATED = ProcessState.ZOMBIE, ProcessState.TERMINATED

_CLOCK_STEP = 8
"""As `activity.CLOCK_STEP`."""


class Place(Activity):
    """A place of `process`. hand: the message whose asynchronous callback has begun and not returned.

    counted: True if `hand` is counted as outstanding.
    following: the next free place.
    key: the key of the message, None if it has none.
    """

    __slots__ = ("counted", "following", "key", "process")

    def __init__(self, process: ConcurrentProcess) -> None:
        super().__init__(process.core, process.id, process.sender, 0, False)
        self.process = self.acts_for = process
        self.behavior = process.behavior
        self.options = process.options
        self.state = _RUNNING
        self.counted = False
        self.following: Place | None = None
        self.key: Any = None

    @property
    def alive(self) -> bool:
        return self.process.alive

    @property
    def runnable(self) -> bool:
        return self.process.runnable

    def continue_turn(
        self, pending: Pending | None, deadline: float, budget: int, callback_task: CallbackTask
    ) -> Pending | None:
        """Begins a turn: `pending` is None."""
        return self.advance(deadline, budget, callback_task)

    def advance(self, deadline: float, budget: int, callback_task: CallbackTask | None) -> Pending | None:
        """Like `Activity.advance`, with messages from the process's mailbox."""
        process = self.process
        entry: Entry = None
        result: Any = None
        count, check, parked = 0, 1, 0
        began = False
        failure: BaseException | None = None
        try:
            self.leave()
            handle = process.handler or process.behavior.handle_message
            while True:
                if count >= check:
                    if count >= budget or clock() >= deadline:
                        break
                    check += min(count, _CLOCK_STEP)
                entry = None
                entry = process.take_entry(self)
                if entry is None:
                    break
                count += 1
                if entry is PARKED:
                    parked += 1
                    continue
                self.key = process.taken_key
                result = handle(entry[0], entry[1]) if type(entry) is tuple else entry.handle(process)
                if result is not None and callback_task is not None and is_coroutine(result):
                    self.hand = entry
                    if not process.alive:  # the callback ended its own process before it returned the coroutine
                        close_unbegun(result, entry)
                        raise asyncio.CancelledError
                    self.counted = began = True
                    process.outstanding += 1
                    if callback_task.start_callback(result, entry):
                        process.handled += count - parked
                        self.handled += count
                        return result
                    self.hand = None
                    if callback_task.touched:
                        break
                if self.counted or self.key is not None:
                    self.leave()
        except BaseException as error:
            failure = error
        process.handled += count - parked
        if began:
            self.handled += count
        if failure is not None:
            if entry is not None:
                self.hand = entry
            entry = result = None  # the traceback must not keep the message
            self.failed(failure)
        return None

    def leave(self) -> None:
        """Is over with its message: the next one of the same key may begin."""
        process = self.process
        if self.counted:
            self.counted = False
            process.outstanding -= 1
        if self.key is not None:
            key, self.key = self.key, None
            process.order.over(key)

    def failed(self, error: BaseException) -> None:
        hand, self.hand = self.hand, None
        task = self.task
        cancelled = isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
        try:
            self.leave()
        finally:
            self.process.callback_failed(hand, error, cancelled)

    def turn_over(self) -> None:
        try:
            self.leave()
        finally:
            self.process.place_over(self)


class ConcurrentProcess(SharedMailbox):
    """A process whose asynchronous callbacks run side by side. It is `running` while any is in flight."""

    __slots__ = ("_blocked", "_ending_for", "_free", "_most", "_places", "_turning")

    stuck = "has callbacks that ignore their cancellation"
    side_by_side = True
    """Tells entries that other messages are handled while their callback waits."""

    def __init__(
        self, core: Core, parent: PID, leader: PID, env: Mapping[str, Any], split: bool, options: ProcessOptions
    ) -> None:
        super().__init__(core, parent, leader, env, split, options)
        self._most = options.concurrency
        self._places: list[Place] = []
        self._free: Place | None = None  # chained by `following`
        self._blocked = False  # `scheduled` only because no place is free
        self._turning = False
        self._ending_for: Exception | None = None  # of an end that waits for the callbacks in flight

    # --- turns --------------------------------------------------------------------------------------------

    def put_exit(self, signal: Exit, priority: int = 2) -> None:
        """Like `OwnedMailbox.put_exit`. An exit signal ends the process at its limit too."""
        if self._blocked and self.alive:
            self._blocked = self.scheduled = False
        super().put_exit(signal, priority)

    def _handle_exit(self) -> None:
        """Handles the first urgent entry, although no place is free, if it is an exit signal that ends the process."""
        lane = self.urgent
        if not lane:
            return
        entry = lane.popleft()
        try:
            ends = isinstance(entry, Exit) and not self.traps_exit(entry.sender)
        except BaseException:
            ends = False  # `trap_exit` is the program's own code; it raises again in a place
        if ends:
            self.end(entry.reason)
        else:
            put_back(lane, entry)

    def turn(self, deadline: float, budget: int) -> None:
        if not self.alive:
            return  # ended while it was queued
        callback_tasks: CallbackTasks = self.core.callback_tasks
        last = self.handled + budget
        prepares = False
        self._turning = True
        self.state = _RUNNING
        try:
            while self.alive and self._has_more():
                place = self._take_place()
                if place is None:
                    self._handle_exit()
                    break
                callback_task = callback_tasks.take()
                if callback_task is None:
                    self._keep(place)
                    self._prepare()
                    prepares = True
                    break
                self._begin(callback_task, place, deadline, budget)
                if self.handled >= last or clock() >= deadline:
                    break
        finally:
            self._turning = False
            if not self.alive:
                self._continue_end()
            elif prepares:
                self._set_state()
            else:
                self._rest()

    def turn_with(self, sender: Any, message: Any, deadline: float, budget: int) -> None:
        if self.scheduled or self.paused or not self.alive:
            return
        self.put((sender, message), 0)
        self.scheduler.taken = True
        self.scheduled = True
        self.turn(deadline, budget)

    def _begin(self, callback_task: CallbackTask, place: Place, deadline: float, budget: int) -> None:
        """Handles messages in `place` until one is waited for, or none is left."""
        try:
            callback_task.begin(place, None, deadline, budget)
        except BaseException as error:  # of the runtime itself, mostly for lack of memory
            if place.hand is not None and place.task is None:
                place.failed(error)
            raise
        finally:
            if place.task is None:
                self._keep(place)

    def _prepare(self) -> None:
        """Makes callback tasks, and continues when they can be used: a task that is new begins one iteration of the
        loop later, and messages that came later would begin before."""
        queued = sum(len(lane) for lane in (self.urgent, self.system, self.main, self.logs) if lane)
        self.core.callback_tasks.prepare(max(1, min(queued, self._most - self.in_flight)))
        self.core.loop.call_soon(self._prepared, context=self.scheduler.context)

    def _prepared(self) -> None:
        if self.alive:
            self.scheduler.schedule(self)

    def _take_place(self) -> Place | None:
        """Returns a place that is free, None if there is none."""
        place = self._free
        if place is not None:
            self._free = place.following
            place.following = None
        elif len(self._places) < self._most:
            place = Place(self)
            self._places.append(place)
        return place

    def _keep(self, place: Place) -> None:
        place.following = self._free
        self._free = place

    def place_over(self, place: Place) -> None:
        """Called when the callbacks of a place are over that have waited for something."""
        self._keep(place)
        if self._turning:
            return  # the turn will do it
        if not self.alive:
            self._continue_end()
            return
        try:
            if not self.in_flight:
                self._sleep()
            if self.drain_callbacks is not None:
                self.run_drain_callbacks()
        finally:
            if self.alive and (self._blocked or not self.scheduled):
                self._wait()

    def _set_state(self) -> None:
        if self.in_flight:
            self.state = _WAIT if self.open_calls else _RUNNING
        else:
            self._sleep()

    def _sleep(self) -> None:
        self.state = _SLEEP
        if self.idle is not None:
            self.idle.rested()

    def _rest(self) -> None:
        try:
            self._set_state()
            if self.drain_callbacks is not None:
                self.run_drain_callbacks()
        finally:
            if self.alive:
                self._wait()

    def _wait(self) -> None:
        self._blocked = self.scheduled = self._free is None and len(self._places) >= self._most
        if not self._blocked and self._has_more():
            self.scheduler.schedule(self)

    # --- the end ------------------------------------------------------------------------------------------

    def callback_failed(self, hand: Entry | None, error: BaseException, cancelled: bool) -> None:
        """Ends the process after a callback has raised. If it is ending already, the callback was cut short, and its
        message, `hand`, becomes a dead letter.

        cancelled: the callback's task was cancelled, by the process or by somebody else.
        """
        if self.alive:
            self.hand = hand
            if cancelled:
                self.end(TerminateKill())
            else:
                super().failed(error)
                return
        elif hand is not None:
            reason = TerminateKill() if self._ending_for is None else self._ending_for
            self.core.attempt(partial(send_dead_letter, in_hand=True), self, hand, reason)
        forget_frames(error)

    def kill(self) -> None:
        was_alive = self.alive
        super().kill()
        if was_alive:
            self.scheduler.run_in_portions(self._cancel)

    def hurry(self) -> None:
        super().hurry()
        self.scheduler.run_in_portions(self._cancel)
        if self.ending:
            self._continue_end()

    def abandon(self) -> None:
        self._ending_for = None
        for place in self._places:
            hand, place.hand = place.hand, None
            if hand is not None:
                self.core.attempt(partial(send_dead_letter, in_hand=True), self, hand, TerminateKill())
        super().abandon()

    def _leave(self) -> None:
        self._put_back_parked()
        super()._leave()

    def _cancel(self) -> Iterator[object]:
        """Cancels the callbacks in flight, one in each step."""
        for place in tuple(self._places):
            if place.counted and place.hand is not None and place.task is not None:
                self.core.attempt(place.task.cancel)
                yield WAKES

    def _go_on_ending(self, reason: Exception) -> None:
        self._ending_for = reason
        self.scheduler.run_in_portions(self._cancel)
        self._continue_end()

    def _continue_end(self) -> None:
        """Continues the end of the process, once no callback is in flight."""
        if len(self.order):  # parked while a finalizer, or the key function, ended the process
            self._put_back_parked()
        if self._turning or self.outstanding:
            return
        if not self.ending:
            self.end(TerminateKill())
            return
        reason, self._ending_for = self._ending_for, None
        if reason is not None:
            try:
                super()._go_on_ending(reason)
            except MemoryError:
                super()._go_on_ending(reason)

    def release(self) -> Iterator[object]:
        yield from super().release()
        self._places.clear()
        self._free = None
