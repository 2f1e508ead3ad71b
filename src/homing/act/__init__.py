"""Behaviors to derive from.

actor       Actor: a process with callbacks; links: its links and monitors
pool        Pool: one address, many workers
router      Router: one address, named routes
supervisor  Supervisor: keeps its children alive
"""

from .actor import Actor as Actor
from .pool.options import PoolOptions as PoolOptions
from .pool.pool import Pool as Pool
from .router.router import Router as Router
from .router.routes import DISCARD as DISCARD
from .router.routes import AddRoute as AddRoute
from .router.routes import DisableRoute as DisableRoute
from .router.routes import EnableRoute as EnableRoute
from .router.routes import RemoveRoute as RemoveRoute
from .router.routes import ReplaceRoute as ReplaceRoute
from .router.routes import RouteDisabled as RouteDisabled
from .router.routes import RouteDiscarded as RouteDiscarded
from .router.routes import RouteError as RouteError
from .router.routes import RouteInfo as RouteInfo
from .router.routes import RouteRestarting as RouteRestarting
from .router.routes import RouterOptions as RouterOptions
from .router.routes import RouteSpec as RouteSpec
from .router.routes import RouteUnknown as RouteUnknown
from .router.routes import WhichRoutes as WhichRoutes
from .supervisor.requests import ChildCount as ChildCount
from .supervisor.requests import ChildDisabled as ChildDisabled
from .supervisor.requests import ChildError as ChildError
from .supervisor.requests import ChildExists as ChildExists
from .supervisor.requests import ChildInfo as ChildInfo
from .supervisor.requests import ChildRestarting as ChildRestarting
from .supervisor.requests import ChildRunning as ChildRunning
from .supervisor.requests import ChildState as ChildState
from .supervisor.requests import ChildUnknown as ChildUnknown
from .supervisor.requests import CountChildren as CountChildren
from .supervisor.requests import DeleteChild as DeleteChild
from .supervisor.requests import DisableChild as DisableChild
from .supervisor.requests import EnableChild as EnableChild
from .supervisor.requests import RestartChild as RestartChild
from .supervisor.requests import RestartsExceeded as RestartsExceeded
from .supervisor.requests import StartChild as StartChild
from .supervisor.requests import TerminateChild as TerminateChild
from .supervisor.requests import WhichChildren as WhichChildren
from .supervisor.restart_limits import Backoff as Backoff
from .supervisor.spec import ChildSpec as ChildSpec
from .supervisor.spec import SupervisorSpec as SupervisorSpec
from .supervisor.strategies import AutoShutdown as AutoShutdown
from .supervisor.strategies import RestartStrategy as RestartStrategy
from .supervisor.strategies import SupervisorType as SupervisorType
from .supervisor.supervisor import Supervisor as Supervisor
