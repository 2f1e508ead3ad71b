"""The requests that every router answers, by a call with priority HIGH or MAX, and the record that it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ...gen import PID, Request, Target
from .options import RouteSpec

State: TypeAlias = Literal["enabled", "disabled", "restarting"]
"""`RouteInfo.state`."""


@dataclass(frozen=True, slots=True)
class AddRoute(Request[None]):
    """Asks a router for `add_route(spec)`.

    spec: the route.
    """

    spec: RouteSpec


@dataclass(frozen=True, slots=True)
class RemoveRoute(Request[bool]):
    """Asks a router for `remove_route(name)`. The answer is True, or False if there was no such route.

    name: the name of the route.
    """

    name: str


@dataclass(frozen=True, slots=True)
class ReplaceRoute(Request[None]):
    """Asks a router for `replace_route(name, spec)`.

    name: the name of the route to be replaced.
    spec: the new route.
    """

    name: str
    spec: RouteSpec


@dataclass(frozen=True, slots=True)
class DisableRoute(Request[None]):
    """Asks a router for `disable_route(name)`.

    name: the name of the route.
    """

    name: str


@dataclass(frozen=True, slots=True)
class EnableRoute(Request[None]):
    """Asks a router for `enable_route(name)`.

    name: the name of the route.
    """

    name: str


@dataclass(frozen=True, slots=True)
class WhichRoutes(Request["tuple[RouteInfo, ...]"]):
    """Asks a router for `routes()`: a tuple of `RouteInfo`."""


REQUESTS = (AddRoute, RemoveRoute, ReplaceRoute, DisableRoute, EnableRoute, WhichRoutes)


@dataclass(frozen=True, slots=True)
class RouteInfo:
    """A snapshot of a route.

    name: the name of the route.
    state: "enabled", "disabled", or "restarting": its process has ended and will be restarted.
    pid: the process of an owned route; None while it does not run, and for a target.
    target: the target of the route, if it is not owned.
    """

    name: str
    state: State
    pid: PID | None
    target: Target | None
