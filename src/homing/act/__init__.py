"""Behaviors to derive from.

actor       Actor: a process with callbacks; relating: its links and monitors
pool        Pool: one address, many workers; pool_options: how; routing: which one gets a message; slots: their places
supervisor  Supervisor: keeps its children alive
"""

from .actor import Actor as Actor
from .pool import Pool as Pool
from .pool_options import PoolOptions as PoolOptions
from .supervisor import ChildSpec as ChildSpec
from .supervisor import RestartsExceeded as RestartsExceeded
from .supervisor import RestartStrategy as RestartStrategy
from .supervisor import Supervisor as Supervisor
from .supervisor import SupervisorSpec as SupervisorSpec
