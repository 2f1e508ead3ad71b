"""Router: one address, named routes. Code routes the messages of its main lane; it handles the higher lanes itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from inspect import iscoroutinefunction
from itertools import islice
from typing import Any, ClassVar

from ...gen import NO_REPLY, PID, BadOption, HomingError, MessageDownPID, Ref
from ...gen.foreign import is_a, safe_repr
from ...gen.hooks import ProcessHooks, more_of
from ...node.processes.process import Process
from ..actor import Actor, ActorHooks
from .forwarder import Choice, Forwarder
from .options import DISCARD, RouterOptions, RouteSpec
from .requests import (
    REQUESTS,
    AddRoute,
    DisableRoute,
    EnableRoute,
    RemoveRoute,
    ReplaceRoute,
    RouteInfo,
)
from .route_keeper import RouteKeeper
from .routes import Route, Tally


class RouterHooks(ActorHooks):
    """Hooks of a router."""

    __slots__ = ()

    behavior: Router
    kind: ClassVar[str] = "router"
    forwards: ClassVar[bool] = True
    configures: ClassVar[bool] = True
    succeeds: ClassVar[bool] = True

    def __init__(self, behavior: Router, process: Process) -> None:
        super().__init__(behavior, process)
        keeper = behavior._keeper = RouteKeeper(process, lambda: behavior.log)
        behavior._forwarder = Forwarder(process, behavior, keeper)
        process.forwarder = behavior._forwarder

    async def configure(self, result: Any) -> None:
        behavior, name = self.behavior, type(self.behavior).__name__
        if not is_a(result, RouterOptions):
            raise BadOption("init", result, f"{name}.init must return act.RouterOptions")
        for callback in ("route_message", "route_call", "handle_route_failed"):
            if iscoroutinefunction(getattr(behavior, callback)):
                raise BadOption(callback, "async def", f"{name}: it must be a plain def")
        if type(behavior).route_message is Router.route_message:
            raise BadOption("route_message", None, f"{name} must define it")
        behavior._forwarder.options = result
        for spec in result.routes:
            await behavior._keeper.add(spec)

    def handler(self) -> Callable[[PID, Any], Any]:
        return self._handle_message

    def _handle_message(self, sender: Any, message: Any) -> Any:
        """Replaces `handle_message`: handles the ends of the routes' processes, passes on other messages."""
        keeper = self.behavior._keeper
        if is_a(message, MessageDownPID) and keeper.minds(message.pid):
            return keeper.process_ended(message.pid)
        return self.behavior.handle_message(sender, message)

    def facts(self, most: int | None) -> dict[str, Any] | None:
        behavior = self.behavior
        return _facts(self.process, behavior._keeper, behavior._forwarder, most)

    def restarts(self, pid: PID) -> tuple[int, Exception | None] | None:
        route = self.behavior._keeper.route_of(pid)
        return None if route is None else (route.restarts, route.reason)

    def idle(self, again: Callable[[], None], rest: list[Process]) -> bool:
        rest += self.behavior._keeper.processes()
        return True


