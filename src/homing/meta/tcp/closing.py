"""The way of `message.close()` to the server, from whatever thread, process or node it is called."""

from __future__ import annotations

from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from ...gen import Alias, HomingError
from ...node.core import Core
from ...node.forks import running
from ...node.processes.meta_process import MetaRunner
from ...node.processes.thread_bridge import run_on_loop
from ...node.processes.thread_worker import node_loop
from . import travelling as travelling  # lets the messages travel to other nodes
from .hub import Hub
from .messages import CloseConnection, close_by

_hubs: WeakValueDictionary[Alias, Hub] = WeakValueDictionary()
"""The servers and clients of this OS process, by alias."""


def add_hub(process: MetaRunner, hub: Hub) -> None:
    """Lets `close` find a server or client that has been started."""
    _hubs[process.id] = hub


def remove_hub(process: MetaRunner) -> None:
    """Removes a server or client that has ended."""
    _hubs.pop(process.id, None)


def _close(server: Any, number: int) -> None:
    """Sends the request through the mailbox of the server, behind the frames that were sent before."""
    core = _node_for(server) if type(server) is Alias else None
    if core is None:
        return
    try:
        run_on_loop(core, partial(core.delivery.send, core.pid, server, CloseConnection(number)))
    except HomingError:
        pass  # the server has ended, and its connections with it; or its node is down


def _node_for(server: Alias) -> Core | None:
    """Returns the node of the server, or else that of the caller if the server is of another node of its cluster."""
    hub = _hubs.get(server)
    if hub is not None:
        return None if hub.process is None else hub.process.core
    loop = node_loop()
    for core in running():
        if core.loop is loop and core.name != server.node and core.registry.elsewhere is not None:
            return core
    return None


close_by(_close)
