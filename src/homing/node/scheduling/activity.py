"""The activity: what processes and meta-processes have in common. A mailbox, a state, and turns in which it is drained.

A callback that is `def` runs inline in the scheduler's slice. If one returns a coroutine, the rest of the turn runs in
a callback task, still in the slice. If that callback waits for something, the activity stays `running` and its mailbox
waits until the callback is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ...gen import PID, Alias, ProcessState, TerminateKill, as_reason
from ...gen.foreign import class_name, forget_frames
from ..mailbox.envelope import ExitSignal, close_unbegun, is_coroutine
from ..mailbox.lane import COMPILED
from .owned_mailbox import OwnedMailbox
from .stepping import stepped

if TYPE_CHECKING:
    from ...gen import MetaBehavior, MetaOptions, ProcessBehavior, ProcessOptions
    from ..core import Core
    from ..logs import ContextAdapter
    from ..messaging.waiter import Waiter
    from .callback_tasks import CallbackTask, Pending
    from .scheduler import Scheduler

_INIT, _SLEEP, _RUNNING = ProcessState.INIT, ProcessState.SLEEP, ProcessState.RUNNING
_WAIT, _ZOMBIE, _TERMINATED = ProcessState.WAIT_RESPONSE, ProcessState.ZOMBIE, ProcessState.TERMINATED

CLOCK_STEP = 8
"""Messages between two readings of the clock at most. Reading it costs a tenth of the cheapest message."""


class Activity(OwnedMailbox):
    """A mailbox with someone who drains it, one message at a time.

    handled: messages taken from the mailbox so far.
    handler: gets ordinary messages, as (sender, message), in the place of the behavior's `handle_message`.
    fed: what comes here comes from a socket, a pool or a router, or from a process to which such comes.
    held_by: the process whose mailbox it waits for to drain, having sent there; see `messaging/pressure.py`.
    holds: how often that was. told_by: the process that tells it when it has drained.
    longest: bytes of the longest datagram that a socket has put into its mailbox; a pool looks, and begins anew.
    forwards: the behavior drains the main lane itself, by `take_main`.
    pending: calls whose requests were taken or wait here and have no answer yet; they fail at once if this ends.
    routes: the core's, at hand for each message; empty while what it has published is on its way, see
        `messaging/publishing.py`.
    sender: the address that its messages come from, to which an answer can be sent: its own.
    stalls: times that a callback has held the loop for too long; see `watchdog`.
    task: the task in which an asynchronous callback runs now.
    """

    __slots__ = (
        "behavior",
        "fed",
        "forwards",
        "handled",
        "handler",
        "held_by",
        "holds",
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
        self.sender = sender
        self.forwards = False
        self.fed = False
        self.longest = 0
        self.held_by: Activity | None = None
        self.told_by: Activity | None = None
        self.holds = 0
        self.task: asyncio.Task[None] | None = None
        self.handled = 0
        self.messages_out = 0
        self.running_time = 0.0
        self.stalls = 0
        self.started_at = perf_counter()
        self.pending: dict[Waiter, None] | None = None

    def __repr__(self) -> str:
        return f"{class_name(self.behavior)} {self.id} ({self.state.value})"

    # --- what the two kinds do differently ---------------------------------------------------------------

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
        """True if somebody gets what an abnormal end leaves unhandled."""
        return False

    def take_main(self) -> int:
        """Drains the main lane wholesale, where the behavior does that itself (a pool). Gives how many it took."""
        return 0

    def end(self, reason: Exception, fault: BaseException | None = None) -> None:
        """Ends the activity for `reason`; `fault` is what a callback of it raised, if it ends by that."""

    # --- turns --------------------------------------------------------------------------------------------

    @property
    def messages_in(self) -> int:
        """Messages taken and messages waiting."""
        return self.handled + self.waiting

    def start(self) -> None:
        """`init` is done: from here on the mailbox is drained."""
        self.state = _SLEEP
        if self.urgent or self.system or self.main or self.logs:
            self.scheduler.schedule(self)
        else:
            self.scheduled = False

    def turn(self, deadline: float, budget: int) -> None:
        """Handles messages: not many more than `budget`, and until `deadline` of the scheduler's clock."""
        if self.state is not _SLEEP:
            return  # ended while it stood in the queue
        self.state = _RUNNING
        pending = None
        try:
            pending = self.advance(deadline, budget, None)
            if pending is not None:
                self.core.callback_tasks.start(self, pending, deadline, budget)
                if self.task is None:
                    self.turn_over()
            elif self.state is _RUNNING:
                self._rest()
            else:
                self.turn_over()
        except BaseException as error:
            self._turn_failed(pending, error)
            raise

    def _turn_failed(self, pending: Pending | None, error: BaseException) -> None:
        """The runtime itself has failed in a turn, mostly for want of memory: the activity ends if a callback was to go
        on, else it has another turn."""
        if pending is not None and self.hand is not None and self.task is None:
            close_unbegun(pending, self.hand)
            self.failed(error)
        if self.task is None and self.alive:
            self._rest()

    def advance(self, deadline: float, budget: int, callback_task: CallbackTask | None) -> Pending | None:
        """Handles messages until the lanes are empty, the turn is over, or a callback is to be awaited.

        Returns that callback's coroutine: with a `callback_task`, in which this runs, when it has begun to wait; else
        before it has begun.

        The clock is read after 1, 2, 4, 8, 16, 24 ... messages, if there are more: quick handlers pay little for it,
        slow ones stop in time, also those that come after many quick ones.
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
                if self.urgent:
                    lane = self.urgent
                elif self.system:
                    lane = self.system
                elif main and not self.paused:
                    if forwards:
                        message = None
                        count += self.take_main()
                        if count >= budget or perf_counter() >= deadline:
                            break
                        continue
                    lane = main
                elif self.logs:
                    lane = self.logs
                elif main is None and self.main:
                    main = self.main
                    continue
                else:
                    break
                if count >= check:
                    if count >= budget or perf_counter() >= deadline:
                        break
                    check += count if count < CLOCK_STEP else CLOCK_STEP  # `min` would cost a tenth of a ping-pong
                    if check > budget:
                        check = budget
                if COMPILED:  # such a lane makes no tuple where none is needed
                    message = lane.take()  # type: ignore[attr-defined]
                    sender = lane.sender  # type: ignore[attr-defined]
                else:
                    entry = lane.popleft()
                    sender, message = entry if type(entry) is tuple else (None, entry)
                count += 1
                result = message.handle(self) if sender is None else handle(sender, message)
                if result is not None and is_coroutine(result):
                    if callback_task is None or callback_task.start_callback(result):
                        self.handled += count
                        self.hand = message if sender is None else (sender, message)
                        if self.drain_callbacks is not None:
                            self.run_drain_callbacks()  # the callback may take long, and this was taken out of the lane
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
        self, pending: Pending, deadline: float, budget: int, callback_task: CallbackTask
    ) -> Pending | None:
        """Goes on with a turn in `callback_task`. Returns the coroutine that has begun to wait, if any."""
        failure: BaseException | None = None
        try:
            if callback_task.start_callback(pending):
                return pending
        except BaseException as error:
            failure = error
        if failure is not None:
            del pending
            self.failed(failure)
            return None
        self.hand = None
        if not callback_task.touched:
            return self.advance(deadline, budget, callback_task)
        return None

    def turn_over(self) -> None:
        """A turn is over: ends, if it was killed in it, or waits for the next."""
        if self.alive:
            self._rest()
        elif self.state is _ZOMBIE and self.task is None:
            self.end(TerminateKill())

    def _rest(self) -> None:
        """A turn is over: back into the queue if there is more to do, else sleep."""
        self.state = _SLEEP
        try:
            if self.drain_callbacks is not None:
                self.run_drain_callbacks()
        finally:
            if self.state is _SLEEP:  # else a callback has ended it
                self._wait()

    def _wait(self) -> None:
        """It sleeps: into the queue if there is something to do."""
        self.scheduled = False
        if self.urgent or self.system or (self.main and not self.paused) or self.logs:
            self.scheduler.schedule(self)

    def failed(self, error: BaseException) -> None:
        """A callback raised, or an exit signal came: the activity ends."""
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
        """Runs the behavior's `terminate`, in `task` for `seconds` at most if it is asynchronous; then `ended`."""
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
        pending.close()  # it never began if the loop's shutdown cancelled the task before that
        self.ended(reason)

    def terminate_failed(self, error: BaseException) -> None:
        """Logs what `terminate` raised: the activity ends all the same."""

    def ended(self, reason: Exception) -> None:
        """Tells everybody, and lets go of everything."""

    def hurry(self) -> None:
        """Cancels an asynchronous `terminate`, but not before it has begun."""
        if self.task is not None:
            self.core.loop.call_soon(self.task.cancel)
