"""The activity, the base of processes and meta-processes: a mailbox, a state, and turns that handle its messages.

A callback that is `def` runs inline in the scheduler's slice. If one returns a coroutine, the rest of the turn runs in
a callback task, still in the slice. If that callback awaits something, the activity stays `running` and its mailbox
waits until the callback has returned.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, TypeGuard

from ...gen import PID, Alias, ProcessState, TerminateKill, as_reason
from ...gen.foreign import class_name, forget_frames
from ..mailbox.envelope import ExitSignal, close_unbegun, is_coroutine
from ..mailbox.lane import COMPILED, STAND_INS
from .owned_mailbox import OwnedMailbox
from .stepping import stepped

if TYPE_CHECKING:
    from ...gen import MetaBehavior, MetaOptions, ProcessBehavior, ProcessOptions
    from ..core import Core
    from ..logs import ContextAdapter
    from ..messaging.waiter import Waiter
    from ..processes.idle import IdleTimer
    from .callback_tasks import CallbackTask, CallbackTasks, Pending
    from .forwarder import Forwarder
    from .scheduler import Scheduler

    clock: Callable[[], float]
    filled: Callable[[deque[Any] | None], TypeGuard[deque[Any]]]

if not COMPILED:
    globals().update(STAND_INS)

_INIT, _SLEEP, _RUNNING = ProcessState.INIT, ProcessState.SLEEP, ProcessState.RUNNING
_WAIT, _ZOMBIE, _TERMINATED = ProcessState.WAIT_RESPONSE, ProcessState.ZOMBIE, ProcessState.TERMINATED

CLOCK_STEP = 8
"""The most messages between two readings of the clock. A reading costs a tenth of the cheapest message."""


class Activity(OwnedMailbox):
    """A mailbox with an owner that handles its messages, one at a time.

    acts_for: the process of which this is a place (`node/processes/concurrent.py`), and to which the time of its
        callbacks is charged; None for all others.
    handled: messages taken from the mailbox so far.
    handler: handles ordinary messages, as (sender, message), instead of the behavior's `handle_message`.
    fed: True if its messages come from a socket, a pool or a router, or from a process that is fed.
    held_by: the process whose mailbox has to drain before this one continues, as it has sent there too much; see
        `messaging/pressure.py`. holds: how often that happened. told_by: the process that will notify it when drained.
    idle: its timeout of silence, see `processes/idle.py`; None: it has none.
    last_target: the activity to which the last message was sent by its own address, at hand for the next message.
    longest: bytes of the longest datagram that a socket has put into its mailbox; reset by a pool.
    forwards: the main lane is taken by `forwarder`, as soon as there is one.
    pending: calls whose requests were taken or are queued here and have no answer yet; they fail at once if this ends.
    routes: the core's, at hand for each message; empty while its publications are on their way, see
        `messaging/publishing.py`.
    sender: the address that its messages come from, to which an answer can be sent: its own.
    stalls: how often a callback has held the loop for too long; see `watchdog`.
    task: the task in which an asynchronous callback is running.
    """

    __slots__ = (
        "acts_for",
        "behavior",
        "fed",
        "forwarder",
        "forwards",
        "handled",
        "handler",
        "held_by",
        "holds",
        "idle",
        "last_target",
        "longest",
        "messages_out",
        "options",
        "pending",
        "routes",
        "running_time",
        "sender",
        "stalls",
        "started_at",
        "task",
        "told_by",
    )

    behavior: ProcessBehavior | MetaBehavior
    options: ProcessOptions | MetaOptions
    handler: Callable[[Any, Any], Any] | None
    scheduler: Scheduler

    def __init__(self, core: Core, id: PID | Alias, sender: PID | Alias, limit: int, split: bool) -> None:
        super().__init__(core, id, limit, split)
        self.routes = core.registry.routes
        self.acts_for: Activity | None = None
        self.last_target: Activity | None = None
        self.sender = sender
        self.forwards = False
        self.forwarder: Forwarder | None = None
        self.fed = False
        self.longest = 0
        self.held_by: Activity | None = None
        self.told_by: Activity | None = None
        self.holds = 0
        self.task: asyncio.Task[None] | None = None
        self.idle: IdleTimer | None = None
        self.handled = 0
        self.messages_out = 0
        self.running_time = 0.0
        self.stalls = 0
        self.started_at = clock()
        self.pending: dict[Waiter, None] | None = None

    def __repr__(self) -> str:
        return f"{class_name(self.behavior)} {self.id} ({self.state.value})"

    # --- differences between the two kinds ---------------------------------------------------------------

    @property
    def title(self) -> str:
        """Its kind, address, name and behavior, for the log."""
        return str(self)

    @property
    def log_adapter(self) -> ContextAdapter:
        """Its logger."""
        raise NotImplementedError

    @property
    def wants_letters(self) -> bool:
        """True if a process gets the messages that an abnormal end leaves unhandled."""
        return False

    def end(self, reason: Exception, fault: BaseException | None = None) -> None:
        """Ends the activity for `reason`. `fault`: the exception of a callback that caused it, if any."""

    # --- turns --------------------------------------------------------------------------------------------

    @property
    def messages_in(self) -> int:
        """Number of messages taken and waiting."""
        return self.handled + self.waiting

    def start(self) -> None:
        """Begins to handle messages, after `init`."""
        self.state = _SLEEP
        if self.idle is not None:
            self.idle.rested()
        if filled(self.urgent) or filled(self.system) or filled(self.main) or filled(self.logs):
            self.scheduler.schedule(self)
        else:
            self.scheduled = False

    def turn(self, deadline: float, budget: int) -> None:
        """Handles messages: not many more than `budget`, and until `deadline` by the scheduler's clock."""
        if self.state is not _SLEEP:
            return  # ended while it was queued
        self.state = _RUNNING
        pending = None
        try:
            pending = self.advance(deadline, budget, None)
            if pending is not None:
                callback_tasks: CallbackTasks = self.core.callback_tasks
                callback_tasks.start(self, pending, deadline, budget)
                if self.task is None:
                    self.turn_over()
            elif self.state is _RUNNING:
                self._rest()
            else:
                self.turn_over()
        except BaseException as error:
            self._turn_failed(pending, error)
            raise

    def turn_with(self, sender: Any, message: Any, deadline: float, budget: int) -> None:
        """A turn of an activity that sleeps and has an empty mailbox: it begins with `message`, which did not go
        through the mailbox. Messages that come meanwhile wait for the next turn. Does nothing if a finalizer has ended
        or woken the activity since it was found asleep."""
        if self.scheduled or self.paused or self.state is not _SLEEP:
            return
        self.handled += 1
        scheduler = self.scheduler
        scheduler.taken = True  # from here on the message counts as handled, whatever fails
        self.scheduled = True
        self.state = _RUNNING
        handler = self.handler
        pending: Any = None
        failure: BaseException | None = None
        try:
            pending = self.behavior.handle_message(sender, message) if handler is None else handler(sender, message)
        except BaseException as error:
            failure = error
        if pending is None and failure is None and self._falls_asleep():
            return
        try:
            if failure is not None:
                self.hand = (sender, message)
                sender = message = None  # the traceback must not keep the message
                self.failed(failure)
            elif pending is not None and is_coroutine(pending):
                self.hand = (sender, message)
                callback_tasks: CallbackTasks = self.core.callback_tasks
                callback_tasks.start(self, pending, deadline, budget)
                if self.task is not None:
                    return
            if self.state is _RUNNING:
                self._rest()
            else:
                self.turn_over()
        except BaseException as error:
            self._turn_failed(pending if is_coroutine(pending) else None, error)
            raise

    def _turn_failed(self, pending: Pending | None, error: BaseException) -> None:
        """Handles a failure of the runtime itself in a turn, mostly for lack of memory: ends the activity if a callback
        could not continue, otherwise gives it another turn."""
        if pending is not None and self.hand is not None and self.task is None:
            close_unbegun(pending, self.hand)
            self.failed(error)
        if self.task is None and self.alive:
            self._rest()

    def advance(self, deadline: float, budget: int, callback_task: CallbackTask | None) -> Pending | None:
        """Handles messages until the lanes are empty, the turn is over, or a callback is to be awaited.

        Returns that callback's coroutine: with a `callback_task`, in which this runs, after it has begun to wait;
        otherwise before it has begun.

        The clock is read after 1, 2, 4, 8, 16, 24 ... messages, if there are more: quick handlers pay little for that,
        and slow handlers stop in time, also those that come after many quick ones.
        """
        sender: Any = None
        message: Any = None
        result: Any
        forwards = self.forwards
        main = self.main
        count, check = 0, 1
        failure: BaseException | None = None
        try:
            handle = self.handler or self.behavior.handle_message
            while True:
                if filled(self.urgent):
                    lane = self.urgent
                elif filled(self.system):
                    lane = self.system
                elif filled(main) and not self.paused:
                    if forwards:
                        message = None
                        forwarder = self.forwarder
                        if forwarder is not None:
                            count += forwarder.take_main(main)
                        if filled(main) and (count >= budget or clock() >= deadline):
                            break
                        continue
                    lane = main
                elif filled(self.logs):
                    lane = self.logs
                elif main is None and filled(self.main):
                    main = self.main
                    continue
                else:
                    break
                if count >= check:
                    if count >= budget or clock() >= deadline:
                        break
                    check += count if count < CLOCK_STEP else CLOCK_STEP  # `min` would cost a tenth of a ping-pong
                    if check > budget:
                        check = budget
                if COMPILED:  # a compiled lane needs no tuple for a plain message
                    message = lane.take()  # type: ignore[attr-defined]
                    sender = lane.sender  # type: ignore[attr-defined]
                else:
                    entry = lane.popleft()
                    sender, message = entry if type(entry) is tuple else (None, entry)
                count += 1
                result = message.handle(self) if sender is None else handle(sender, message)
                if result is not None and is_coroutine(result):
                    entry = message if sender is None else None
                    if callback_task is None or callback_task.start_callback(result, entry):
                        self.handled += count
                        self.hand = message if sender is None else (sender, message)
                        if self.drain_callbacks is not None:
                            self.run_drain_callbacks()  # now, as the callback may take long
                        return result
                    if callback_task.touched:
                        break
        except BaseException as error:
            failure = error
        self.handled += count
        if failure is not None:
            if message is not None or sender is not None:
                self.hand = message if sender is None else (sender, message)
            # the traceback must not keep the message, and with it a pooled buffer
            entry = sender = message = result = None
            self.failed(failure)
        return None

    def continue_turn(
        self, pending: Pending | None, deadline: float, budget: int, callback_task: CallbackTask
    ) -> Pending | None:
        """Continues a turn in `callback_task`. Returns the coroutine that has begun to wait, if any."""
        failure: BaseException | None = None
        try:
            if pending is not None and callback_task.start_callback(pending, self.hand):
                return pending
        except BaseException as error:
            failure = error
        if failure is not None:
            del pending
            self.failed(failure)
            return None
        self.hand = None
        if not callback_task.touched and (
            filled(self.urgent) or filled(self.system) or filled(self.main) or filled(self.logs)
        ):
            return self.advance(deadline, budget, callback_task)
        return None

    def turn_over(self) -> None:
        """Ends the activity if it was killed during the turn; otherwise it waits for its next turn."""
        if self.alive:
            self._rest()
        elif self.state is _ZOMBIE and self.task is None:
            self.end(TerminateKill())

    def _rest(self) -> None:
        """Queues the activity again if there is more to do; otherwise it sleeps."""
        self.state = _SLEEP
        try:
            if self.idle is not None:
                self.idle.rested()
            if self.drain_callbacks is not None:
                self.run_drain_callbacks()
        finally:
            if self.state is _SLEEP:  # otherwise a callback has ended it
                self._wait()

    def _falls_asleep(self) -> bool:
        """Does what `_rest` does if that is nothing but to sleep; otherwise returns False."""
        if self.state is not _RUNNING or self.idle is not None or self.drain_callbacks is not None:
            return False
        if filled(self.urgent) or filled(self.system) or filled(self.main) or filled(self.logs):
            return False
        self.state = _SLEEP
        self.scheduled = False
        return True

    def _wait(self) -> None:
        """Queues the sleeping activity if there is something to do."""
        self.scheduled = False
        if filled(self.urgent) or filled(self.system) or (filled(self.main) and not self.paused) or filled(self.logs):
            scheduler = self.scheduler
            scheduler.schedule(self)

    def failed(self, error: BaseException) -> None:
        """Ends the activity after a callback has raised, or an exit signal has come."""
        if isinstance(error, ExitSignal):
            self.end(error.reason)
        elif self.state is _ZOMBIE or (
            isinstance(error, asyncio.CancelledError) and self.task is not None and self.task.cancelling()
        ):
            self.end(TerminateKill())
        elif isinstance(error, Exception):
            self.end(error, error)
        else:
            self.end(as_reason(error), error)
        forget_frames(error)

    # --- the end ------------------------------------------------------------------------------------------

    def terminate(self, reason: Exception, seconds: float | None) -> None:
        """Runs the behavior's `terminate`, in `task` for at most `seconds` if it is asynchronous; then `ended`."""
        try:
            pending: Any = self.scheduler.run_for(self, self.behavior.terminate, reason)
        except BaseException as error:
            self.core.attempt(self.terminate_failed, error)
            pending = None
        if is_coroutine(pending):
            try:
                terminated = partial(self._terminated, pending, reason)  # first: once there is a task, nothing may fail
                self.task = self.core.loop.create_task(self._terminate_later(pending, seconds))
                self.task.add_done_callback(terminated)
                return
            except MemoryError as error:
                self.task = None
                self.core.attempt(self.terminate_failed, error)
                pending.close()
        try:
            self.ended(reason)
        except MemoryError:
            self.ended(reason)

    async def _terminate_later(self, pending: Coroutine[Any, Any, None], seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await stepped(pending, partial(self.scheduler.run_for, self))
        except BaseException as error:
            self.terminate_failed(error)

    def _terminated(self, pending: Coroutine[Any, Any, None], reason: Exception, task: asyncio.Task[None]) -> None:
        pending.close()  # it has not begun if the loop's shutdown cancelled the task before
        self.ended(reason)

    def terminate_failed(self, error: BaseException) -> None:
        """Logs the exception of `terminate`. The activity ends nevertheless."""

    def ended(self, reason: Exception) -> None:
        """Notifies links, monitors and callers, and releases everything that the activity holds."""

    def hurry(self) -> None:
        """Cancels an asynchronous `terminate`, but not before it has begun."""
        if self.task is not None:
            self.core.loop.call_soon(self.task.cancel)
