"""Homing: an Erlang-style actor runtime for Python whose first-class citizen is the UDP socket.

gen       identifiers, messages, errors, options, behavior contracts
datagram  UDP sockets in batches
node      the runtime: Node, start_node, run
act       Actor, Pool, Router, Supervisor
meta      the UDP server and the UDP client, as meta-processes
testing   for tests: a fake network, and an event loop in virtual time
cli       the `homing` command
"""

from importlib.metadata import PackageNotFoundError, version

from . import act as act
from . import gen as gen
from . import meta as meta
from .datagram.sockets import inherited as _inherited
from .node import Node as Node
from .node import run as run
from .node import start_node as start_node
from .node.systemd import use_passed_sockets as _use_passed_sockets

_use_passed_sockets(_inherited)

try:
    __version__ = version("homing")
except PackageNotFoundError:  # used from a source tree that was not installed
    __version__ = "0+unknown"
