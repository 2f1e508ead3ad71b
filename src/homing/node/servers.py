"""The addresses of servers: which sockets belong to a process. The server's hooks know the socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..gen import NotAllowed, ProcessID, Target
from ..gen.foreign import is_a
from .processes.meta_process import MetaRunner

if TYPE_CHECKING:
    from .core import Core
    from .scheduling.activity import Activity

_TOLD = 3
"""The most servers named in an error."""


def address_of(core: Core, target: Target) -> Any:
    """Returns the local address of the server at `target`, or of the only server of the process there. Raises
    `NotAllowed` if there is none, or several, and the errors of an unknown or ended address."""
    return server_of(core, core.registry.find(target)).hooks.socket_address


def server_address(core: Core, process: Activity) -> Any:
    """Returns the local address of the only server that belongs to `process`, or whose datagrams go to it. Raises
    `NotAllowed` if there is none, or several."""
    return server_of(core, process).hooks.socket_address


def server_of(core: Core, found: Activity) -> MetaRunner:
    """Returns `found` if it is a server; for a process, the only server that belongs to it, or whose datagrams go to
    it. Raises `NotAllowed` if there is none, or several."""
    if not isinstance(found, MetaRunner):
        return _server_of_process(core, found)
    if found.hooks.socket_address is None:
        raise NotAllowed(f"{found.title} is no UDP server; give the alias of a server, or its process")
    return found


def _server_of_process(core: Core, process: Activity) -> MetaRunner:
    servers = [meta for meta in tuple(core.metas.values()) if meta.alive and _serves(core, meta, process)]
    if len(servers) == 1:
        return servers[0]
    if not servers:
        raise NotAllowed(
            f"{process.id} has no UDP server, and gets the datagrams of none; start one by spawn_meta, "
            "or ask for the address of the process or alias that has it"
        )
    aliases = ", ".join(str(meta.id) for meta in servers[:_TOLD]) + (", ..." if len(servers) > _TOLD else "")
    raise NotAllowed(f"{process.id} has {len(servers)} UDP servers; give node.address_of the alias of one: {aliases}")


def _serves(core: Core, meta: MetaRunner, process: Activity) -> bool:
    if meta.hooks.socket_address is None:
        return False
    to = meta.hooks.receiver
    receiver = core.registry.routes.get(to.name if is_a(to, ProcessID) else to)
    if meta.owner is process or receiver is process:
        return True
    # the workers of a pool, and the routes of a router, get the datagrams that it gets
    return receiver is not None and receiver.forwards and getattr(process, "parent", None) == receiver.id
