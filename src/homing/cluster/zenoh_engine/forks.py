"""Forks: a zenoh session works only in the OS process that opened it.

Measured: in a forked child `put` seems to succeed and nothing arrives; and the end of a session there waits forever
for threads that the child does not have. So what a child inherits is kept forever: it is never closed there.
"""

from __future__ import annotations

import atexit
import ctypes
import os
from typing import TYPE_CHECKING
from weakref import WeakSet

from .threads import run_bounded

if TYPE_CHECKING:
    from .connection import Connection

_connections: WeakSet[Connection] = WeakSet()
_EXIT_TIMEOUT = 2.0


def keep(connection: Connection) -> None:
    """Takes care of a connection in forks of this OS process, and at its end."""
    _connections.add(connection)


def forget(connection: Connection) -> None:
    """Ends that, as the connection is closed."""
    _connections.discard(connection)


def _keep_forever_in_child() -> None:
    for connection in tuple(_connections):
        for thing in connection.of_zenoh():
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
    _connections.clear()


def _close_all() -> None:
    """At the end of the program, of connections that nobody has closed: no thread may then wait inside zenoh, as the
    interpreter cannot end such a thread in order."""
    for connection in tuple(_connections):
        try:
            run_bounded("homing-exit", connection.close, _EXIT_TIMEOUT)
        except RuntimeError:  # so late, some versions of Python start no thread
            connection.close()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_keep_forever_in_child)
atexit.register(_close_all)
