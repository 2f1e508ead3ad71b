"""Stopping a node: drain, end, and only then kill.

1. Nothing new is started. Meta-processes are asked to `drain`: sockets are no longer read, but still send.
2. Until nothing runs, no mailbox holds a message and no request is open, or half the time is up: processes handle
   their queued messages. Messages that wait for the restart of a process become dead letters: it is not restarted any
   more.
3. The node leaves its cluster: other nodes notice that at once.
4. Processes end, one after another, by an exit signal (`shutdown`): first the members of applications, the last started
   first; then the node's other children, the last started first, each with its own children; then all others.
   When three quarters of the time are up, the signal goes to all that have not had it.
5. Processes that have not ended when the time is up are killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from math import inf
from typing import TYPE_CHECKING, Any

from ..gen import ProcessState, TerminateShutdown
from ..gen.foreign import safe_repr
from .mailbox.envelope import exit_signal
from .processes.ending import KILL_TIMEOUT
from .processes.preserving import forget_unclaimed
from .processes.process import Process

if TYPE_CHECKING:
    from .core import Core
    from .processes.meta_process import MetaRunner

_POLL = 0.002
"""Seconds between two checks whether the node is idle. Mailboxes do not report that they are empty, as that would add
work to each message."""


_AT_WORK = (ProcessState.RUNNING, ProcessState.WAIT_RESPONSE)


class Stopping:
    """The stop of one node. `state` is `running`, `stopping` or `stopped`.

    before_ends: each is awaited when the mailboxes are empty, before any process is ended.
    waiters: the number of tasks that wait until the node has stopped. stoppers: the tasks that have stopped it.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self.state = "running"
        self.waiters = 0
        self.stoppers: set[asyncio.Task[Any]] = set()
        self.on_stopping: list[Callable[[], None]] = []
        self.on_stopped: list[Callable[[], None]] = []
        self.before_ends: list[Callable[[], Awaitable[None]]] = []
        self._stopped = asyncio.Event()
        self._changed = asyncio.Event()
        self._deadline = 0.0
        self._task: asyncio.Task[bool] | None = None
        self._undrainable: set[MetaRunner] = set()
        self._told: set[Process] = set()
        core.on_change = self._changed.set

    async def wait(self) -> None:
        """Returns when the node has stopped."""
        self.waiters += 1
        try:
            await self._stopped.wait()
        finally:
            self.waiters -= 1

    async def stop(self, timeout: float) -> bool:
        """Stops within `timeout` seconds; a later call can only shorten that. Returns True if nothing was killed."""
        deadline = self._core.loop.time() + timeout
        if self._task is None:
            self._deadline = deadline
            self._core.stopping = True
            self.state = "stopping"
            for callback in self.on_stopping:
                self._core.attempt(callback)
            self._task = self._core.loop.create_task(self._stop())
        elif deadline < self._deadline:
            self._deadline = deadline
            self._changed.set()
        return await asyncio.shield(self._task)

    async def _stop(self) -> bool:
        core = self._core
        try:
            for meta in tuple(core.metas.values()):
                self._drain(meta)
            if any(process.preserved_mailboxes for process in core.processes.values()):
                await asyncio.sleep(_POLL)  # lets pools give the messages of ended workers to other workers
            started, half = core.loop.time(), self.time_left() / 2
            while (
                (await self._give_up_mailboxes() or await self.busy())
                and self.time_left() > 0
                and core.loop.time() - started < half
            ):
                await asyncio.sleep(_POLL)
            for leave in self.before_ends:
                await self._leave(leave)
            soft = core.loop.time() + self.time_left() * 3 / 4
            for application in core.applications.last_started_first():
                application.begin_stop(TerminateShutdown())
                for process in reversed(tuple(application.members.values())):
                    await self._end(process, soft)
            for process in (*self._top_level(), *reversed(tuple(core.processes.values()))):
                await self._end(process, soft)
            await self._until(lambda: not core.processes)
            for meta in tuple(core.metas.values()):
                meta.end(TerminateShutdown())  # a meta-process that has outlived its owner
            killed = await self._kill_rest()
            await self._until(lambda: not core.unwritten)
            while core.scheduler.works:
                await asyncio.sleep(0)  # all exit and down messages are delivered before the node has stopped
            return not killed
        finally:
            self.state = "stopped"
            if core.states is not None:
                core.attempt(core.states.close)
            for callback in self.on_stopped:
                self._core.attempt(callback)
            self._stopped.set()

    async def _leave(self, leave: Callable[[], Awaitable[None]]) -> None:
        """Runs a callback of `before_ends`, for at most the time that is left; logs its exception."""
        try:
            async with asyncio.timeout(max(self.time_left(), 0)):
                await leave()
        except Exception as error:
            self._core.log_failure(self._core.log, "stop: leaving failed: %s", safe_repr(error), fault=error)

    async def _give_up_mailboxes(self) -> bool:
        """Turns messages that wait for the restart of a process, which is not restarted any more, into dead letters,
        while their receivers still work. Returns True if there were any."""
        gave_up = False
        for process in tuple(self._core.processes.values()):
            gave_up |= forget_unclaimed(process)
            await self._core.scheduler.breathe()
        return gave_up

    async def busy(self) -> bool:
        """Returns True while a callback runs, a message waits to be handled or sent, or a request is open. A process
        that is held, because another OS process has its state, counts as idle."""
        for activity in (*self._core.processes.values(), *self._core.metas.values()):
            if isinstance(activity, Process) and activity.keeper is not None and activity.keeper.held:
                continue
            if activity.runnable or activity.state in _AT_WORK or activity.task is not None or activity.paused:
                return True
            if isinstance(activity, Process) and activity.requests:
                return True
            await self._core.scheduler.breathe()
        return not all(self._drained(meta) for meta in tuple(self._core.metas.values()))

    def _drain(self, meta: MetaRunner) -> None:
        try:
            meta.behavior.drain()
        except BaseException as error:
            self._failed_to_drain(meta, error)

    def _drained(self, meta: MetaRunner) -> bool:
        try:
            return meta in self._undrainable or bool(meta.behavior.drained())
        except BaseException as error:
            self._failed_to_drain(meta, error)
            return True

    def _failed_to_drain(self, meta: MetaRunner, error: BaseException) -> None:
        """Logs the failure, and stops waiting for that meta-process."""
        self._undrainable.add(meta)
        text = "drain of meta-process %s failed: %s"
        self._core.log_failure(meta.log, text, meta.id, safe_repr(error), fault=error)

    def _top_level(self) -> list[Process]:
        pid = self._core.pid
        return [process for process in reversed(tuple(self._core.processes.values())) if process.parent == pid]

    def time_left(self) -> float:
        """Returns the seconds until the remaining processes are killed."""
        return self._deadline - self._core.loop.time()

    async def _end(self, process: Process, soft: float) -> None:
        """Ends one process and waits until it has ended, or until `soft` by the loop's time: a stuck process must not
        use up the time of the others."""
        if process in self._told or process.state is ProcessState.TERMINATED:
            return
        self._told.add(process)
        # in the parent's name, as an exit signal of the parent cannot be trapped
        process.put_exit(exit_signal(process.parent, TerminateShutdown()))
        await self._until(lambda: process.state is ProcessState.TERMINATED, soft)

    async def _until(self, condition: Callable[[], bool], soft: float = inf) -> None:
        while not condition() and (left := min(soft - self._core.loop.time(), self.time_left())) > 0:
            self._changed.clear()
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                return

    async def _kill_rest(self) -> int:
        """Kills the remaining processes. Returns their number."""
        core = self._core
        rest = tuple(core.processes.values())
        for process in rest:
            core.log.warning("stop: %s did not end in time and is killed", process)
            process.kill()
            await core.scheduler.breathe(wakes=True)
        if core.processes or core.metas:
            self._deadline = core.loop.time() + KILL_TIMEOUT
            await self._until(lambda: not core.processes and not core.metas)
        for process in tuple(core.processes.values()):
            core.log.error("stop: %s %s; it is left behind", process, process.stuck)
            process.abandon()
        return len(rest)
