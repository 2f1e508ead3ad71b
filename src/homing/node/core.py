"""The core: the parts of one node, held together. Processes and meta-processes see the node as this."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from time import perf_counter, time_ns
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..gen import PID, Alias, HomingError, MetaBehavior, MetaOptions, NodeOptions, NodeTerminated, Target
from .applications import Applications
from .logs import NODE_LOGGER, ContextAdapter, CrashLog, RateLimited, Receiver, context
from .messaging.calls import Calls
from .messaging.delivery import Delivery
from .messaging.events import Events
from .messaging.flow import Inlet
from .messaging.links import Links
from .messaging.registry import Registry
from .messaging.timers import Timers
from .processes.spawning import spawn_meta
from .scheduling.callback_tasks import CallbackTasks
from .scheduling.scheduler import Scheduler

if TYPE_CHECKING:
    from .processes.meta_process import MetaRunner
    from .processes.process import Process
    from .scheduling.activity import Activity


class Core:
    """Registry, scheduler, callback tasks, delivery, links, calls, events, timers and applications of one node, its
    processes and its counters.

    pid: the node's own address, from which messages come that no process sent. Nobody reads its mailbox.
    stopping: no process or meta-process can be started any more.
    """

    def __init__(self, name: str, options: NodeOptions, loop: asyncio.AbstractEventLoop) -> None:
        self.name = name
        self.options = options
        self.loop = loop
        self.thread = threading.get_ident()
        creation = time_ns()
        self.pid = PID(name, 1, creation)
        self.env: Mapping[str, Any] = MappingProxyType(dict(options.env))
        self.registry = Registry(name, creation)
        self.scheduler = Scheduler(loop, options)
        self.callback_tasks = CallbackTasks(self.scheduler)
        self.delivery = Delivery(self.registry, self.scheduler)
        self.links = Links(name, self.pid)
        self.calls = Calls(self)
        self.events = Events(self)
        self.timers = Timers(self)
        self.applications = Applications(self)
        self.processes: dict[PID, Process] = {}
        self.metas: dict[Any, MetaRunner] = {}
        self.log_receivers: dict[PID, Receiver] = {}
        self.log = ContextAdapter(NODE_LOGGER, context(name, self.pid, "node"))
        self.limited_log = RateLimited(self.log)
        self.crash_log = CrashLog(self.log)
        self.stopping = False
        self.started_at = perf_counter()
        self.spawned = 0
        self.crashes = 0
        self.discarded = 0
        self.dead_letters = 0
        self.timer_failures = 0
        self.threadsafe_failures = 0
        self.on_change: Callable[[], None] | None = None
        self._posted: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._wake_posted = False

    def crashed(
        self, log: logging.LoggerAdapter[logging.Logger], text: str, *args: object, fault: BaseException
    ) -> None:
        """Counts a crash, and logs it unless there are too many."""
        self.crashes += 1
        self.crash_log.error(self.loop.time(), log, text, *args, fault=fault)

    async def spawn_meta(self, owner: Process, behavior: MetaBehavior, options: MetaOptions | None) -> Alias:
        """See `spawning.spawn_meta`."""
        return await spawn_meta(self, owner, behavior, options)

    def make_inlet(
        self, owner: Activity, to: Target, high: int, low: int, ready: Callable[[], None], overflow: str
    ) -> Inlet:
        """A way for `owner` to put messages in bulk into the mailbox of `to`. See `flow.Inlet`."""
        return Inlet(self, owner, to, high, low, ready, overflow)

    def require_running(self) -> None:
        """Raises `NodeTerminated` if the node is stopping or has stopped."""
        if self.stopping:
            raise NodeTerminated(self.name)

    def changed(self) -> None:
        """A process or meta-process has ended: a stop that waits looks again."""
        if self.on_change is not None:
            self.on_change()

    def from_thread(self, function: Callable[..., None], *args: Any) -> None:
        """Runs `function(*args)` on the loop's thread, in order of the calls. One wake-up serves all that came since.

        Raises `NodeTerminated` if the loop is closed.
        """
        self._posted.append((function, args))
        if not self._wake_posted:
            self._wake_posted = True
            try:
                self.loop.call_soon_threadsafe(self._run_posted)
            except RuntimeError:
                self._wake_posted = False
                self._posted.clear()
                raise NodeTerminated(self.name) from None

    def _run_posted(self) -> None:
        self._wake_posted = False  # before the queue is read: who posts from here on wakes the loop again
        posted = self._posted
        for _ in range(len(posted)):
            if not self.scheduler.may_go_on():  # what comes from threads must not hold the loop either
                self._wake_posted = True
                self.loop.call_soon(self._run_posted)
                return
            function, args = posted.popleft()
            try:
                function(*args)
            except HomingError as error:
                self.threadsafe_failures += 1
                kind = type(error).__name__
                self.limited_log.warning(self.loop.time(), kind, "message from another thread was lost: %s", error)
