"""Supervisor: starts children in order, restarts those that end, ends all in reverse order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any, ClassVar

from ...gen import PID, BadOption, MessageExitPID
from ...gen.behavior import Result
from ...gen.foreign import is_a
from ...gen.hooks import ProcessHooks, more_of
from ...node.processes.process import Process
from ..actor import Actor, ActorHooks
from .children import Child
from .lifecycle import Lifecycle
from .request_handler import REQUESTS, RequestHandler
from .requests import (
    ChildCount,
    ChildInfo,
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


class SupervisorHooks(ActorHooks):
    """Hooks of a supervisor."""

    __slots__ = ()

    behavior: Supervisor
    kind: ClassVar[str] = "supervisor"
    configures: ClassVar[bool] = True
    succeeds: ClassVar[bool] = True
    terminate_timeout: ClassVar[float | None] = None  # each child has its own

    def __init__(self, behavior: Supervisor, process: Process) -> None:
        super().__init__(behavior, process)
        behavior._lifecycle = Lifecycle(process, behavior, Supervisor)
        behavior._requests = RequestHandler(process, behavior._lifecycle)
        for name in ("handle_call", "handle_call_name", "handle_call_alias"):
            setattr(behavior, name, partial(self._handle_call, getattr(behavior, name)))

    async def configure(self, result: Any) -> None:
        if not is_a(result, SupervisorSpec):
            raise BadOption("init", result, f"{type(self.behavior).__name__}.init must return an act.SupervisorSpec")
        await self.behavior._lifecycle.start_children(result)

    def handler(self) -> Callable[[PID, Any], Any]:
        return self._handle_message

    def facts(self, most: int | None) -> dict[str, Any] | None:
        lifecycle = self.behavior._lifecycle
        return _facts(lifecycle, most) if lifecycle.specified else None

    def restarts(self, pid: PID) -> tuple[int, Exception | None] | None:
        child = self.behavior._lifecycle.children.running(pid)
        return None if child is None else (child.restarts, child.reason)

    def _handle_message(self, sender: Any, message: Any) -> Any:
        """Replaces `handle_message`: handles the exit signals of children, passes on other messages."""
        if is_a(message, MessageExitPID):
            lifecycle = self.behavior._lifecycle
            child = lifecycle.children.running(message.pid)
            if child is not None:
                return lifecycle.child_ended(child, message.pid, message.reason)
            if lifecycle.children.was_dismissed(message.pid):
                return None
        return self.behavior.handle_message(sender, message)

    def _handle_call(self, handle_call: Callable[..., Any], *args: Any) -> Any:
        """Replaces `handle_call` and the like: answers the requests of every supervisor, passes on other requests."""
        ref, request = args[-2:]
        return self.behavior._requests.answer(ref, request) if is_a(request, REQUESTS) else handle_call(*args)


class Supervisor(Actor):
    """A process that keeps others alive. Derive from it and return a `SupervisorSpec` from `init`.

    The restart strategy of a child decides whether it is restarted when it ends; the type of the supervisor decides
    which children are restarted with it. As in any `Actor`, `handle_message`, `handle_call` and so on may be defined.

    Its children can be changed while it runs: by the methods below, awaited in its own callbacks, or from elsewhere by
    `call` with one of the requests (`act.StartChild` and the like), which every supervisor answers. While it waits for
    the `init` or the end of a child it does nothing else, so a child must not `call` it in `init` or `terminate`.
    """

    trap_exit = True
    _runtime_hooks: ClassVar[type[ProcessHooks]] = SupervisorHooks
    _lifecycle: Lifecycle
    _requests: RequestHandler

    # --- callbacks ----------------------------------------------------------------------------------------

    def handle_child_start(self, name: str | None, pid: PID) -> Result:
        """Called after a child was started or restarted. `name`: None for an instance without a name.

        May be `def` or `async def`. Runs when the action that started the child is complete, for a group when all of it
        has been started; at the supervisor's own start before `spawn` returns. If it raises, the supervisor crashes.
        """
        return None

    def handle_child_terminate(self, name: str | None, pid: PID, reason: Exception) -> Result:
        """Called after a child has ended for `reason`, by itself or by the supervisor; not if the supervisor ends too.

        May be `def` or `async def`. Runs when the consequences are complete: the child may have been restarted by then.
        If it raises, the supervisor crashes.
        """
        return None

    def handle_inspect(self, sender: PID, *items: str) -> Any:
        """Returns type, limits, restarts, and the facts of each child by its name (an instance without one: by PID)."""
        return _facts(self._lifecycle, None)

    async def terminate(self, reason: Exception) -> None:
        """Ends the children. A class that overrides it calls `await super().terminate(reason)`."""
        await self._lifecycle.end_all()

    # --- children, while it runs --------------------------------------------------------------------------

    async def start_child(self, *args: Any, name: str | None = None) -> PID:
        """Starts a child and returns its PID. `start_child(spec)` adds an `act.ChildSpec` as the last. With
        SIMPLE_ONE_FOR_ONE, `start_child(*args, name=None)` starts an instance with `args` appended to the template's.

        Raises what `spawn` raises, and then nothing is added; `ChildExists`; `BadOption`.
        """
        if self._lifecycle.simple:
            request = StartChild(args=args, name=name)
        elif len(args) == 1 and name is None:
            request = StartChild(*args)
        else:
            raise BadOption("spec", args, "give one act.ChildSpec that contains the name and the arguments")
        pid: PID = await self._requests.perform(request)
        return pid

    async def terminate_child(self, child: str | PID) -> None:
        """Ends a child, or cancels its restart: see `act.TerminateChild`. Raises `ChildUnknown`."""
        await self._requests.perform(TerminateChild(child))

    async def restart_child(self, child: str | PID) -> PID:
        """Starts a child that does not run: see `act.RestartChild`, also for the errors."""
        pid: PID = await self._requests.perform(RestartChild(child))
        return pid

    async def delete_child(self, child: str | PID) -> None:
        """Removes a child that does not run: see `act.DeleteChild`, also for the errors."""
        await self._requests.perform(DeleteChild(child))

    async def enable_child(self, child: str | PID) -> PID | None:
        """Starts a disabled child again: see `act.EnableChild`, also for the errors."""
        pid: PID | None = await self._requests.perform(EnableChild(child))
        return pid

    async def disable_child(self, child: str | PID) -> None:
        """Ends a child until it is enabled: see `act.DisableChild`, also for the errors."""
        await self._requests.perform(DisableChild(child))

    async def which_children(self) -> tuple[ChildInfo, ...]:
        """Returns a `ChildInfo` for each child, in the order of the children's start."""
        children: tuple[ChildInfo, ...] = await self._requests.perform(WhichChildren())
        return children

    async def count_children(self) -> ChildCount:
        """Returns the numbers of children."""
        count: ChildCount = await self._requests.perform(CountChildren())
        return count


def _facts(lifecycle: Lifecycle, most: int | None) -> dict[str, Any]:
    """Returns the facts of a supervisor, and those of its first `most` children."""
    spec, children = lifecycle.spec, lifecycle.children
    return {
        "type": spec.type.value,
        "intensity": spec.intensity,
        "period": spec.period,
        "restarts": lifecycle.restarts,
        "auto_shutdown": spec.auto_shutdown.value,
        "children": {
            child.name or str(child.pid or child.previous): _facts_of_child(child) for child in islice(children, most)
        },
        **more_of(children, most),
    }


def _facts_of_child(child: Child) -> dict[str, Any]:
    return {
        "pid": child.pid,
        "state": child.state.value,
        "restart": child.spec.restart.value,
        "restarts": child.restarts,
        "significant": child.spec.significant,
        "reason": child.reason,
    }
