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
"""Returned by `route_message` and `route_call`: drops the message and counts it; a request fails with `RouteDiscarded`
(Ergo's `act.RouteDiscard`)."""

_BOUNDED = ProcessOptions(mailbox_size=1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSpec:
    """One route of a router: either with a `behavior`, and then owned by the router, or with a `target`, and then not.

    name: unique in the router; the result of `route_message` and `route_call`. It is not registered on the node.
    behavior: the class of the process that the router starts, restarts when it ends, and ends with itself.
    args: the process is started with `init(*args)`.
    options: how the process is spawned. By default at most 1024 messages wait there. The router decides on its links:
        `link_parent` is always set, `link_child` never.
    target: a registered name, PID, Alias or ProcessID of a process that the router does not own. It is looked up for
        each message, so the process may end and come back.
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

    routes: the first routes; each name once. If one cannot be started, the router is not.
    overflow: the policy when the mailbox of the chosen route is full: "drop" counts the message as failed and calls
        `handle_route_failed`; "wait" keeps it, and all later messages, in the router's own mailbox until there is
        room: one full route then delays all, and a UDP server in front of the router pauses.
    registered_names: a name that is no route is looked up among the node's registered names, as Ergo always does. Use
        it only for names that your code chooses: with names from packets, senders could reach any process.
    """

    routes: tuple[RouteSpec, ...] = ()
    overflow: Literal["wait", "drop"] = "drop"
    registered_names: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.routes, tuple) or not all(isinstance(route, RouteSpec) for route in self.routes):
            raise BadOption("routes", self.routes, "give a tuple of act.RouteSpec")
        names = [route.name for route in self.routes]
        if len(set(names)) != len(names):
            raise BadOption("routes", names, "use each name once")
        check_choice("overflow", self.overflow, ("wait", "drop"))
        check_type("registered_names", self.registered_names, bool, "True or False")
