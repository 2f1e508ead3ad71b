"""The way of `MessageUDP.validated` to the server, from whatever thread, process or node it is called."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from ...datagram import AddressValidated
from ...datagram.errors import BadAddress
from ...datagram.validation import lift_by
from ...gen import Alias, HomingError
from ...node.forks import running
from ...node.processes.thread_bridge import run_on_loop
from ...node.processes.thread_worker import node_loop

if TYPE_CHECKING:
    from ...node.core import Core
    from .state import ServerState

_servers: WeakValueDictionary[Alias, ServerState] = WeakValueDictionary()
"""The servers of this OS process, by alias."""


def add_server(state: ServerState) -> None:
    """Lets `validated` find a server that has been started, until `remove_server`."""
    _servers[state.process.id] = state


def remove_server(state: ServerState) -> None:
    """Removes a server that has ended."""
    if _servers.get(state.process.id) is state:
        del _servers[state.process.id]


def _validated(server: Any, address: Any) -> None:
    """Tells the server with the alias `server`, at once if it is one of this OS process."""
    if type(server) is not Alias:
        return
    state = _servers.get(server)
    try:
        if state is not None:
            _on_loop(state.process.core, partial(state.validate, address))
            return
        core = _node_that_knows(server)
        if core is not None:
            _on_loop(core, partial(core.delivery.send, core.pid, server, AddressValidated(address)))
    except HomingError:
        pass  # it has ended, or its node is down; a datagram from port 0 has no address to answer to


def _on_loop(core: Core, function: Callable[[], None]) -> None:
    run_on_loop(core, function)


def _node_that_knows(server: Alias) -> Core | None:
    """Returns the node of the caller, if it is in a cluster."""
    loop = node_loop()
    for core in running():
        if core.loop is loop and core.name != server.node and core.registry.elsewhere is not None:
            return core
    return None


def validate(state: ServerState, address: Any) -> None:
    """Lifts the limit for an address at all sockets of a server. Raises `BadAddress`."""
    try:
        for endpoint in state.endpoints:
            endpoint.budget.validate(address)
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        raise BadAddress(address, f"{error}; give the address of a datagram: message.addr") from None


lift_by(_validated)
