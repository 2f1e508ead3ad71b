"""The reasons why a router could not route a message."""

from __future__ import annotations

from ...gen import DeliveryError
from ...gen.foreign import safe_repr


class RouteError(DeliveryError):
    """A message or request could not be routed. `route`: the name that the routing callback returned, or None."""

    def __init__(self, route: str | None, text: str) -> None:
        super().__init__(route, text)
        self.route = route


class RouteUnknown(RouteError):
    """The router has no route of that name."""

    def __init__(self, route: str) -> None:
        super().__init__(route, f"no route {safe_repr(route)}")


class RouteDisabled(RouteError):
    """The route is disabled until `enable_route` is called."""

    def __init__(self, route: str) -> None:
        super().__init__(route, f"route {safe_repr(route)} is disabled")


class RouteRestarting(RouteError):
    """The process of the route has ended and has not been restarted yet."""

    def __init__(self, route: str) -> None:
        super().__init__(route, f"the process of route {safe_repr(route)} has ended and is being restarted")


class RouteDiscarded(RouteError):
    """The routing callback dropped the request."""

    def __init__(self) -> None:
        super().__init__(None, "the router has discarded the request")
