"""The core: the parts of one node. Processes and meta-processes use the node through it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from time import perf_counter, time_ns
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from ..gen import (
    PID,
    Alias,
    MetaBehavior,
    MetaOptions,
    NodeForked,
    NodeOptions,
    NodeTerminated,
    NotAllowed,
    Target,
)
from ..gen.foreign import class_name, forget_frames, safe_repr
from .applications import Applications
from .config import NodeConfiguration
from .health import Health
from .logs import NODE_LOGGER, BoundedLog, ContextAdapter, Levels, RateLimited, Receiver, context
from .messaging.calls import Calls
from .messaging.delivery import Delivery
from .messaging.events import Events
from .messaging.flow import Inlet
from .messaging.links import Links
from .messaging.publishing import Publishing
from .messaging.registry import Registry
from .messaging.timers import Timers
from .processes.spawning import spawn_meta
from .scheduling.callback_tasks import CallbackTasks
from .scheduling.scheduler import Scheduler

if TYPE_CHECKING:
    from .elsewhere import Elsewhere
    from .processes.meta_process import MetaRunner
    from .processes.process import Process
    from .scheduling.activity import Activity
    from .states.store import Store
    from .tracing.tracer import Tracer

T = TypeVar("T")


def _throw(error: BaseException) -> None:
    raise error


class Core:
    """Registry, scheduler, callback tasks, delivery, links, calls, events, timers and applications of one node, its
    processes and its counters.

    pid: the node's own address, the sender of messages that no process sent. It has no mailbox.
    inlet_kind: the class of new inlets. tracer: follows messages, once something was traced. See `tracing`.
    states: what is kept of the states of processes, once one asks for it.
    stopping: True if no process or meta-process can be started any more.
    """

    def __init__(self, name: str, options: NodeOptions, loop: asyncio.AbstractEventLoop) -> None:
        self.name = name
        self.options = options
        self.loop = loop
        self.thread = threading.get_ident()
        creation = time_ns()
        self.pid = PID(name, 1, creation)
        self.env: Mapping[str, Any] = MappingProxyType(dict(options.env))
        self.configuration = NodeConfiguration(self)
        self.registry = Registry(name, creation)
        self.scheduler = Scheduler(name, loop, options)
        self.callback_tasks = CallbackTasks(self.scheduler)
        self.publishing = Publishing(self)
        self.delivery = Delivery(self.registry, self.scheduler, self.publishing)
        self.links = Links(name, self.pid)
        self.calls = Calls(self)
        self.events = Events(self)
        self.timers = Timers(self)
        self.applications = Applications(self)
        self.inlet_kind: type[Inlet] = Inlet
        self.tracer: Tracer | None = None
        self.health = Health(self)
        self.processes: dict[PID, Process] = {}
        self.metas: dict[Any, MetaRunner] = {}
        self.log_receivers: dict[PID, Receiver] = {}
        self.states: Store | None = None
        self.levels = Levels()
        self.log = ContextAdapter(NODE_LOGGER, context(name, self.pid, "node"), self.levels)
        self.bounded_log = BoundedLog(self.log)
        self.limited_log = RateLimited(self.log, self.bounded_log)
        self.stopping = False
        self.started_at = perf_counter()
        self.spawned = 0
        self.crashes = 0
        self.discarded = 0
        self.dead_letters = 0
        self.timer_failures = 0
        self.timer_skips = 0
        self.threadsafe_failures = 0
        self.on_change: Callable[[], None] | None = None
        self.unwritten: set[object] = set()  # files for which a stop waits, within its time
        self._posted: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._wake_posted = False

    def crashed(
        self, log: logging.LoggerAdapter[logging.Logger], text: str, *args: object, fault: BaseException
    ) -> None:
        """Counts a crash, and logs it within the limits of the bounded log."""
        self.crashes += 1
        self.log_failure(log, text, *args, fault=fault)

    def log_failure(
        self, log: logging.LoggerAdapter[logging.Logger], text: str, *args: object, fault: BaseException
    ) -> None:
        """Logs a failure with the traceback of `fault`, within the limits of the bounded log."""
        self.bounded_log.error(self.loop.time(), log, text, *args, fault=fault)

    def note(self, log: logging.LoggerAdapter[logging.Logger], text: str, *args: object) -> None:
        """Logs an end that is not a fault of this node, or its consequence, within the limits of the bounded log."""
        self.bounded_log.write(self.loop.time(), log, logging.INFO, text, args)

    def attempt(self, step: Callable[..., T], *args: Any) -> T | None:
        """Runs one step of an end and returns its result. Logs any exception and returns None, so that the next steps
        run."""
        try:
            try:
                return step(*args)
            except MemoryError:
                return step(*args)
        except BaseException as error:
            try:
                text = "fault in the runtime itself, in a step of an end: %s"
                self.log_failure(self.log, text, safe_repr(error), fault=error)
            except BaseException as failure:
                forget_frames(failure)  # it cannot be logged either; the next steps matter more
            forget_frames(error)
            return None

    def attempt_steps(self, work: Callable[..., Iterator[object]], *args: Any) -> Iterator[object]:
        """Like `attempt`, for the steps that the generator `work(*args)` yields."""
        steps = self.attempt(work, *args)
        if steps is None:
            return
        try:
            yield from steps
        except (GeneratorExit, MemoryError):
            raise  # `Again` handles a MemoryError
        except BaseException as error:
            self.attempt(_throw, error)

    async def spawn_meta(self, owner: Process, behavior: MetaBehavior, options: MetaOptions | None) -> Alias:
        """See `spawning.spawn_meta`."""
        return await spawn_meta(self, owner, behavior, options)

    def make_inlet(
        self,
        owner: Activity,
        to: Target,
        high: int,
        low: int,
        ready: Callable[[], None],
        overflow: str,
        most_bytes: int = 0,
    ) -> Inlet:
        """Returns an inlet, which puts messages of `owner` in bulk into the mailbox of `to`. See `flow.Inlet`."""
        return self.inlet_kind(self, owner, to, high, low, ready, overflow, most_bytes)

    def require_thread(self) -> None:
        """Raises `NotAllowed` on any thread but the node's, `NodeForked` in a forked process."""
        if threading.get_ident() != self.thread:
            self.scheduler.refuse_thread()

    @property
    def elsewhere(self) -> Elsewhere | None:
        """The other nodes of the cluster; None while this node is in none. The registry has it at hand."""
        return self.registry.elsewhere

    def other_nodes(self) -> Elsewhere:
        """Returns `elsewhere`. Raises `NotAllowed` if this node is in no cluster."""
        elsewhere = self.registry.elsewhere
        if elsewhere is None:
            raise NotAllowed("this node is in no cluster: await homing.cluster.join(node, gen.ClusterOptions(...))")
        return elsewhere

    @property
    def is_fork(self) -> bool:
        """True in a fork of the OS process in which the node runs."""
        return self.thread == 0

    def forked(self) -> None:
        """Empties all mailboxes and removes all routes to them, in a fork of the OS process in which the node runs."""
        self.thread = 0
        self.scheduler.forked()
        self.stopping = True
        self._posted.clear()
        self.registry.routes.clear()
        self.registry.elsewhere = None
        self.links.remote = None
        for activity in (*self.processes.values(), *self.metas.values()):
            for _ in activity.discard():
                pass
        for process in tuple(self.processes.values()):
            if process.ahead:
                process.ahead.clear()

    def require_running(self) -> None:
        """Raises `NodeTerminated` if the node is stopping or has stopped, and the errors of `require_thread`."""
        self.scheduler.require_thread()
        if self.stopping:
            raise NodeTerminated(self.name)

    def changed(self) -> None:
        """Wakes up a stop that waits for processes and meta-processes to end."""
        if self.on_change is not None:
            self.on_change()

    def from_thread(self, function: Callable[..., None], *args: Any) -> None:
        """Runs `function(*args)` on the loop's thread, in the order of the calls. One wake-up runs all calls so far.

        Raises `NodeTerminated` if the loop is closed, `NodeForked` in a fork.
        """
        if self.is_fork:
            raise NodeForked(self.name)
        self._posted.append((function, args))
        if not self._wake_posted:
            self._wake_posted = True
            try:
                self._wake()
            except RuntimeError:
                self._wake_posted = False
                self._posted.clear()
                raise NodeTerminated(self.name) from None
            except BaseException:
                self._wake_posted = False  # the next call from a thread wakes the loop for this one too
                raise

    def _wake(self) -> None:
        try:
            self.loop.call_soon_threadsafe(self._run_posted)
        except MemoryError:  # a second try may succeed
            self.loop.call_soon_threadsafe(self._run_posted)

    def _run_posted(self) -> None:
        self._wake_posted = False  # before the queue is read: any call from here on wakes the loop again
        posted = self._posted
        try:
            for _ in range(len(posted)):
                if not self.scheduler.may_go_on():  # calls from threads must not block the loop either
                    break
                function, args = posted.popleft()
                try:
                    try:
                        function(*args)
                    except MemoryError:  # a thread that waits for the result would wait forever
                        function(*args)
                except Exception as error:
                    self.threadsafe_failures += 1
                    kind = class_name(error)
                    self.limited_log.warning(self.loop.time(), kind, "message from another thread was lost: %s", error)
                    forget_frames(error)
        finally:
            if posted and not self._wake_posted:  # the loop above was left early, perhaps by an exception
                self._wake_posted = True
                self._wake()
