"""The control socket: how programs of the same user look into a node of this machine.

server     the socket of a node; protocol: lines of JSON, versioned
client     finds the nodes of this machine, and asks one of them; remote: the same, without blocking
directory  where the sockets are, and who may enter
"""

from .client import ask as ask
from .client import choose as choose
from .client import stream as stream
from .directory import ControlError as ControlError
from .server import Control as Control
from .server import open_control as open_control

__all__ = ["Control", "ControlError", "ask", "choose", "open_control", "stream"]


def __dir__() -> list[str]:
    return __all__
