"""Applications at run time: members are started in order, watched, and ended in reverse order.

The modes are Ergo's: what a member's end does, it does to the application. (In OTP an application has one top
supervisor, and the mode says what its end does to the node.) A start that fails ends the members started so far.
Members are children of the node, so their exit signal cannot be trapped.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from time import perf_counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..gen import (
    PID,
    Application,
    ApplicationDepends,
    ApplicationInfo,
    ApplicationMember,
    ApplicationMode,
    ApplicationRunning,
    ApplicationSpec,
    ApplicationState,
    ApplicationTaken,
    ApplicationUnknown,
    BadOption,
    NotAllowed,
    ProcessTerminated,
    TerminateKill,
    TerminateNormal,
    TerminateShutdown,
    is_orderly,
)
from ..gen.foreign import safe_repr
from ..gen.options import check_seconds, check_type
from .mailbox.envelope import exit_signal
from .processes.spawning import spawn
from .scheduling.stepping import in_own_task

if TYPE_CHECKING:
    from .core import Core
    from .processes.process import Process

STOP_TIMEOUT = 5.0
"""Seconds that members get to end when one of them stops the application, or its start fails. Ergo's."""

KILL_TIMEOUT = 1.0
"""Seconds that killed members get to let their callbacks see the cancellation."""

_LOADED, _STARTING = ApplicationState.LOADED, ApplicationState.STARTING
_RUNNING, _STOPPING = ApplicationState.RUNNING, ApplicationState.STOPPING


