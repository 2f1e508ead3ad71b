"""Lifecycle: starts the children of a supervisor, decides what follows when they end, restarts and ends them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ...gen import PID, NotAllowed, TerminateRestart, TerminateShutdown, as_reason
from ...gen.foreign import forget_frames, safe_repr
from ...node.logs import ContextAdapter
from ...node.mailbox.envelope import Invoke, is_coroutine
from ...node.processes.ending import end_and_wait
from ...node.processes.process import Process
from ...node.processes.spawning import spawn
from ...node.scheduling.stepping import is_cancelled
from .children import Child, Children, Restart, leave_restart
from .errors import RestartsExceeded
from .requests import ChildState
from .restart_limits import Pace, RestartWindow
from .spec import ChildSpec, SupervisorSpec
from .strategies import SupervisorType, affected, shuts_down, starts_again

if TYPE_CHECKING:
    from .supervisor import Supervisor

_GROUPS = SupervisorType.ALL_FOR_ONE, SupervisorType.REST_FOR_ONE


class Lifecycle:
    """Keeps the children of one supervisor alive. All of it runs within the supervisor's own callbacks.

    An exit signal that comes while children are being ended or started is handled afterwards; by then, the exit signal
    of a child that the supervisor has ended meanwhile is ignored.

    supervisors: the class whose children are counted as supervisors.
    children: all children of the supervisor, running or not.
    restarts: number of restarts.
    """

    def __init__(self, process: Process, supervisor: Supervisor, supervisors: type[Supervisor]) -> None:
        self._process = process
        self._supervisor = supervisor
        self._supervisors = supervisors
        self._specification: SupervisorSpec | None = None
        self._window: RestartWindow
        self._pace: Pace
        self._callbacks: deque[Callable[[], Any]] = deque()
        self.children = Children(process.forget_preserved, supervisors)
        self.restarts = 0
        self._ends = False

    @property
    def spec(self) -> SupervisorSpec:
        """The supervisor's specification. Raises `NotAllowed` before `init` has returned it."""
        if self._specification is None:
            raise NotAllowed("children can be added once init has returned; name the first in the SupervisorSpec")
        return self._specification

    @property
    def specified(self) -> bool:
        """True once `init` has returned the specification."""
        return self._specification is not None

    @property
    def simple(self) -> bool:
        """True with SIMPLE_ONE_FOR_ONE."""
        return self.spec.type is SupervisorType.SIMPLE_ONE_FOR_ONE

    @property
    def _log(self) -> ContextAdapter:
        return self._process.log_adapter

    def _now(self) -> float:
        return (self.spec.clock or self._process.core.loop.time)()

    async def run_callbacks(self) -> None:
        """Runs the callbacks that are due, until the supervisor has been killed."""
        while self._callbacks and self._process.alive:
            result = self._callbacks.popleft()()
            if is_coroutine(result):
                await result
            await self._process.scheduler.breathe()

    # --- starting -----------------------------------------------------------------------------------------

    async def start_children(self, spec: SupervisorSpec) -> None:
        """Starts the children in order. If one fails, those started before it are ended in reverse order."""
        self._specification = spec
        self._window = RestartWindow(spec.intensity, spec.period)
        self._pace = Pace(spec.backoff)
        try:
            for child in () if self.simple else spec.children:
                await self.add(child, child.name, child.args)
            await self.run_callbacks()
        except BaseException:
            await self.end_all()
            raise

    async def add(self, spec: ChildSpec, name: str | None, args: tuple[Any, ...]) -> PID:
        """Adds a new child and starts it. If that fails, the child is removed again."""
        pace = self._pace if self.spec.type in _GROUPS else Pace(self.spec.backoff)
        child = Child(spec, name, args, pace)
        self.children.add(child)
        try:
            return await self.start(child)
        except BaseException:
            self.children.remove(child)
            raise

    async def start(self, child: Child) -> PID:
        """Starts a child; the only place that does. For a restart, `child.previous` is the process before.

        Raises what `spawn` raises. An `init` that raises a `BaseException` makes it raise an `Exception` instead,
        unless the supervisor is being killed.
        """
        spec, process = child.spec, self._process
        options = replace(spec.options, link_parent=True, link_child=True)
        try:
            pid = await spawn(
                process.core, process, spec.behavior, child.args, child.name, options, previous=child.previous
            )
        except BaseException as error:
            if isinstance(error, Exception) or is_cancelled(error):
                raise
            raise as_reason(error) from error
        self.children.has_started(child, pid, self._now())
        self._callbacks.append(partial(self._supervisor.handle_child_start, child.name, pid))
        return pid

    # --- restarting ---------------------------------------------------------------------------------------

    async def child_ended(self, child: Child, pid: PID, reason: Exception) -> None:
        """Handles the end of a child that has ended by itself."""
        self._has_ended(child, pid, reason)
        try:
            await self._judge(child, reason)
        finally:
            await self.run_callbacks()

    async def _judge(self, child: Child, reason: Exception) -> None:
        if not starts_again(child.spec.restart, reason):
            self._settle(child, ChildState.TERMINATED)
            if child.spec.significant and shuts_down(self.spec.auto_shutdown, self.children.tally.significant > 0):
                raise TerminateShutdown(f"significant child {child.spec.name!r} has ended")
        elif self._process.core.stopping:
            self.children.rest(child, ChildState.TERMINATED)  # the node stops: nothing can be started any more
        else:
            delay = child.pace.next(self._now() - child.started)
            self._count_restart(child, reason)
            restart = await self._take_down(child)
            if delay > 0:
                self._resume_later(restart, delay)
            else:
                await self._bring_back(restart)

    def _count_restart(self, child: Child, reason: Exception | None) -> None:
        """Counts a restart. Raises `RestartsExceeded` if it is one too many."""
        if not self._window.allowed(self._now()):
            raise RestartsExceeded(child.spec.name, self.spec.intensity, self.spec.period) from reason
        self.restarts += 1

    async def _take_down(self, ended: Child) -> Restart:
        """Ends the children to be restarted with `ended`. Removes temporary ones among them, as OTP does."""
        group = affected(self.spec.type, self.children, ended)
        group = [child for child in group if child.state is not ChildState.DISABLED]
        restart = Restart([child for child in group if not child.temporary])
        await self._end(group)
        for child in group:
            if child.temporary:
                self.children.remove(child)
        return restart

    def _resume_later(self, restart: Restart, seconds: float) -> None:
        """Schedules a restart after some seconds, or (0) after more urgent entries of the mailbox."""
        process = self._process
        resume = Invoke(partial(self._resume, restart))
        if seconds > 0:
            restart.wait(process.core.loop.call_later(seconds, process.put_runtime, resume, 1))
        else:
            process.put_runtime(resume, 1)

    async def _resume(self, restart: Restart) -> None:
        try:
            await self._bring_back(restart)
        finally:
            await self.run_callbacks()

    async def _bring_back(self, restart: Restart) -> None:
        """Starts the members of a restart, in order. If one fails, all are ended again, and a new try is scheduled."""
        if self._process.core.stopping:
            for child in restart.members():
                self.children.rest(child, ChildState.TERMINATED)
            return
        failed = await self._start_all(restart)
        if failed is not None and not self._process.core.stopping:
            self._count_restart(failed, failed.reason)
            self._resume_later(restart, failed.pace.next(0.0))

    async def _start_all(self, restart: Restart) -> Child | None:
        """Returns None, or the child that could not be started; those started before it have then been ended again."""
        started: list[Child] = []
        for child in restart.members():
            reason = child.reason
            try:
                await self.start(child)
            except Exception as error:
                text, name = "child %s could not be restarted: %s", repr(child.spec.name)
                self._process.core.log_failure(self._log, text, name, safe_repr(error), fault=error)
                forget_frames(error)
                child.reason = error
                for each in started:
                    restart.join(each)
                await self._end(started)
                return child
            child.restarts += 1
            text, name = "child %s was restarted after %s", repr(child.spec.name)
            self._process.core.note(self._log, text, name, safe_repr(reason))
            started.append(child)
        return None

    # --- ending -------------------------------------------------------------------------------------------

    def _has_ended(self, child: Child, pid: PID, reason: Exception) -> None:
        if not self._ends:
            self._callbacks.append(partial(self._supervisor.handle_child_terminate, child.name, pid, reason))
        self.children.has_ended(child, reason)

    def _settle(self, child: Child, state: ChildState) -> None:
        """Records the end of a child that is not restarted. Removes it if it is temporary or an instance."""
        if self.simple or (child.temporary and state is ChildState.TERMINATED):
            self.children.remove(child)
        else:
            self.children.rest(child, state)

    async def end_for_good(self, child: Child, state: ChildState) -> None:
        """Ends a child on request. A disabled child stays disabled."""
        if child.state is not ChildState.DISABLED:
            await self._end([child])
            self._settle(child, state)

    async def _end(self, children: Iterable[Child]) -> None:
        """Ends the processes of these children one after another, the last started first."""
        running = [child for child in children if child.pid is not None]
        for child in running:
            self.children.dismiss(child)
        for child in reversed(running):
            reason = TerminateRestart() if child.state is ChildState.RESTARTING else TerminateShutdown()
            await self._end_together([child], reason)

    async def _end_together(self, children: list[Child], reason: Exception) -> None:
        """Ends the processes of children with the same specification, all at the same time."""
        if not children:
            return
        pids = {child.pid: child for child in children if child.pid is not None}
        ended = await end_and_wait(self._process.core, self._process.id, pids, reason, children[0].spec.shutdown)
        for pid, child in pids.items():
            self._has_ended(child, pid, ended.get(pid, reason))
            await self._process.scheduler.breathe()

    async def end_all(self) -> None:
        """Ends all children with the supervisor: in reverse order, or instances all at once, as OTP does."""
        self._ends = True  # from here on, handle_child_terminate is not called
        children = list(self.children)
        for child in children:
            leave_restart(child)
            child.change(ChildState.TERMINATED)
            await self._process.scheduler.breathe()
        running = [child for child in children if child.pid is not None]
        if self._specification is not None and self.simple:
            await self._end_together(running, TerminateShutdown())
        else:
            await self._end(running)
        self._callbacks.clear()
        self.children = Children(self._process.forget_preserved, self._supervisors)
