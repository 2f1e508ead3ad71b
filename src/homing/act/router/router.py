"""Router: one address, named routes. Code decides where what comes to its main lane goes; higher lanes are its own."""

from __future__ import annotations

from collections import Counter, deque
from functools import partial
from inspect import iscoroutinefunction
from time import perf_counter
from typing import Any, ClassVar, TypeAlias

from ...gen import (
    NO_REPLY,
    PID,
    Alias,
    BadOption,
    HomingError,
    MailboxFull,
    MessagePriority,
    NotAllowed,
    ProcessID,
    Ref,
    Target,
)
from ...gen.hooks import ProcessHooks
from ...node.mailbox.envelope import Exit, Request, SplitMessage
from ...node.messaging.distribution import hand
from ...node.processes.process import Process
from ...node.scheduling.activity import Activity
from .route_keeper import RouteKeeper, RouteKeeperHooks
from .routes import (
    DISCARD,
    AddRoute,
    DisableRoute,
    EnableRoute,
    RemoveRoute,
    ReplaceRoute,
    Route,
    RouteDisabled,
    RouteDiscarded,
    RouteRestarting,
    RouterOptions,
    RouteUnknown,
    Tally,
    Undelivered,
    WhichRoutes,
)

_TURN = 256
"""Messages routed at a stretch. A turn's worth (`NodeOptions.turn_messages`)."""

_CLOCK_STEP = 8
"""Messages between two readings of the clock at most: `route_message` may take its time."""

Choice: TypeAlias = str | tuple[str, ...] | None
"""What the routing callbacks return: the name of a route, several, or `DISCARD`."""


class RouterHooks(RouteKeeperHooks):
    """Hooks of a router."""

    __slots__ = ()

    behavior: Router
    kind: ClassVar[str] = "router"
    forwards: ClassVar[bool] = True
    configures: ClassVar[bool] = True

    def __init__(self, behavior: Router, process: Process) -> None:
        super().__init__(behavior, process)
        self.take_main = behavior._take_main

    async def configure(self, result: Any) -> None:
        await self.behavior._configure(result)