class Router(Actor):
    """A process that forwards each message and request of its main lane to the route that its `route_message` or
    `route_call` names, with the original sender and ref. Derive from it, define `route_message`, and return
    `RouterOptions` from `init`.

    Messages and requests sent with a higher priority, and events, arrive in its own callbacks. Owned routes end with
    the router. Modelled on Ergo's `act.Router`.
    """

    _runtime_hooks: ClassVar[type[ProcessHooks]] = RouterHooks
    _keeper: RouteKeeper
    _forwarder: Forwarder

    # --- callbacks ----------------------------------------------------------------------------------------

    def route_message(self, sender: Any, message: Any) -> Choice:
        """Returns the route of a message: a name, a tuple of names (each gets it), or `act.DISCARD`. A plain `def`.
        An exception ends the router."""
        return DISCARD

    def route_call(self, sender: PID, ref: Ref, request: Any) -> Choice:
        """Returns the route of a request: a name, or `act.DISCARD`. A plain `def`. The default asks `route_message`."""
        return self.route_message(sender, request)

    def handle_route_failed(self, route: str, sender: Any, message: Any, error: HomingError) -> None:
        """Called if a message could not be routed; it is counted and dropped. A plain `def`. The default logs it, at a
        bounded rate. Not called for requests: their callers get the error."""
        self._warn(type(error).__name__, "message from %s to route %s failed: %s", sender, safe_repr(route), error)

    async def handle_call(self, sender: PID, ref: Ref, request: Any) -> Any:
        """Answers `act.AddRoute` and the like. A class that overrides it calls `super().handle_call(...)` for these."""
        if not is_a(request, REQUESTS):
            return super().handle_call(sender, ref, request)
        try:
            match request:
                case AddRoute(spec):
                    return await self.add_route(spec)
                case RemoveRoute(name):
                    return self.remove_route(name)
                case ReplaceRoute(name, spec):
                    return await self.replace_route(name, spec)
                case DisableRoute(name):
                    return self.disable_route(name)
                case EnableRoute(name):
                    return await self.enable_route(name)
                case _:
                    return self.routes()
        except Exception as error:  # the fault of the caller, or of the new route's `init`
            self.send_response_error(sender, ref, error)
            return NO_REPLY

    def handle_inspect(self, sender: PID, *items: str) -> Any:
        """Returns the counters. Each message is forwarded, discarded, failed or waiting; a message to several routes
        counts once for each."""
        return _facts(self._process, self._keeper, self._forwarder, None)

    # --- administration -----------------------------------------------------------------------------------

    def routes(self) -> tuple[RouteInfo, ...]:
        """Returns snapshots of the routes, in the order in which they were added."""
        self._process.core.require_thread()
        return self._keeper.infos()

    async def add_route(self, spec: RouteSpec) -> None:
        """Adds a route. Raises `BadOption` if the name is taken, and what the `init` of its process raises; then no
        route is added. Meanwhile the router's mailbox waits."""
        self._process.core.require_thread()
        await self._keeper.add(spec)

    def remove_route(self, name: str) -> bool:
        """Removes a route. Its process, if owned, ends after its queued messages. Returns False if there was none."""
        self._process.core.require_thread()
        return self._keeper.remove(name)

    async def replace_route(self, name: str, spec: RouteSpec) -> None:
        """Replaces a route by `spec`, which has the same name; the counters are kept. From now on messages go to the
        new process; the old process ends after its queued messages. A disabled route stays disabled.

        Raises `RouteUnknown`, `BadOption`, and what the `init` of the new process raises; then nothing changes.
        """
        self._process.core.require_thread()
        await self._keeper.replace(name, spec)

    def disable_route(self, name: str) -> None:
        """Disables a route: messages to it fail from now on. Its process, if owned, ends after its queued messages, as
        in Ergo. Raises `RouteUnknown`."""
        self._process.core.require_thread()
        self._keeper.disable(name)

    async def enable_route(self, name: str) -> None:
        """Enables a disabled route, with a new process if it is owned. Raises `RouteUnknown`, and what the `init` of
        the process raises; then the route stays disabled."""
        self._process.core.require_thread()
        await self._keeper.enable(name)


def _facts(process: Process, keeper: RouteKeeper, forwarder: Forwarder, most: int | None) -> dict[str, Any]:
    """Returns the counters of a router, and those of its first `most` routes."""
    tallies: list[Tally] = [*keeper.routes.values(), keeper.others]
    failures: Counter[str] = sum((tally.failed for tally in tallies), Counter())
    return {
        "overflow": forwarder.options.overflow,
        "messages_forwarded": sum(tally.forwarded for tally in tallies),
        "messages_discarded": forwarder.discarded,
        "messages_failed": failures.total(),
        "messages_waiting": len(process.main or ()),
        "failures": dict(failures),
        "pauses": forwarder.pauses,
        "restarts": sum(route.restarts for route in keeper.routes.values()),
        "routes_ending": len(keeper.ending),
        "routes": {name: _inspect(route, forwarder) for name, route in islice(keeper.routes.items(), most)},
        **more_of(keeper.routes, most),
    }


def _inspect(route: Route, forwarder: Forwarder) -> dict[str, Any]:
    info = route.info()
    process = forwarder.local(route.spec.target) if route.process is None else route.process
    return {
        "state": info.state,
        "pid": None if info.pid is None else str(info.pid),
        "target": None if info.target is None else str(info.target),
        "forwarded": route.forwarded,
        "failed": dict(route.failed),
        "waiting": 0 if process is None else process.waiting,
        "restarts": route.restarts,
        "reason": route.reason,
    }
