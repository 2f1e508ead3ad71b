"""Homing: an Erlang-style actor runtime for Python whose first-class citizen is the UDP socket.

finder    finds the compiled modules in their shared object
gen       identifiers, messages, errors, options, behavior contracts
datagram  UDP sockets in batches
node      the runtime: Node, start_node, run
act       Actor, Pool, Router, Supervisor
meta      the UDP server and the UDP client, as meta-processes
service   Service: an application made of plain functions
cluster   nodes joined to a cluster, over zenoh
observe   facts about a running node: control socket, HTTP, logs, traces
testing   for tests: a fake network, and an event loop in virtual time
cli       the `homing` command
"""

from typing import TYPE_CHECKING

from . import finder as finder

finder.install()  # before anything is imported that may be compiled

# isort: split
from . import act as act
from . import cluster as cluster
from . import gen as gen
from . import meta as meta
from .datagram.sockets import inherited as _inherited
from .node import Node as Node
from .node import new_event_loop as new_event_loop
from .node import run as run
from .node import start_node as start_node
from .node.states.encoding import Codec as _Codec
from .node.states.encoding import use_codec as _use_codec
from .node.systemd import use_passed_sockets as _use_passed_sockets
from .service import Service as Service

_use_passed_sockets(_inherited)


def _state_types() -> "_Codec | None":
    """Returns the codec of kept states; None without msgspec. Called when a state first needs it."""
    try:
        from .cluster.state_types import StateTypes
    except ModuleNotFoundError as error:
        if error.name != "msgspec":
            raise
        return None
    return StateTypes()


_use_codec(_state_types)

__version__: str
if not TYPE_CHECKING:  # which would then believe that there is whatever anybody asks for

    def __getattr__(name: str) -> str:
        """`__version__`, read when it is asked for: that takes a tenth of the time of the whole import."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("homing")
        except PackageNotFoundError:  # used from a source tree that was not installed
            return "0+unknown"
