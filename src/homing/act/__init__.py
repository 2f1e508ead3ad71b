"""The behaviors that users derive from.

actor       Actor: a process with callbacks; links: its methods for links and monitors; names: its methods for names,
            aliases and events; responses: its methods for requests and responses; timers: its timers, and its
            timeout of silence; remote: its methods for other nodes; clustered: those for processes and groups there;
            health: its health checks; config: the values from outside of the program; missing: the log text for a
            callback that a class does not define
pool        Pool: one address, many workers
router      Router: one address, named routes
supervisor  Supervisor: starts child processes and restarts those that end
requests    the requests that supervisors and routers answer, and the records that they return
errors      the errors of supervisors and routers

All requests and errors can be imported from this package as well. They are not in its `__all__`, so that a reader sees
first what to derive from.
"""

from . import errors as errors
from . import requests as requests
from .actor import Actor as Actor
from .errors import *  # noqa: F403 - it lists its names
from .pool.options import PoolOptions as PoolOptions
from .pool.pool import Pool as Pool
from .requests import *  # noqa: F403 - it lists its names
from .router.options import DISCARD as DISCARD
from .router.options import RouterOptions as RouterOptions
from .router.options import RouteSpec as RouteSpec
from .router.router import Router as Router
from .supervisor.restart_limits import Backoff as Backoff
from .supervisor.spec import ChildSpec as ChildSpec
from .supervisor.spec import SupervisorSpec as SupervisorSpec
from .supervisor.strategies import AutoShutdown as AutoShutdown
from .supervisor.strategies import RestartStrategy as RestartStrategy
from .supervisor.strategies import SupervisorType as SupervisorType
from .supervisor.supervisor import Supervisor as Supervisor

__all__ = [
    "DISCARD",
    "Actor",
    "AutoShutdown",
    "Backoff",
    "ChildSpec",
    "Pool",
    "PoolOptions",
    "RestartStrategy",
    "RouteSpec",
    "Router",
    "RouterOptions",
    "Supervisor",
    "SupervisorSpec",
    "SupervisorType",
    "errors",
    "requests",
]


def __dir__() -> list[str]:
    return __all__
