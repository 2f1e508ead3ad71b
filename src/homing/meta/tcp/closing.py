"""The way of `message.close()` to the server, from whatever thread it is called."""

from __future__ import annotations

from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from ...gen import Alias, HomingError
from ...node.processes.meta_process import MetaRunner
from ...node.processes.thread_bridge import run_on_loop
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
    hub = _hubs.get(server) if type(server) is Alias else None
    if hub is None or hub.process is None:
        return
    core = hub.process.core
    try:
        run_on_loop(core, partial(core.delivery.send, core.pid, server, CloseConnection(number)))
    except HomingError:
        pass  # the server has ended, and its connections with it


close_by(_close)
