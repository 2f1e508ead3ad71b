"""Behaviors to derive from.

actor       Actor: a process with callbacks; relating: its links and monitors
pool        Pool: one address, many workers; pool_options: how; pool_routes: which one gets a message; pool_slots: their
            places
router      Router: one address, named routes; routes: its words; route_keeper: their processes
supervisor  Supervisor: keeps its children alive. supervisor_spec: what it is told; supervisor_requests: what it can be
            asked; strategies, restarting: who is started again, how often, how soon; children: its records;
            supervising: what it does with them
"""

from .actor import Actor as Actor
from .pool import Pool as Pool
from .pool_options import PoolOptions as PoolOptions
from .restarting import Backoff as Backoff
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
from .strategies import AutoShutdown as AutoShutdown
from .strategies import RestartStrategy as RestartStrategy
from .strategies import SupervisorType as SupervisorType
from .supervisor import Supervisor as Supervisor
from .supervisor_requests import ChildCount as ChildCount
from .supervisor_requests import ChildDisabled as ChildDisabled
from .supervisor_requests import ChildError as ChildError
from .supervisor_requests import ChildExists as ChildExists
from .supervisor_requests import ChildInfo as ChildInfo
from .supervisor_requests import ChildRestarting as ChildRestarting
from .supervisor_requests import ChildRunning as ChildRunning
from .supervisor_requests import ChildState as ChildState
from .supervisor_requests import ChildUnknown as ChildUnknown
from .supervisor_requests import CountChildren as CountChildren
from .supervisor_requests import DeleteChild as DeleteChild
from .supervisor_requests import DisableChild as DisableChild
from .supervisor_requests import EnableChild as EnableChild
from .supervisor_requests import RestartChild as RestartChild
from .supervisor_requests import RestartsExceeded as RestartsExceeded
from .supervisor_requests import StartChild as StartChild
from .supervisor_requests import TerminateChild as TerminateChild
from .supervisor_requests import WhichChildren as WhichChildren
from .supervisor_spec import ChildSpec as ChildSpec
from .supervisor_spec import SupervisorSpec as SupervisorSpec
