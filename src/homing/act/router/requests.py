"""The requests that every router answers, by a call with priority HIGH or MAX, and the record that it answers with."""

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
    """Asks a router for `remove_route(name)`: True, or False if there was none.

    name: of the route.
    """

    name: str


@dataclass(frozen=True, slots=True)
class ReplaceRoute(Request[None]):
    """Asks a router for `replace_route(name, spec)`.

    name: of the route that is replaced.
    spec: the route that takes its place.
    """

    name: str
    spec: RouteSpec


@dataclass(frozen=True, slots=True)
class DisableRoute(Request[None]):
    """Asks a router for `disable_route(name)`.

    name: of the route.
    """

    name: str


@dataclass(frozen=True, slots=True)
class EnableRoute(Request[None]):
    """Asks a router for `enable_route(name)`.

    name: of the route.
    """

    name: str


@dataclass(frozen=True, slots=True)
class WhichRoutes(Request["tuple[RouteInfo, ...]"]):
    """Asks a router for `routes()`: a tuple of `RouteInfo`."""


REQUESTS = (AddRoute, RemoveRoute, ReplaceRoute, DisableRoute, EnableRoute, WhichRoutes)


@dataclass(frozen=True, slots=True)
class RouteInfo:
    """A route as it is now.

    name: of the route.
    state: "enabled", "disabled", or "restarting": its process has ended and is to be started again.
    pid: the process of an owned route; None while there is none, and for a target.
    target: what the route leads to, if it is not owned.
    """

    name: str
    state: State
    pid: PID | None
    target: Target | None
