"""What `inspect` tells of a server."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..datagram import format_address
from .protecting import protection_facts

if TYPE_CHECKING:
    from .udp import UDPServer


def facts(server: UDPServer) -> dict[str, Any]:
    """As `UDPServer.handle_inspect` lists them."""
    told = asdict(server.statistics())
    if told["kernel_drops"] is None:
        told["kernel_drops"] = "n/a"
    incoming = server._incoming
    told.update(
        listener=format_address(server.local_address),
        process=str(incoming.receiver) if incoming is not None else "",
        backend=server._endpoint.backend.name,
        gro=server._endpoint.backend.gro,
        gso=server._endpoint.backend.gso,
        reading=server._endpoint.reading,
        waiting_for=incoming.waiting_for() if incoming is not None else "",
        receive_buffer=server._endpoint.receive_buffer,
        receive_buffer_asked=server._options.receive_buffer,
        send_buffer=server._endpoint.send_buffer,
        send_buffer_asked=server._options.send_buffer,
        buffer_pool=repr(server._options.buffer_pool) if server._lender is not None else "",
        error_queue=server._options.error_queue,
        groups=[str(group) for group in server._endpoint.memberships.groups],
        linger=server._linger,
        adoptions=server.process.adoptions,
        **protection_facts(server._endpoint, server._options),
        transfers=server.process.transfers,
    )
    return told
