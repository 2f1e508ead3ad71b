"""Behaviors to derive from.

actor       Actor: a process with callbacks; relating: its links and monitors
pool        Pool: one address, many workers; pool_options: how; pool_routes: which one gets a message; pool_slots: their
            places
router      Router: one address, named routes; routes: its words; route_keeper: their processes
supervisor  Supervisor: keeps its children alive
"""

from .actor import Actor as Actor
from .pool import Pool as Pool
from .pool_options import PoolOptions as PoolOptions
from .router import Router as Router
from .routes import DISCARD as DISCARD
from .routes import AddRoute as AddRoute
from .routes import DisableRoute as DisableRoute
from .routes import EnableRoute as EnableRoute
from .routes import RemoveRoute as RemoveRoute
from .routes import ReplaceRoute as ReplaceRoute
from .routes import RouteDisabled as RouteDisabled
from .routes import RouteDiscarded as RouteDiscarded
from .routes import RouteError as RouteError
from .routes import RouteInfo as RouteInfo
from .routes import RouteRestarting as RouteRestarting
from .routes import RouterOptions as RouterOptions
from .routes import RouteSpec as RouteSpec
from .routes import RouteUnknown as RouteUnknown
from .routes import WhichRoutes as WhichRoutes
from .supervisor import ChildSpec as ChildSpec
from .supervisor import RestartsExceeded as RestartsExceeded
from .supervisor import RestartStrategy as RestartStrategy
from .supervisor import Supervisor as Supervisor
from .supervisor import SupervisorSpec as SupervisorSpec
