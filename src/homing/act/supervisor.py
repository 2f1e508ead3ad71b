"""Supervisor: starts children in order, restarts those that end, ends them in reverse order. One for one."""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any, ClassVar

from ..gen import (
    PID,
    BadOption,
    HomingError,
    MessageExitPID,
    ProcessBehavior,
    ProcessOptions,
    TerminateShutdown,
    is_orderly,
)
from ..gen.options import check_integer, check_name, check_seconds, check_type
from ..node.envelope import Exit
from ..node.spawning import spawn
from .actor import Actor


class RestartStrategy(enum.Enum):
    """When a child that has ended is started again (OTP's restart types).

    PERMANENT: always. TRANSIENT: unless it ended with `normal` or `shutdown`. TEMPORARY: never.
    """

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


class RestartsExceeded(HomingError):
    """A supervisor's child ended more than `intensity` times within `period` seconds; the last reason is the cause."""

    def __init__(self, child: str, intensity: int, period: float) -> None:
        super().__init__(f"child {child!r}: more than {intensity} restarts within {period:g} s")
        self.child = child


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """One child of a supervisor.

    name: unique in the supervisor; the child is registered under it.
    behavior, args, options: what is spawned.
    restart: when it is started again.
    shutdown: seconds it gets to end when the supervisor ends, then it is killed.
    """

    name: str
    behavior: type[ProcessBehavior]
    args: tuple[Any, ...] = ()
    options: ProcessOptions = field(default_factory=ProcessOptions)
    restart: RestartStrategy = RestartStrategy.PERMANENT
    shutdown: float = 5.0

    def __post_init__(self) -> None:
        check_name("name", self.name)
        if not (isinstance(self.behavior, type) and issubclass(self.behavior, ProcessBehavior)):
            raise BadOption("behavior", self.behavior, f"child {self.name!r}: give a class derived from act.Actor")
        check_type("args", self.args, tuple, "a tuple")
        check_type("options", self.options, ProcessOptions, "gen.ProcessOptions")
        check_type("restart", self.restart, RestartStrategy, "an act.RestartStrategy")
        check_seconds("shutdown", self.shutdown, zero=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorSpec:
    """What a supervisor's `init` returns.

    children: started in this order, ended in reverse.
    intensity, period: more than `intensity` restarts within `period` seconds end the supervisor with
    `RestartsExceeded`.
        5 in 5 s, as in Ergo.
    """

    children: tuple[ChildSpec, ...]
    intensity: int = 5
    period: float = 5.0

    def __post_init__(self) -> None:
        if not isinstance(self.children, tuple) or not all(isinstance(child, ChildSpec) for child in self.children):
            raise BadOption("children", self.children, "give a tuple of act.ChildSpec")
        names = [child.name for child in self.children]
        if len(set(names)) != len(names):
            raise BadOption("children", names, "each name once")
        check_integer("intensity", self.intensity, 0)
        check_seconds("period", self.period)


class RestartWindow:
    """Says whether one more restart is within `intensity` restarts in the last `period` seconds."""

    def __init__(self, intensity: int, period: float) -> None:
        self._intensity = intensity
        self._period = period
        self._times: deque[float] = deque()

    def allowed(self, now: float) -> bool:
        """Counts a restart at `now`. False if that is one too many."""
        self._times.append(now)
        while now - self._times[0] > self._period:
            self._times.popleft()
        return len(self._times) <= self._intensity


class Supervisor(Actor):
    """A process that keeps others alive. Derive from it and return a `SupervisorSpec` from `init`.

    Each child that ends is judged by its own restart strategy; the others are left alone (one for one).
    """

    trap_exit = True
    _succeeds: ClassVar[bool] = True
    _kind: ClassVar[str] = "supervisor"
    _terminate_timeout: ClassVar[float | None] = None  # each child has its own

    _spec: SupervisorSpec
    _running: dict[PID, ChildSpec]

    async def _configure(self, spec: SupervisorSpec) -> None:
        if not isinstance(spec, SupervisorSpec):
            raise BadOption("init", spec, f"{type(self).__name__}.init must return an act.SupervisorSpec")
        self._spec = spec
        self._running = {}
        self._window = RestartWindow(spec.intensity, spec.period)
        self._restarts = 0
        try:
            for child in spec.children:
                await self._start(child)
        except BaseException:
            await self._stop_children()
            raise

    def _handler(self) -> Callable[[PID, Any], Any]:
        return self._dispatch

    def handle_inspect(self, sender: PID, *items: str) -> Any:
        """The children and their PIDs (None: not running), and the number of restarts."""
        pids = {child.name: pid for pid, child in self._running.items()}
        return {
            "children": {child.name: pids.get(child.name) for child in self._spec.children},
            "restarts": self._restarts,
            "intensity": self._spec.intensity,
            "period": self._spec.period,
        }

    async def terminate(self, reason: Exception) -> None:
        """Ends the children. A class that overrides it calls `await super().terminate(reason)`."""
        await self._stop_children()

    async def _start(self, child: ChildSpec, previous: PID | None = None) -> None:
        options = replace(child.options, link_parent=True, link_child=True)
        process = self._process
        pid = await spawn(process.core, process, child.behavior, child.args, child.name, options, previous=previous)
        self._running[pid] = child

    def _dispatch(self, sender: PID, message: Any) -> Any:
        if isinstance(message, MessageExitPID) and message.pid in self._running:
            child = self._running.pop(message.pid)
            if child.restart is RestartStrategy.PERMANENT or (
                child.restart is RestartStrategy.TRANSIENT and not is_orderly(message.reason)
            ):
                return self._restart(child, message.pid, message.reason)
            self._process.forget_estate(message.pid)
            return None
        return self.handle_message(sender, message)

    async def _restart(self, child: ChildSpec, previous: PID, reason: Exception) -> None:
        """Starts a child again, again and again if its `init` fails, as often as the restart window allows."""
        while self._window.allowed(monotonic()):
            self._restarts += 1
            try:
                await self._start(child, previous)
            except Exception as error:
                self.log.error("child %r could not be restarted: %r", child.name, error, exc_info=error)
                reason = error
            else:
                self.log.info("child %r was restarted after %r", child.name, reason)
                return
        raise RestartsExceeded(child.name, self._spec.intensity, self._spec.period) from reason

    async def _stop_children(self) -> None:
        """Ends the children that run, in the reverse of the order in which the specification starts them."""
        order = {child.name: place for place, child in enumerate(self._spec.children)}
        running = sorted(self._running.items(), key=lambda item: order[item[1].name], reverse=True)
        for pid, child in running:
            process = self._process.core.processes.get(pid)
            if process is None:
                continue
            ended = asyncio.Event()
            process.watch(-1, ended.set)  # no lane is ever that empty: it is called when the child has ended
            reason = TerminateShutdown()
            process.put_runtime(Exit(self.pid, reason, MessageExitPID(self.pid, reason)), 2)
            try:
                async with asyncio.timeout(child.shutdown):
                    await ended.wait()
            except TimeoutError:
                if ended.is_set():
                    continue  # in that very moment
                self.log.warning("child %r did not end within %g s and is killed", child.name, child.shutdown)
                process.kill()
                await ended.wait()
        self._running.clear()
