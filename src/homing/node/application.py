"""One application at run time: its members are started in order, monitored, and ended in reverse order.

The modes are Ergo's: they say what the end of a member does to the application. (In OTP an application has one top
supervisor, and the mode says what its end does to the node.) A start that fails ends the members started so far.
Members are children of the node, so their exit signal cannot be trapped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from time import perf_counter
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..gen import (
    PID,
    Application,
    ApplicationInfo,
    ApplicationMember,
    ApplicationMode,
    ApplicationRunning,
    ApplicationSpec,
    ApplicationState,
    NotAllowed,
    ProcessTerminated,
    TerminateKill,
    TerminateNormal,
    TerminateShutdown,
    is_orderly,
)
from ..gen.foreign import safe_repr
from .mailbox.envelope import exit_signal
from .processes.spawning import spawn

if TYPE_CHECKING:
    from .core import Core
    from .processes.process import Process

STOP_TIMEOUT = 5.0
"""Seconds for the members to end when one of them stops the application, or its start fails. Ergo's value."""

KILL_TIMEOUT = 1.0
"""Seconds for killed members to end, so that their callbacks can handle the cancellation."""

_LOADED, _STARTING = ApplicationState.LOADED, ApplicationState.STARTING
_RUNNING, _STOPPING = ApplicationState.RUNNING, ApplicationState.STOPPING


