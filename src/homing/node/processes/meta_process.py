"""The meta-process at run time: `start`, the mailbox, one alias, and one end.

`start` runs as a task if it is `async def`, otherwise in a thread of its own, whose messages are passed to the loop.
The behavior's `terminate` runs exactly once, whatever ends it; it has to unblock a blocking `start`.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ...gen import (
    PID,
    Alias,
    CancelTimer,
    MessagePriority,
    MetaBehavior,
    MetaInfo,
    MetaOptions,
    NodeTerminated,
    NotAllowed,
    ProcessState,
    Ref,
    Target,
    TerminateKill,
    TerminateNormal,
    as_reason,
    is_orderly,
    is_succeeded,
)
from ...gen.foreign import class_name, forget_frames, safe_repr
from ...gen.hooks import TERMINATE_TIMEOUT, MetaHooks
from ...gen.retrying import Again, twice
from ..logs import META_LOGGER, ContextAdapter, RateLimited, context
from ..mailbox.envelope import is_coroutine
from ..mailbox.mailbox import Entry
from ..scheduling.activity import Activity
from ..scheduling.stepping import in_own_task, stepped

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core import Core
    from ..messaging.flow import Inlet
    from .process import Process

_NORMAL = MessagePriority.NORMAL


class MetaRunner(Activity):
    """An adapter between an outside source and the actors, owned by a process. Implements `gen.MetaProcess`.

    With a behavior that lingers it outlives an owner that crashed: it keeps its alias, its mailbox and its open
    resources, and continues with the behavior by which another process adopts it.

    adoptions: how often it was adopted.
    transfers: how often an owner has given it to another process.
    """

    __slots__ = ("_expiry", "_limited_log", "_log", "_source", "adoptions", "hooks", "owner", "transfers")

    id: Alias
    behavior: MetaBehavior
    options: MetaOptions

    def __init__(
        self, core: Core, owner: Process, behavior: MetaBehavior, hooks: MetaHooks, options: MetaOptions
    ) -> None:
        alias = core.registry.make_alias()
        super().__init__(core, alias, alias, options.mailbox_size, split=False)
        self.owner = owner
        self.behavior = behavior
        self.hooks = hooks
        self.options = options
        self.handler = None
        self.forwards = hooks.forwards
        self._source: asyncio.Task[None] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self.adoptions = self.transfers = 0
        self._log: ContextAdapter | None = None
        self._limited_log: RateLimited | None = None

    def put(self, entry: Entry, priority: int, limit: int = 0) -> bool:
        """Like `Mailbox.put`; a meta-process has only the lanes system and main, so urgent becomes system."""
        return Activity.put(self, entry, min(priority, 1), limit)

    def take_oldest(self, priority: int, may_go: Callable[[Entry], bool]) -> Entry | None:
        return Activity.take_oldest(self, min(priority, 1), may_go)

    # --- the view of the behavior -------------------------------------------------------------------------

    @property
    def parent(self) -> PID:
        return self.owner.id

    @property
    def env(self) -> Mapping[str, Any]:
        return self.owner.env

    @property
    def log(self) -> ContextAdapter:
        known = self._log
        if known is not None:
            return known
        owner = self.owner
        extra = context(self.core.name, owner.id, type(self.behavior).__name__, name=owner.name, alias=self.id)
        self._log = log = ContextAdapter(META_LOGGER, extra, self.core.levels)
        return log

    def warn(self, kind: str, text: str, *args: object) -> None:
        try:
            self.on_loop(self._warn, kind, text, args)
        except NodeTerminated:
            pass  # the loop is closed, so there is no node to log for

    def _warn(self, kind: str, text: str, args: tuple[object, ...]) -> None:
        limited = self._limited_log or RateLimited(self.log, self.core.bounded_log)
        self._limited_log = limited
        limited.warning(self.core.loop.time(), kind, text, *args)

    def send(self, to: Target, message: Any) -> None:
        self.send_with_priority(to, message, _NORMAL)

    def send_with_priority(self, to: Target, message: Any, priority: MessagePriority) -> None:
        self.on_loop(self._send, to, message, priority)

    def _send(self, to: Target, message: Any, priority: MessagePriority) -> None:
        self.core.delivery.send(self.sender, to, message, priority)
        self.messages_out += 1

    def send_after(self, to: Target, message: Any, seconds: float) -> CancelTimer:
        self._require_timer("send_after")
        return self.core.timers.start(self, to, message, seconds, periodic=False)

    def send_every(self, to: Target, message: Any, seconds: float) -> CancelTimer:
        self._require_timer("send_every")
        return self.core.timers.start(self, to, message, seconds, periodic=True)

    def send_response(self, to: PID, ref: Ref, answer: Any) -> None:
        self.on_loop(self.core.calls.answer, ref, answer)

    def send_response_error(self, to: PID, ref: Ref, error: Exception) -> None:
        self.on_loop(self.core.calls.fail, ref, as_reason(error))

    def awaited(self, ref: Ref) -> bool:
        """Returns False once the caller of a request does not wait any more. On the node's thread only."""
        return self.core.calls.waits(ref)

    async def spawn_meta(self, behavior: MetaBehavior, options: MetaOptions | None = None) -> Alias:
        start = self.core.spawn_meta(self.owner, behavior, options)
        # within its own start in a task, as the new start may itself start meta-processes, and so on
        return await (in_own_task(self.core.loop, start) if self.state is ProcessState.INIT else start)

    def bound(self, limit: int) -> None:
        """Limits each lane to `limit` messages from now on; one more raises `MailboxFull`."""
        self.core.require_thread()
        self.limit = limit
        self.guarded = True

    def inlet(
        self, to: Target, high: int, low: int, ready: Callable[[], None], overflow: str, most_bytes: int = 0
    ) -> Inlet:
        """Returns an inlet, which puts messages in bulk into the mailbox of `to`, with flow control: `flow.Inlet`."""
        self.core.require_thread()
        return self.core.make_inlet(self, to, high, low, ready, overflow, most_bytes)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The node's event loop."""
        return self.core.loop

    def on_loop(self, function: Callable[..., None], *args: Any) -> None:
        """Calls `function(*args)` on the node's thread: at once if called there."""
        if threading.get_ident() == self.core.thread:
            function(*args)
        else:
            self.core.from_thread(function, *args)

    def _require_timer(self, what: str) -> None:
        if not self.alive:
            raise NotAllowed(f"{self.id} has ended; it can only send, in its terminate")
        if threading.get_ident() != self.core.thread:
            raise NotAllowed(f"{what} works on the node's thread only; send to the parent and let it set the timer")

    # --- its life -----------------------------------------------------------------------------------------

    def start(self) -> None:
        if self.state is ProcessState.INIT:  # otherwise it was adopted
            super().start()
        if self.core.stopping:
            self.core.attempt(self.behavior.drain)  # it was not ready when the stop drained the others
        if inspect.iscoroutinefunction(self.behavior.start):
            self._source = self.core.loop.create_task(self._run_source())
            self._source.add_done_callback(self._source_done)
        else:
            threading.Thread(target=self._run_thread, name=f"homing {self.id}", daemon=True).start()

    async def _run_source(self) -> None:
        try:
            pending = self.behavior.start()
            if is_coroutine(pending):
                await stepped(pending, partial(self.scheduler.run_for, self))
            elif pending is not None:
                await pending
        except asyncio.CancelledError:
            self._source_cancelled(asyncio.current_task())
        except BaseException as error:
            self.end(as_reason(error), error)
        else:
            self.end(TerminateNormal())

    def _source_done(self, task: asyncio.Task[None]) -> None:
        self._source_cancelled(task)  # does nothing unless the task was cancelled before it had begun

    def _source_cancelled(self, task: asyncio.Task[None] | None) -> None:
        """Handles a cancellation by the loop's shutdown. After a cancellation by `end` it has ended already; after one
        by `outlive`, `task` is not `_source` any more."""
        if task is self._source:
            self.end(TerminateKill())

    def _run_thread(self) -> None:
        try:
            self.behavior.start()
        except BaseException as error:
            outcome: tuple[Exception, BaseException | None] = (as_reason(error), error)
        else:
            outcome = (TerminateNormal(), None)
        try:
            self.core.loop.call_soon_threadsafe(self.end, *outcome)
        except RuntimeError:
            pass  # the loop is closed: the node, and this meta-process with it, has ended already

    def end(self, reason: Exception, fault: BaseException | None = None) -> None:
        if not self.alive:
            return
        self.state = ProcessState.ZOMBIE
        self.scheduled = True
        self.core.registry.routes.pop(self.id, None)
        if fault is not None and not is_orderly(reason):
            self.core.attempt(self._log_crash, reason, fault)
            forget_frames(fault)
        try:
            for task in (self._source, self.task, self._expiry):
                if task is not None:
                    twice(task.cancel)
        finally:  # whatever fails, as nothing else would end it
            self.terminate(reason, TERMINATE_TIMEOUT)

    def _log_crash(self, reason: Exception, fault: BaseException) -> None:
        self.core.crashed(self.log, "%s crashed: %s", self.title, safe_repr(reason), fault=fault)

    # --- another owner --------------------------------------------------------------------------------------

    def transfer(self, giver: Process, owner: Process) -> None:
        """Makes `owner` the owner. Raises `NotAllowed` if `giver` is not the owner, or it has not been started yet."""
        if self.owner is not giver:
            raise NotAllowed(f"{self.id} belongs to {self.owner.id}; only its owner can give it to another process")
        if self.state is ProcessState.INIT:
            raise NotAllowed(f"{self.id} has not been started yet; give it away when spawn_meta has returned")
        if owner is giver:
            return
        if giver.metas is not None:
            giver.metas.pop(self.id, None)
        metas = owner.metas or {}
        if owner.metas is None:
            owner.metas = metas
        owner.metas[self.id] = self
        self.owner = owner
        self.transfers += 1
        self._log = self._limited_log = None
        self.hooks.transferred()

    # --- without an owner ---------------------------------------------------------------------------------

    @property
    def lingering(self) -> bool:
        """True while it has no owner."""
        return self._expiry is not None

    def lingers(self, reason: Exception, owner_started: bool) -> bool:
        """Returns True if it is to outlive its owner, which ends for `reason`. If the `init` of that owner or its own
        has failed, only if it had another owner before: a failed start must leave nothing behind, and must not end
        anything older."""
        return (
            self.hooks.linger > 0
            and is_succeeded(reason)
            and (self.adoptions + self.transfers > 0 or (owner_started and self._source is not None))
            and not self.core.stopping
        )

    def outlive(self, reason: Exception) -> None:
        """Continues without its owner, for a bounded time."""
        if self.owner.metas is not None:
            self.owner.metas.pop(self.id, None)
        source, self._source = self._source, None
        if source is not None:
            source.cancel()
        seconds = self.hooks.linger
        self._expiry = self.core.loop.call_later(seconds, self._expire, reason)
        text = "%s %s outlives its owner: it waits %g s for a successor"
        self.core.note(self.log, text, self._kind, self.id, seconds)
        self.hooks.orphaned()

    def _expire(self, reason: Exception) -> None:
        self.log.warning("%s %s ends: nobody has adopted it", self._kind, self.id)
        self.end(reason)

    def adopt(self, core: Core, owner: Process, behavior: MetaBehavior, hooks: MetaHooks, options: MetaOptions) -> None:
        """Continues as `behavior`, owned by `owner`. Raises `NotAllowed` if it has ended or was adopted meanwhile."""
        if self._expiry is None or not self.alive:
            raise NotAllowed(f"{self.id} does not linger any more; create another one")
        if core is not self.core:
            raise NotAllowed(f"{self.id} lingers at node {self.core.name}; only a process of that node can adopt it")
        self._expiry.cancel()
        self._expiry = None
        self.adoptions += 1
        self.owner = owner
        self.behavior = behavior
        self.hooks = hooks
        self.options = options
        self.limit = options.mailbox_size
        self.guarded = self.main is None or self.limit > 0
        self._log = self._limited_log = None

    def terminate_failed(self, error: BaseException) -> None:
        self.core.log_failure(self.log, "terminate of %s failed: %s", self.title, safe_repr(error), fault=error)

    @property
    def title(self) -> str:
        return f"meta-process {self.id} {self._kind}"

    @property
    def log_adapter(self) -> ContextAdapter:
        return self.log

    @property
    def _kind(self) -> str:
        return class_name(self.behavior)

    def ended(self, reason: Exception) -> None:
        leave = twice(Again, self._take_leave, reason)
        self.state = ProcessState.TERMINATED
        self.core.metas.pop(self.id, None)
        if self.owner.metas is not None:
            self.owner.metas.pop(self.id, None)
        twice(self.scheduler.run_in_portions, iter, leave)

    def _take_leave(self, reason: Exception) -> Iterator[object]:
        """Notifies callers, links and monitors, and releases everything, step by step; continues if a step raises."""
        core = self.core
        yield from core.attempt_steps(core.calls.callee_gone, self, reason)
        yield from core.attempt_steps(core.links.subject_gone, self.id, self.owner.id, reason)
        yield from core.attempt_steps(self.release)
        core.attempt(core.changed)

    def info(self) -> MetaInfo:
        """Returns a snapshot."""
        return MetaInfo(
            id=self.id,
            behavior=self._kind,
            state=self.state,
            parent=self.owner.id,
            uptime=perf_counter() - self.started_at,
            running_time=self.running_time,
            stalls=self.stalls,
            messages_in=self.messages_in,
            messages_out=self.messages_out,
            mailbox=self.mailbox_info(),
            mailbox_size=self.limit,
            dropped_newest=self.dropped_newest,
            dropped_oldest=self.dropped_oldest,
        )
