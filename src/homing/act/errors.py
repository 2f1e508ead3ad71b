"""The errors of supervisors and routers."""

from .router.errors import RouteDisabled, RouteDiscarded, RouteError, RouteRestarting, RouteUnknown
from .supervisor.errors import (
    ChildDisabled,
    ChildError,
    ChildExists,
    ChildRestarting,
    ChildRunning,
    ChildUnknown,
    RestartsExceeded,
)

__all__ = [
    "ChildDisabled",
    "ChildError",
    "ChildExists",
    "ChildRestarting",
    "ChildRunning",
    "ChildUnknown",
    "RestartsExceeded",
    "RouteDisabled",
    "RouteDiscarded",
    "RouteError",
    "RouteRestarting",
    "RouteUnknown",
]
