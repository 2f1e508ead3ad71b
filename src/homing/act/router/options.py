"""Options of a router and of its routes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from ...gen import (
    PID,
    Alias,
    BadOption,
    ProcessBehavior,
    ProcessID,
    ProcessOptions,
    Target,
)
from ...gen.options import check_choice, check_name, check_type

DISCARD: Final = None
"""Returned by `route_message` and `route_call`: the message is dropped and counted, a request fails with
`RouteDiscarded` (Ergo's `act.RouteDiscard`)."""

_BOUNDED = ProcessOptions(mailbox_size=1024)


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
    """Options of a router, returned by its `init`.

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
        check_choice("overflow", self.overflow, ("wait", "drop"))
        check_type("registered_names", self.registered_names, bool, "True or False")
