"""The requests that supervisors and routers answer, and the records that they return."""

from .router.requests import AddRoute, DisableRoute, EnableRoute, RemoveRoute, ReplaceRoute, RouteInfo, WhichRoutes
from .supervisor.requests import (
    ChildCount,
    ChildInfo,
    ChildState,
    CountChildren,
    DeleteChild,
    DisableChild,
    EnableChild,
    RestartChild,
    StartChild,
    TerminateChild,
    WhichChildren,
)

__all__ = [
    "AddRoute",
    "ChildCount",
    "ChildInfo",
    "ChildState",
    "CountChildren",
    "DeleteChild",
    "DisableChild",
    "DisableRoute",
    "EnableChild",
    "EnableRoute",
    "RemoveRoute",
    "ReplaceRoute",
    "RestartChild",
    "RouteInfo",
    "StartChild",
    "TerminateChild",
    "WhichChildren",
    "WhichRoutes",
]
