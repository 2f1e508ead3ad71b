"""The words of a router: its routes, its options, what it can be asked, and why a message could not be routed."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from ...gen import (
    PID,
    Alias,
    BadOption,
    DeliveryError,
    ProcessBehavior,
    ProcessID,
    ProcessOptions,
    Target,
)
from ...gen.options import check_name, check_type
from ...node.processes.process import Process

DISCARD: Final = None
"""Returned by `route_message` and `route_call`: the message is dropped and counted, a request fails with
`RouteDiscarded` (Ergo's `act.RouteDiscard`)."""


State: TypeAlias = Literal["enabled", "disabled", "restarting"]
_BOUNDED = ProcessOptions(mailbox_size=1024)


# --- routes and options ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSpec:
    """One route of a router. It has either a `behavior`, and is owned by the router, or a `target`, and is not.

    name: unique in the router; what `route_message` and `route_call` return. It is not registered on the node.
    behavior: the class of the process that the router starts, starts again when it ends, and ends when it ends itself.
    args: it is started with `init(*args)`.
    options: how it is spawned. By default 1024 messages wait there at most. Its links to the router are the router's
        own business: `link_parent` is always set, `link_child` never.
    target: a registered name, PID, Alias or ProcessID of a process that somebody else minds. It is looked up for each
        message, so it may come and go.
    """

    name: str
    behavior: type[ProcessBehavior] | None = None
    args: tuple[Any, ...] = ()
    options: ProcessOptions = _BOUNDED
    target: Target | None = None

    def __post_init__(self) -> None:
        check_name("name", self.name)
        check_type("args", self.args, tuple, "a tuple")
        check_type("options", self.options, ProcessOptions, "gen.ProcessOptions")
        if (self.behavior is None) == (self.target is None):
            raise BadOption("target", self.target, f"route {self.name!r}: give either a behavior or a target")
        if self.target is not None:
            check_type("target", self.target, (str, PID, Alias, ProcessID), "a registered name, PID, Alias, ProcessID")
        elif not (isinstance(self.behavior, type) and issubclass(self.behavior, ProcessBehavior)):
            raise BadOption("behavior", self.behavior, f"route {self.name!r}: give a class derived from act.Actor")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterOptions:
    """What a router's `init` returns.

    routes: those it starts with; each name once. If one cannot be started, the router is not.
    overflow: when the mailbox behind the chosen route is full: "drop" counts the message as failed and calls
        `handle_route_failed`; "wait" keeps it, and all that came after it, in the router's own mailbox until there is
        room: one full route then holds all, and a UDP server in front of the router pauses.
    registered_names: a name that is no route is looked up among the node's registered names, as Ergo always does. Only
        for names that your code chooses: with a name out of a packet, its sender could reach any process.
    """

    routes: tuple[RouteSpec, ...] = ()
    overflow: Literal["wait", "drop"] = "drop"
    registered_names: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.routes, tuple) or not all(isinstance(route, RouteSpec) for route in self.routes):
            raise BadOption("routes", self.routes, "give a tuple of act.RouteSpec")
        names = [route.name for route in self.routes]
        if len(set(names)) != len(names):
            raise BadOption("routes", names, "each name once")
        if self.overflow not in ("wait", "drop"):
            raise BadOption("overflow", self.overflow, 'give "wait" or "drop"')
        check_type("registered_names", self.registered_names, bool, "True or False")


@dataclass(frozen=True, slots=True)
class RouteInfo:
    """A route as it is now.

    state: "enabled", "disabled", or "restarting": its process has ended and is to be started again.
    pid: the process of an owned route; None while there is none, and for a target.
    target: what the route leads to, if it is not owned.
    """

    name: str
    state: State
    pid: PID | None
    target: Target | None


# --- at run time ------------------------------------------------------------------------------------------

_RETRY_FIRST, _RETRY_MOST = 0.1, 5.0
"""Seconds until the process of a route is started again, if it could not be or has ended again soon: first, and doubled
up to this. Who has lived for as long as the latter is started again at once."""


