"""RequestHandler: performs the requests that list or change the children of a supervisor while it runs."""

from __future__ import annotations

from typing import Any, TypeAlias, get_args

from ...gen import NO_REPLY, PID, BadOption, NotAllowed, Ref
from ...node.processes.process import Process
from .children import Child
from .errors import ChildDisabled, ChildExists, ChildRestarting, ChildRunning
from .lifecycle import Lifecycle
from .requests import (
    ChildCount,
    ChildState,
    CountChildren,
    DeleteChild,
    DisableChild,
    EnableChild,
    RestartChild,
    StartChild,
    TerminateChild,
    WhichChildren,
)

Request: TypeAlias = (
    StartChild
    | TerminateChild
    | RestartChild
    | DeleteChild
    | EnableChild
    | DisableChild
    | WhichChildren
    | CountChildren
)
REQUESTS: tuple[type, ...] = get_args(Request)


class RequestHandler:
    """Performs the requests of one supervisor."""

    __slots__ = ("_lifecycle", "_process")

    def __init__(self, process: Process, lifecycle: Lifecycle) -> None:
        self._process = process
        self._lifecycle = lifecycle

    async def answer(self, ref: Ref, request: Request) -> Any:
        """Answers a request from `call`. Its exception is raised at the caller; an exception of a callback that runs
        after it ends the supervisor."""
        try:
            answer = await self._do(request)
        except Exception as error:
            await self._lifecycle.run_callbacks()
            self._process.core.calls.fail(ref, error)
            return NO_REPLY
        await self._lifecycle.run_callbacks()
        return answer

    async def perform(self, request: Request) -> Any:
        """Performs a request from the supervisor's own callbacks. Raises what the request raises."""
        self._process.core.require_thread()
        try:
            return await self._do(request)
        finally:
            await self._lifecycle.run_callbacks()

    async def _do(self, request: Request) -> Any:
        lifecycle = self._lifecycle
        match request:
            case WhichChildren():
                return tuple(child.info() for child in lifecycle.children)
            case CountChildren():
                return self._count()
            case StartChild():
                return await self._start_instance(request) if lifecycle.simple else await self._start_new(request)
            case TerminateChild():
                return await lifecycle.end_for_good(lifecycle.children.find(request.child), ChildState.TERMINATED)
        if lifecycle.simple:
            raise NotAllowed(
                f"{type(request).__name__}: with SIMPLE_ONE_FOR_ONE children can only be started and terminated"
            )
        child = lifecycle.children.find(request.child)
        match request:
            case RestartChild():
                return await self._start_ended(child)
            case DeleteChild():
                return self._delete(child)
            case EnableChild():
                return await self._enable(child)
            case DisableChild():
                return await lifecycle.end_for_good(child, ChildState.DISABLED)

    def _count(self) -> ChildCount:
        children, tally = self._lifecycle.children, self._lifecycle.children.tally
        return ChildCount(
            specs=1 if self._lifecycle.simple else len(children),
            active=tally.active,
            supervisors=tally.supervisors,
            workers=len(children) - tally.supervisors,
        )

    async def _start_new(self, request: StartChild) -> PID:
        spec = request.spec
        if spec is None or request.args or request.name is not None:
            raise BadOption("spec", spec, "give an act.ChildSpec that contains the name and the arguments")
        self._lifecycle.spec.check_significant(spec)
        self._check_free(spec.name)
        return await self._lifecycle.add(spec, spec.name, spec.args)

    async def _start_instance(self, request: StartChild) -> PID:
        if request.spec is not None:
            raise BadOption("spec", request.spec, "with SIMPLE_ONE_FOR_ONE give args, and a name if needed")
        if request.name is not None:
            self._check_free(request.name)
        template = self._lifecycle.spec.children[0]
        return await self._lifecycle.add(template, request.name, template.args + request.args)

    def _check_free(self, name: str) -> None:
        child = self._lifecycle.children.named(name)
        if child is not None:
            raise ChildExists(name, child.state)

    async def _start_ended(self, child: Child) -> PID:
        if child.state is ChildState.RUNNING:
            raise ChildRunning(child.spec.name, child.pid)
        if child.state is ChildState.RESTARTING:
            raise ChildRestarting(child.spec.name)
        if child.state is ChildState.DISABLED:
            raise ChildDisabled(child.spec.name)
        return await self._lifecycle.start(child)

    async def _enable(self, child: Child) -> PID | None:
        if child.state is not ChildState.DISABLED:
            return child.pid
        child.change(ChildState.TERMINATED)
        return await self._lifecycle.start(child)

    def _delete(self, child: Child) -> None:
        if child.state is ChildState.RUNNING:
            raise ChildRunning(child.spec.name, child.pid)
        self._lifecycle.children.remove(child)