class LoadedApplication:
    """One application of a node. `members` are those that live; `order` grows with each start on the node."""

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
        """Nothing has happened in this run yet."""
        self._fault: Exception | None = None
        self._stop_reason: Exception | None = None
        self._failure: Exception | None = None
        self._killed = 0
        self._ended = asyncio.Event()
        self._ender: asyncio.Task[None] | None = None

    # --- starting -----------------------------------------------------------------------------------------

    def begin_start(self, mode: ApplicationMode) -> None:
        """From here on it is `starting`. Raises `ApplicationRunning` unless it was `loaded`."""
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
        """The start has failed: ends the members started so far. The application's `terminate` is not called."""
        self._ender = self._core.loop.create_task(self._give_up())
        await asyncio.shield(self._ender)  # whose start was cancelled may be cancelled again

    async def _give_up(self) -> None:
        await self._end_members(STOP_TIMEOUT)
        self._move(_LOADED)

    def started(self, order: int) -> None:
        """All members have been started."""
        self.order = order
        self._started_at = perf_counter()
        self._move(_RUNNING)
        self._core.log.info("application %s (%s) started", self.spec.name, self.mode.value)
        self._call_back("start", self._behavior.start, self.mode)
        if self.state is _RUNNING and not self.members:
            self._finish()

    # --- the end ------------------------------------------------------------------------------------------

    def member_ended(self, process: Process, reason: Exception) -> None:
        """A process that belongs to this application has ended."""
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
        """True if the mode stops an application of which a member has ended for `reason`."""
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
        """From here on it is `stopping`, if it was `running`: the end of a member does nothing more."""
        if self.state is _RUNNING:
            self._stop_reason = reason
            self._move(_STOPPING)

    async def stop(self, timeout: float) -> bool:
        """Ends the members in reverse order, and kills what is left after `timeout` seconds. If it is stopping already,
        waits for that. True if nothing had to be killed."""
        if self.state is _STARTING:
            raise NotAllowed(f"application {self.spec.name!r} is starting; stop it when application_start has returned")
        if self.state is _RUNNING:
            self.begin_stop(TerminateShutdown())
            self._ender = self._core.loop.create_task(self._end_members(timeout))
        if self.state is not _LOADED:
            await self._ended.wait()
        return not self._killed

    async def _end_members(self, timeout: float) -> None:
        """Ends the members one after another, last started first. When three quarters of the time are up, the exit
        signal goes to all that have not had it: a stuck one must not use up the time of the others."""
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
            self._core.log.error("application %s: %s swallows its cancellation; it is left behind", self, process)
            process.abandon()

    def _finish(self) -> None:
        """The last member has ended."""
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

    # --- what it tells ------------------------------------------------------------------------------------

    def __str__(self) -> str:
        return self.spec.name

    async def wait(self) -> Exception:
        """Returns the reason when the application has ended; at once if it has."""
        if self.state in (_RUNNING, _STOPPING):
            await self._ended.wait()
        if self.reason is None or self.state is _STARTING:
            raise NotAllowed(f"application {self.spec.name!r} is {self.state.value}; wait for it when it runs")
        return self.reason

    async def settled(self) -> ApplicationState:
        """Returns its state when that is `loaded` or `running`."""
        await self._until(lambda: self.state in (_LOADED, _RUNNING), None)
        return self.state

    async def _until(self, condition: Callable[[], bool], deadline: float | None) -> None:
        """Returns when `condition` is true, or the loop's time is `deadline`."""
        try:
            async with asyncio.timeout_at(deadline):
                while not condition():
                    await self._moved.wait()
        except TimeoutError:
            pass  # who asked looks for himself

    def _move(self, state: ApplicationState) -> None:
        self.state = state
        self._pulse()

    def _pulse(self) -> None:
        """Whoever waits looks again."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def info(self) -> ApplicationInfo:
        """A snapshot."""
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


class Applications:
    """The applications of one node, by name."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._loaded: dict[str, LoadedApplication] = {}
        self._order = count(1)

    def __iter__(self) -> Iterator[LoadedApplication]:
        return iter(self._loaded.values())

    def __contains__(self, name: object) -> bool:
        return name in self._loaded

    async def load(self, node: Any, application: Application | type[Application], args: tuple[Any, ...]) -> str:
        """Asks `application` for its specification and keeps it. Gives its name."""
        self._core.require_running()
        if isinstance(application, type) and issubclass(application, Application):
            application = application()
        if not isinstance(application, Application):
            raise BadOption("application", application, "give a class derived from gen.Application, or one of it")
        for callback in (application.start, application.terminate):
            if inspect.iscoroutinefunction(callback):
                raise BadOption(
                    callback.__name__, callback, "make it a plain def; what is to be awaited, a member awaits"
                )
        spec = application.load(node, *args)
        if inspect.isawaitable(spec):
            spec = await spec
        if not isinstance(spec, ApplicationSpec):
            raise BadOption("load", spec, f"{type(application).__name__}.load must return a gen.ApplicationSpec")
        if spec.name in self._loaded:
            raise ApplicationTaken(spec.name)
        self._loaded[spec.name] = LoadedApplication(self._core, application, spec)
        return spec.name

    def find(self, name: str) -> LoadedApplication:
        """The application of that name. Raises `ApplicationUnknown`."""
        found = self._loaded.get(name) if isinstance(name, str) else None
        if found is None:
            raise ApplicationUnknown(name)
        return found

    async def start(self, name: str, mode: ApplicationMode | None) -> None:
        """Starts an application after those that it depends on. If that fails, it is `loaded` again."""
        self._core.require_running()
        check_type("mode", mode, (ApplicationMode, type(None)), "a gen.ApplicationMode or None")
        application = self.find(name)
        self._check_depends(name)
        application.begin_start(mode or application.spec.mode)
        try:
            for dependency in application.spec.depends:
                await self._start_dependency(name, dependency)
            await application.start_members()
        except BaseException:
            await application.give_up()
            raise
        application.started(next(self._order))

    def _check_depends(self, name: str) -> None:
        """Raises `ApplicationDepends` unless all that `name` depends on is loaded, and nothing depends on itself. Depth
        first, without recursion: a chain may be long."""
        path: dict[str, Iterator[str]] = {name: iter(self.find(name).spec.depends)}
        checked: set[str] = set()
        while path:
            user, rest = next(reversed(path.items()))
            dependency = next(rest, None)
            if dependency is None:
                checked.add(user)
                del path[user]
            elif dependency in path:
                names = tuple(path)
                circle = (*names[names.index(dependency) :], dependency)
                why = f"depends on itself: {' -> '.join(circle)}; take one of them out of `depends`"
                raise ApplicationDepends(dependency, circle, why)
            elif dependency not in self._loaded:
                why = f"depends on {dependency!r}, which is not loaded; load that one first with application_load"
                raise ApplicationDepends(user, (dependency,), why)
            elif dependency not in checked:
                path[dependency] = iter(self.find(dependency).spec.depends)

    async def _start_dependency(self, name: str, dependency: str) -> None:
        try:
            other = self.find(dependency)
            while await other.settled() is _LOADED:
                try:
                    await in_own_task(self._core.loop, self.start(dependency, None))
                    return
                except ApplicationRunning:
                    if other.state is _LOADED:
                        raise  # else somebody was first to start it
        except Exception as error:
            why = f"depends on {dependency!r}, which could not be started: {safe_repr(error)}"
            raise ApplicationDepends(name, (dependency,), why) from error

    async def stop(self, name: str, timeout: float) -> bool:
        """Stops an application on which none depends that runs. True if nothing had to be killed."""
        timeout = check_seconds("timeout", timeout, zero=True)
        application = self.find(name)
        active = (_STARTING, _RUNNING)
        users = tuple(other.spec.name for other in self if other.state in active and name in other.spec.depends)
        if users:
            why = f"is needed by {', '.join(map(repr, users))}; stop {'that one' if len(users) == 1 else 'those'} first"
            raise ApplicationDepends(name, users, why)
        return await application.stop(timeout)

    def unload(self, name: str) -> None:
        """Forgets an application. Raises `ApplicationUnknown`, `ApplicationRunning`."""
        application = self.find(name)
        if application.state is not _LOADED:
            raise ApplicationRunning(name, application.state.value)
        del self._loaded[name]

    def last_started_first(self) -> list[LoadedApplication]:
        """Those that run, in the order in which a node that stops ends them."""
        active = [application for application in self if application.state in (_RUNNING, _STOPPING)]
        return sorted(active, key=lambda application: application.order, reverse=True)

    def process_ended(self, process: Process, reason: Exception) -> None:
        """A process that belongs to an application has ended."""
        application = self._loaded.get(process.application or "")
        if application is not None:
            application.member_ended(process, reason)