class Undelivered:
    """A message of several routes, of which some have it; the others, `names`, are still to get it. It lies at the head
    of the router's main lane, so a successor of the router goes on where that has stopped."""

    __slots__ = ("message", "names", "sender")

    def __init__(self, names: tuple[str, ...], sender: PID, message: Any) -> None:
        self.names = names
        self.sender = sender
        self.message = message

    def letter(self) -> Any:
        """What a dead-letter process gets."""
        return self.message


class Tally:
    """What was forwarded, and what failed by the class of the error."""

    __slots__ = ("failed", "forwarded")

    def __init__(self) -> None:
        self.forwarded = 0
        self.failed: Counter[str] = Counter()


class Route(Tally):
    """A route at run time. `process` is that of an owned route, while there is one; `previous` was it before."""

    __slots__ = ("delay", "enabled", "previous", "process", "restarts", "since", "spec", "timer")

    def __init__(self, spec: RouteSpec) -> None:
        super().__init__()
        self.spec = spec
        self.process: Process | None = None
        self.previous: PID | None = None
        self.enabled = True
        self.restarts = 0
        self.since = 0.0  # by the loop's clock: it was started, or could not be
        self.delay = 0.0  # until it is started again
        self.timer: asyncio.TimerHandle | None = None  # starts it then

    def info(self) -> RouteInfo:
        spec, process = self.spec, self.process
        lacks = spec.behavior is not None and (process is None or not process.alive)
        state: State = "disabled" if not self.enabled else "restarting" if lacks else "enabled"
        return RouteInfo(spec.name, state, None if process is None or lacks else process.id, spec.target)

    def next_delay(self, now: float) -> float:
        """Seconds until the process is started again, now that it has ended or could not be started."""
        if now - self.since >= _RETRY_MOST:
            self.delay = 0.0
        delay = self.delay
        self.delay = min(max(2 * delay, _RETRY_FIRST), _RETRY_MOST)
        return delay


# --- what a router can be asked, by a call with priority HIGH or MAX -----------------------------------------


@dataclass(frozen=True, slots=True)
class AddRoute:
    """Asks a router for `add_route(spec)`."""

    spec: RouteSpec


@dataclass(frozen=True, slots=True)
class RemoveRoute:
    """Asks a router for `remove_route(name)`: True, or False if there was none."""

    name: str


@dataclass(frozen=True, slots=True)
class ReplaceRoute:
    """Asks a router for `replace_route(name, spec)`."""

    name: str
    spec: RouteSpec


@dataclass(frozen=True, slots=True)
class DisableRoute:
    """Asks a router for `disable_route(name)`."""

    name: str


@dataclass(frozen=True, slots=True)
class EnableRoute:
    """Asks a router for `enable_route(name)`."""

    name: str


@dataclass(frozen=True, slots=True)
class WhichRoutes:
    """Asks a router for `routes()`: a tuple of `RouteInfo`."""


# --- why a message could not be routed ---------------------------------------------------------------------


class RouteError(DeliveryError):
    """A message or request could not be routed. `route` is the name that the router's code chose, or None."""

    def __init__(self, route: str | None, text: str) -> None:
        super().__init__(route, text)
        self.route = route


class RouteUnknown(RouteError):
    """The router has no route of that name."""

    def __init__(self, route: str) -> None:
        super().__init__(route, f"no route {route!r}")


class RouteDisabled(RouteError):
    """The route is disabled, until `enable_route`."""

    def __init__(self, route: str) -> None:
        super().__init__(route, f"route {route!r} is disabled")


class RouteRestarting(RouteError):
    """The process of the route has ended and is not there again yet."""

    def __init__(self, route: str) -> None:
        super().__init__(route, f"the process of route {route!r} has ended and is being started again")


class RouteDiscarded(RouteError):
    """The router's code has decided to drop the request."""

    def __init__(self) -> None:
        super().__init__(None, "the router has discarded the request")
