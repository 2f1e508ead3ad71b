"""Supervisor: starts children in order, brings back those that end, ends them in reverse order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from ...gen import NO_REPLY, PID, BadOption, MessageExitPID, NotAllowed, Ref
from ...gen.hooks import ProcessHooks
from .children import Child
from .lifecycle import Supervising, SupervisingHooks
from .requests import (
    ChildCount,
    ChildDisabled,
    ChildExists,
    ChildInfo,
    ChildRestarting,
    ChildRunning,
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
from .spec import SupervisorSpec

_Request = (
    StartChild
    | TerminateChild
    | RestartChild
    | DeleteChild
    | EnableChild
    | DisableChild
    | WhichChildren
    | CountChildren
)


class SupervisorHooks(SupervisingHooks):
    """Hooks of a supervisor."""

    __slots__ = ()

    behavior: Supervisor
    kind: ClassVar[str] = "supervisor"
    configures: ClassVar[bool] = True
    terminate_timeout: ClassVar[float | None] = None  # each child has its own

    async def configure(self, result: Any) -> None:
        await self.behavior._configure(result)

    def handler(self) -> Callable[[PID, Any], Any]:
        return self.behavior._dispatch


class Supervisor(Supervising):
    """A process that keeps others alive. Derive from it and return a `SupervisorSpec` from `init`.

    A child that ends is judged by its own restart strategy; the type of the supervisor says who is started again with
    it. All else is as with `Actor`: `handle_message`, `handle_call` and so on may be defined.

    Its children can be changed while it runs: by the methods below, awaited in its own callbacks, or from elsewhere by
    `call` with one of the requests (`act.StartChild` and its kin), which every supervisor answers. While it waits for
    the `init` or the end of a child it does nothing else, so a child must not `call` it in either.
    """

    trap_exit = True
    _runtime_hooks: ClassVar[type[ProcessHooks]] = SupervisorHooks

    def _bind(self, process: Any) -> None:
        super()._bind(process)
        for name in ("handle_call", "handle_call_name", "handle_call_alias"):
            setattr(self, name, partial(self._handle_request, getattr(self, name)))

    async def _configure(self, spec: SupervisorSpec) -> None:
        if not isinstance(spec, SupervisorSpec):
            raise BadOption("init", spec, f"{type(self).__name__}.init must return an act.SupervisorSpec")
        await self._begin(spec)

    def _dispatch(self, sender: PID, message: Any) -> Any:
        if isinstance(message, MessageExitPID):
            child = self._children.running(message.pid)
            if child is not None:
                return self._child_ended(child, message.pid, message.reason)
            if self._children.was_dismissed(message.pid):
                return None
        return self.handle_message(sender, message)

    def handle_inspect(self, sender: PID, *items: str) -> Any:
        """Type, limits and restarts, and the facts of each child by its name (an instance without one: by its PID)."""
        spec = self._spec
        return {
            "type": spec.type.value,
            "intensity": spec.intensity,
            "period": spec.period,
            "restarts": self._restarts,
            "auto_shutdown": spec.auto_shutdown.value,
            "children": {child.name or str(child.pid or child.previous): _facts(child) for child in self._children},
        }

    async def terminate(self, reason: Exception) -> None:
        """Ends the children. A class that overrides it calls `await super().terminate(reason)`."""
        await self._end_all()

    # --- children, while it runs --------------------------------------------------------------------------

    async def start_child(self, *args: Any, name: str | None = None) -> PID:
        """Starts a child and gives its PID: `start_child(spec)` adds an `act.ChildSpec` behind all others. With
        SIMPLE_ONE_FOR_ONE, `start_child(*args, name=None)` starts an instance with `args` appended to the template's.

        Raises what `spawn` raises, and then nothing was added; `ChildExists`; `BadOption`.
        """
        if self._simple:
            request = StartChild(args=args, name=name)
        elif len(args) == 1 and name is None:
            request = StartChild(*args)
        else:
            raise BadOption("spec", args, "give one act.ChildSpec, which has the name and the arguments in it")
        pid: PID = await self._perform(request)
        return pid

    async def terminate_child(self, child: str | PID) -> None:
        """Ends a child, or its waiting for a restart: see `act.TerminateChild`. Raises `ChildUnknown`."""
        await self._perform(TerminateChild(child))

    async def restart_child(self, child: str | PID) -> PID:
        """Starts a child that does not run: see `act.RestartChild`, which tells what it raises."""
        pid: PID = await self._perform(RestartChild(child))
        return pid

    async def delete_child(self, child: str | PID) -> None:
        """Forgets a child that does not run: see `act.DeleteChild`, which tells what it raises."""
        await self._perform(DeleteChild(child))

    async def enable_child(self, child: str | PID) -> PID | None:
        """Starts a disabled child again: see `act.EnableChild`, which tells what it raises."""
        pid: PID | None = await self._perform(EnableChild(child))
        return pid

    async def disable_child(self, child: str | PID) -> None:
        """Ends a child until it is enabled: see `act.DisableChild`, which tells what it raises."""
        await self._perform(DisableChild(child))

    async def which_children(self) -> tuple[ChildInfo, ...]:
        """The children, in the order of their start."""
        children: tuple[ChildInfo, ...] = await self._perform(WhichChildren())
        return children

    async def count_children(self) -> ChildCount:
        """How many children there are."""
        count: ChildCount = await self._perform(CountChildren())
        return count

    # --- requests -----------------------------------------------------------------------------------------

    def _handle_request(self, handle_call: Callable[..., Any], *args: Any) -> Any:
        """In the place of `handle_call` and its kin: takes what every supervisor answers, passes on the rest."""
        ref, request = args[-2:]
        return self._answer(ref, request) if isinstance(request, _Request) else handle_call(*args)

    async def _answer(self, ref: Ref, request: _Request) -> Any:
        """What the request raises goes to the caller; what a callback raises then is the supervisor's own."""
        try:
            answer = await self._do(request)
        except Exception as error:
            await self._tell()
            self._process.core.calls.fail(ref, error)
            return NO_REPLY
        await self._tell()
        return answer

    async def _perform(self, request: _Request) -> Any:
        try:
            return await self._do(request)
        finally:
            await self._tell()

    async def _do(self, request: _Request) -> Any:
        match request:
            case WhichChildren():
                return tuple(child.info() for child in self._children)
            case CountChildren():
                return self._count()
            case StartChild():
                return await self._start_instance(request) if self._simple else await self._start_new(request)
            case TerminateChild():
                return await self._end_for_good(self._children.find(request.child), ChildState.TERMINATED)
        if self._simple:
            raise NotAllowed(
                f"{type(request).__name__}: with SIMPLE_ONE_FOR_ONE children are started and terminated only"
            )
        child = self._children.find(request.child)
        match request:
            case RestartChild():
                return await self._start_ended(child)
            case DeleteChild():
                return self._delete(child)
            case EnableChild():
                return await self._enable(child)
            case DisableChild():
                return await self._end_for_good(child, ChildState.DISABLED)

    def _count(self) -> ChildCount:
        supervisors = sum(issubclass(child.spec.behavior, Supervisor) for child in self._children)
        return ChildCount(
            specs=1 if self._simple else len(self._children),
            active=sum(child.state is ChildState.RUNNING for child in self._children),
            supervisors=supervisors,
            workers=len(self._children) - supervisors,
        )

    async def _start_new(self, request: StartChild) -> PID:
        spec = request.spec
        if spec is None or request.args or request.name is not None:
            raise BadOption("spec", spec, "give an act.ChildSpec, which has the name and the arguments in it")
        self._spec.check_significant(spec)
        self._check_free(spec.name)
        return await self._add(spec, spec.name, spec.args)

    async def _start_instance(self, request: StartChild) -> PID:
        if request.spec is not None:
            raise BadOption("spec", request.spec, "with SIMPLE_ONE_FOR_ONE give args, and name if it is to have one")
        if request.name is not None:
            self._check_free(request.name)
        template = self._spec.children[0]
        return await self._add(template, request.name, template.args + request.args)

    def _check_free(self, name: str) -> None:
        child = self._children.named(name)
        if child is not None:
            raise ChildExists(name, child.state)

    async def _start_ended(self, child: Child) -> PID:
        if child.state is ChildState.RUNNING:
            raise ChildRunning(child.spec.name, child.pid)
        if child.state is ChildState.RESTARTING:
            raise ChildRestarting(child.spec.name)
        if child.state is ChildState.DISABLED:
            raise ChildDisabled(child.spec.name)
        return await self._start(child)

    async def _enable(self, child: Child) -> PID | None:
        if child.state is not ChildState.DISABLED:
            return child.pid
        child.state = ChildState.TERMINATED
        return await self._start(child)

    def _delete(self, child: Child) -> None:
        if child.state is ChildState.RUNNING:
            raise ChildRunning(child.spec.name, child.pid)
        self._children.remove(child)


def _facts(child: Child) -> dict[str, Any]:
    return {
        "pid": child.pid,
        "state": child.state.value,
        "restart": child.spec.restart.value,
        "restarts": child.restarts,
        "significant": child.spec.significant,
        "reason": child.reason,
    }