class Router(RouteKeeper):
    """A process that hands each message and request of its main lane to the route that its `route_message` or
    `route_call` names, with the original sender and ref. Derive from it, define `route_message`, and return
    `RouterOptions` from `init`.

    Messages and requests sent with a higher priority, and events, come to its own callbacks. Owned routes end with the
    router. After Ergo's `act.Router`.
    """

    _runtime_hooks: ClassVar[type[ProcessHooks]] = RouterHooks

    def _bind(self, process: Process) -> None:
        super()._bind(process)
        self._options = RouterOptions()
        self._discarded = 0
        self._pauses = 0
        self._chosen: tuple[str, ...] = ()  # where the head of the main lane, which waits for room, is to go
        self._watched: set[PID | Alias] = set()

    async def _configure(self, options: RouterOptions) -> None:
        if not isinstance(options, RouterOptions):
            raise BadOption("init", options, f"{type(self).__name__}.init must return act.RouterOptions")
        for name in ("route_message", "route_call", "handle_route_failed"):
            if iscoroutinefunction(getattr(self, name)):
                raise BadOption(name, "async def", f"{type(self).__name__}: it must be a plain def")
        if type(self).route_message is Router.route_message:
            raise BadOption("route_message", None, f"{type(self).__name__} must define it")
        self._options = options
        for spec in options.routes:
            await self.add_route(spec)

    # --- callbacks ----------------------------------------------------------------------------------------

    def route_message(self, sender: PID, message: Any) -> Choice:
        """Where a message goes: the name of a route, a tuple of names (each gets it), or `act.DISCARD`. A plain `def`.
        Raising ends the router."""
        return DISCARD

    def route_call(self, sender: PID, ref: Ref, request: Any) -> Choice:
        """Where a request goes: the name of one route, or `act.DISCARD`. A plain `def`. By default as a message."""
        return self.route_message(sender, request)

    def handle_route_failed(self, route: str, sender: PID, message: Any, error: HomingError) -> None:
        """A message could not be routed: it is counted, and dropped. A plain `def`. By default it is logged, at a
        bounded rate. Requests do not come here: their callers get the error."""
        self._warn(type(error).__name__, "message from %s to route %r failed: %s", sender, route, error)

    async def handle_call(self, sender: PID, ref: Ref, request: Any) -> Any:
        """Answers `act.AddRoute` and its kin. A class that overrides it calls `super().handle_call(...)` for those."""
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
                case WhichRoutes():
                    return self.routes()
        except Exception as error:  # it is the asker's fault, or that of the new route's `init`
            self.send_response_error(sender, ref, error)
            return NO_REPLY
        return super().handle_call(sender, ref, request)

    def handle_inspect(self, sender: PID, *items: str) -> Any:
        """The counters. Each message is forwarded, discarded, failed or waiting; one to several routes counts for
        each."""
        tallies: list[Tally] = [*self._routes.values(), self._others]
        failures: Counter[str] = sum((tally.failed for tally in tallies), Counter())
        return {
            "overflow": self._options.overflow,
            "messages_forwarded": sum(tally.forwarded for tally in tallies),
            "messages_discarded": self._discarded,
            "messages_failed": failures.total(),
            "messages_waiting": len(self._process.main or ()),
            "failures": dict(failures),
            "pauses": self._pauses,
            "restarts": sum(route.restarts for route in self._routes.values()),
            "routes_ending": len(self._ending),
            "routes": {name: self._inspect(route) for name, route in self._routes.items()},
        }

    def _inspect(self, route: Route) -> dict[str, Any]:
        info = route.info()
        process = self._local(route.spec.target) if route.process is None else route.process
        return {
            "state": info.state,
            "pid": None if info.pid is None else str(info.pid),
            "target": None if info.target is None else str(info.target),
            "forwarded": route.forwarded,
            "failed": dict(route.failed),
            "waiting": 0 if process is None else process.waiting,
            "restarts": route.restarts,
        }

    # --- forwarding ---------------------------------------------------------------------------------------

    def _take_main(self, main: deque[Any]) -> int:
        """Routes what waits in the main lane, a turn's worth at most. Gives how many."""
        process, routes, route_message = self._process, self._routes, self.route_message
        end = perf_counter() + process.scheduler.turn_seconds
        taken, check = 0, 1
        entry: Any = None
        try:
            if self._chosen:
                chosen, self._chosen = self._chosen, ()
                entry = main.popleft()
                taken = self._distribute(main, entry, chosen)
            while main and taken < _TURN and not process.held:
                if taken >= check:
                    if perf_counter() >= end:
                        break
                    check += min(taken, _CLOCK_STEP)
                entry = main.popleft()
                if type(entry) is not tuple:
                    taken += self._take_envelope(main, entry)
                    continue
                choice = route_message(*entry)
                route = routes.get(choice) if isinstance(choice, str) else None
                if route is not None and hand(route.process, entry):
                    route.forwarded += 1
                    taken += 1
                else:
                    taken += self._distribute(main, entry, choice)
        except BaseException:
            process.hand = entry
            raise
        return taken

    def _take_envelope(self, main: deque[Any], entry: Any) -> int:
        """Routes what is no plain message; what is no message at all comes to the router's own callbacks."""
        if isinstance(entry, Request):
            return self._distribute(main, entry, self.route_call(entry.sender, entry.ref, entry.request))
        if isinstance(entry, SplitMessage):
            return self._distribute(main, entry, self.route_message(entry.sender, entry.message))
        if isinstance(entry, Undelivered):
            return self._distribute(main, entry, entry.names)
        if isinstance(entry, Exit):
            self._retire_all(entry.reason)
            return 1
        self._process.put_runtime(entry, 1)
        return 0

    def _distribute(self, main: deque[Any], entry: Any, choice: Choice) -> int:
        """Delivers to all routes that were chosen. Gives 1; or 0, and the entry is at the head of the lane again, where
        one of them is full and that is to be waited for."""
        if not self._process.alive:
            self._process.hand = entry  # it was killed by the code that chose
            return 1
        sender, message, ref = _parts(entry)
        names = _names(choice)
        if not names:
            self._discard(ref)
        elif ref is not None and len(names) > 1:
            error = NotAllowed(f"a request goes to one route; route_call gave {names!r}")
            self._fail(self._others, names[0], sender, message, ref, error)
        else:
            for number, name in enumerate(names):
                if not self._deliver(name, sender, message, ref):
                    main.appendleft(entry if number == 0 else Undelivered(names[number:], sender, message))
                    self._chosen = names[number:]
                    return 0
        return 1

    def _deliver(self, name: str, sender: PID, message: Any, ref: Ref | None) -> bool:
        """Forwards to one route, or counts the failure. False: the route is full, and that is to be waited for."""
        route = self._routes.get(name)
        tally = self._others if route is None else route
        try:
            self._forward(self._address(name, route), sender, message, ref)
        except HomingError as error:
            if self._waits_for_room(error):
                return False
            self._fail(tally, name, sender, message, ref, error)
        else:
            tally.forwarded += 1
        return True

    def _address(self, name: str, route: Route | None) -> Target:
        """Where a route leads now."""
        to: Target = name if route is None or route.spec.target is None else route.spec.target
        if route is None:
            if not (self._options.registered_names and name in self._process.routes):
                raise RouteUnknown(name)
        elif not route.enabled:
            raise RouteDisabled(name)
        elif route.spec.behavior is not None:
            if route.process is None or not route.process.alive:
                raise RouteRestarting(name)
            to = route.process.id
        return to

    def _forward(self, to: Target, sender: PID, message: Any, ref: Ref | None) -> None:
        core = self._process.core
        if self._local(to) is self._process:
            raise NotAllowed(f"the route leads back to the router itself, {self.pid}")
        if ref is None:
            core.delivery.send(sender, to, message)
        else:
            core.calls.forward(self._process, to, sender, ref, message, MessagePriority.NORMAL)

    def _local(self, to: object) -> Activity | None:
        """The activity behind an address, if it is on this node and alive."""
        name = to.name if isinstance(to, ProcessID) and to.node == self.node else to
        return self._process.routes.get(name)

    def _fail(self, tally: Tally, name: str, sender: PID, message: Any, ref: Ref | None, error: HomingError) -> None:
        tally.failed[type(error).__name__] += 1
        error.__traceback__ = None  # it would keep the message, and with it a pooled buffer
        if ref is None:
            self.handle_route_failed(name, sender, message, error)
        else:
            self._process.core.calls.fail(ref, error)

    def _discard(self, ref: Ref | None) -> None:
        self._discarded += 1
        if ref is not None:
            self._process.core.calls.fail(ref, RouteDiscarded())

    def _waits_for_room(self, error: HomingError) -> bool:
        """Leaves the main lane alone until the mailbox that is full has drained to half. False if that is not what is
        wrong, or not to be waited for."""
        if not isinstance(error, MailboxFull) or self._options.overflow == "drop":
            return False
        receiver = self._local(error.target)
        if receiver is None:
            return False
        self._process.hold()
        self._pauses += 1
        if receiver.id not in self._watched:
            self._watched.add(receiver.id)
            receiver.watch(receiver.limit // 2, partial(self._drained, receiver.id))
        return True

    def _drained(self, id: PID | Alias) -> None:
        self._watched.discard(id)
        self._process.resume()


def _parts(entry: Any) -> tuple[PID, Any, Ref | None]:
    """Sender, message and, of a request, the ref of an entry."""
    if isinstance(entry, Request):
        return entry.sender, entry.request, entry.ref
    if isinstance(entry, (SplitMessage, Undelivered)):
        return entry.sender, entry.message, None
    sender, message = entry
    return sender, message, None


def _names(choice: object) -> tuple[str, ...]:
    """The names that a routing callback has chosen. Raises `BadOption`."""
    if choice is DISCARD:
        return ()
    if isinstance(choice, str):
        return (choice,)
    if isinstance(choice, tuple) and all(isinstance(name, str) for name in choice):
        return choice
    raise BadOption("route_message", choice, "return the name of a route, a tuple of names, or act.DISCARD")