class LoadedApplication:
    """One application of a node. `members`: those that are running; `order`: grows with each start on the node."""

    def __init__(self, core: Core, behavior: Application, spec: ApplicationSpec) -> None:
        self._core = core
        self._behavior = behavior
        self.spec = spec
        self.state = _LOADED
        self.mode = spec.mode
        self.members: dict[PID, Process] = {}
        self.order = 0
        self.reason: Exception | None = None
        self._started_at = 0.0
        self._moved = asyncio.Event()
        self._forget()

    def _forget(self) -> None:
        """Resets the state of the previous run."""
        self._fault: Exception | None = None
        self._stop_reason: Exception | None = None
        self._failure: Exception | None = None
        self._killed = 0
        self._ended = asyncio.Event()
        self._ender: asyncio.Task[None] | None = None

    # --- starting -----------------------------------------------------------------------------------------

    def begin_start(self, mode: ApplicationMode) -> None:
        """Sets the state to `starting`. Raises `ApplicationRunning` unless it was `loaded`."""
        if self.state is not _LOADED:
            raise ApplicationRunning(self.spec.name, self.state.value)
        self._forget()
        self.mode = mode
        self._move(_STARTING)

    async def start_members(self) -> None:
        """Starts the members in order. Raises what an `init` raised; `ProcessTerminated` if a member has ended
        meanwhile in a way that stops the application."""
        for member in self.spec.members:
            await self._spawn(member)
            if self._failure is not None:
                raise self._failure

    async def _spawn(self, member: ApplicationMember) -> None:
        env = {**self.spec.env, **(member.options.env or {})}
        options = replace(member.options, env=env)
        pid = await spawn(
            self._core, None, member.behavior, member.args, member.name, options, application=self.spec.name
        )
        self.members[pid] = self._core.processes[pid]

    async def give_up(self) -> None:
        """Ends the members started so far, after a failed start. The application's `terminate` is not called."""
        self._ender = self._core.loop.create_task(self._give_up())
        await asyncio.shield(self._ender)  # the task that starts the application may be cancelled a second time

    async def _give_up(self) -> None:
        await self._end_members(STOP_TIMEOUT)
        self._move(_LOADED)

    def started(self, order: int) -> None:
        """Sets the state to `running`, once all members have been started."""
        self.order = order
        self._started_at = perf_counter()
        self._move(_RUNNING)
        self._core.log.info("application %s (%s) started", self.spec.name, self.mode.value)
        self._call_back("start", self._behavior.start, self.mode)
        if self.state is _RUNNING and not self.members:
            self._finish()

    # --- the end ------------------------------------------------------------------------------------------

    def member_ended(self, process: Process, reason: Exception) -> None:
        """Handles the end of a process that belongs to this application."""
        if self.members.pop(process.id, None) is None:
            return  # spawned by a member, or its `init` failed
        if self._fault is None and not is_orderly(reason):
            self._fault = reason
        if self._forbids(reason):
            self._member_forbidden(process, reason)
        if not self.members and self.state in (_RUNNING, _STOPPING):
            self._finish()
        self._pulse()

    def _forbids(self, reason: Exception) -> bool:
        """Returns True if the mode stops the application when a member ends for `reason`."""
        if self.mode is ApplicationMode.TRANSIENT:
            return not is_orderly(reason)
        return self.mode is ApplicationMode.PERMANENT

    def _member_forbidden(self, process: Process, reason: Exception) -> None:
        if self.state is _STARTING:
            failure = ProcessTerminated(process.id, reason)
            if self._failure is None:
                self._failure = failure
        elif self.state is _RUNNING:
            title = f"{self.spec.name} ({self.mode.value})"
            who = f"{type(process.behavior).__name__} {process.id}"
            self._core.log.info("application %s stops because %s ended: %s", title, who, safe_repr(reason))
            self.begin_stop(reason)
            self._ender = self._core.loop.create_task(self._end_members(STOP_TIMEOUT))

    def begin_stop(self, reason: Exception) -> None:
        """Sets the state to `stopping` if it was `running`. From now on the end of a member has no further effect."""
        if self.state is _RUNNING:
            self._stop_reason = reason
            self._move(_STOPPING)

    async def stop(self, timeout: float) -> bool:
        """Ends the members in reverse order, and kills those still running after `timeout` seconds. If a stop is in
        progress, waits for it. Returns True if nothing had to be killed."""
        if self.state is _STARTING:
            raise NotAllowed(f"application {self.spec.name!r} is starting; stop it when application_start has returned")
        if self.state is _RUNNING:
            self.begin_stop(TerminateShutdown())
            self._ender = self._core.loop.create_task(self._end_members(timeout))
        if self.state is not _LOADED:
            await self._ended.wait()
        return not self._killed

    async def _end_members(self, timeout: float) -> None:
        """Ends the members one after another, the last started first. After three quarters of the time, all others get
        the exit signal at once, so that a stuck member does not use up the time of the others."""
        now = self._core.loop.time()
        for process in reversed(tuple(self.members.values())):
            self._send_exit(process)
            await self._until(partial(self._gone, process.id), now + timeout * 3 / 4)
        await self._until(lambda: not self.members, now + timeout)
        await self._kill_rest()

    def _gone(self, pid: PID) -> bool:
        return pid not in self.members

    def _send_exit(self, process: Process) -> None:
        process.put_exit(exit_signal(self._core.pid, TerminateShutdown()))

    async def _kill_rest(self) -> None:
        rest = tuple(self.members.values())
        self._killed = len(rest)
        for process in rest:
            self._core.log.warning("application %s: %s did not end in time and is killed", self.spec.name, process)
            process.kill()
            await self._core.scheduler.breathe(wakes=True)
        await self._until(lambda: not self.members, self._core.loop.time() + KILL_TIMEOUT)
        for process in tuple(self.members.values()):
            self._core.log.error("application %s: %s ignores its cancellation; it is left behind", self, process)
            process.abandon()

    def _finish(self) -> None:
        """Sets the state to `loaded`, and the reason, once the last member has ended."""
        reason = self._fault if self._stop_reason is None else self._stop_reason
        if reason is None:
            reason = TerminateNormal()
        self.reason = TerminateKill() if self._killed and is_orderly(reason) else reason
        self._core.log.info("application %s (%s) ended: %s", self.spec.name, self.mode.value, safe_repr(self.reason))
        self._move(_LOADED)
        self._ended.set()
        self._call_back("terminate", self._behavior.terminate, self.reason)

    def _call_back(self, word: str, callback: Callable[..., None], argument: object) -> None:
        try:
            callback(argument)
        except BaseException as error:
            text = "%s of application %s failed: %s"
            self._core.log_failure(self._core.log, text, word, self.spec.name, safe_repr(error), fault=error)

    # --- its state ----------------------------------------------------------------------------------------

    def __str__(self) -> str:
        return self.spec.name

    async def wait(self) -> Exception:
        """Returns the reason when the application has ended; at once if it has already."""
        if self.state in (_RUNNING, _STOPPING):
            await self._ended.wait()
        if self.reason is None or self.state is _STARTING:
            raise NotAllowed(f"application {self.spec.name!r} is {self.state.value}; wait for it while it runs")
        return self.reason

    async def settled(self) -> ApplicationState:
        """Returns the state, once that is `loaded` or `running`."""
        await self._until(lambda: self.state in (_LOADED, _RUNNING), None)
        return self.state

    async def _until(self, condition: Callable[[], bool], deadline: float | None) -> None:
        """Returns when `condition` is true, or at `deadline` by the loop's time."""
        try:
            async with asyncio.timeout_at(deadline):
                while not condition():
                    await self._moved.wait()
        except TimeoutError:
            pass  # the caller checks the condition itself

    def _move(self, state: ApplicationState) -> None:
        self.state = state
        self._pulse()

    def _pulse(self) -> None:
        """Makes all waiting tasks check their conditions again."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def info(self) -> ApplicationInfo:
        """Returns a snapshot."""
        spec = self.spec
        return ApplicationInfo(
            name=spec.name,
            state=self.state,
            mode=self.mode,
            uptime=perf_counter() - self._started_at if self.state in (_RUNNING, _STOPPING) else 0.0,
            members=tuple(self.members),
            env=MappingProxyType(dict(spec.env)),
            depends=spec.depends,
            description=spec.description,
            version=spec.version,
            reason=self.reason,
        )
