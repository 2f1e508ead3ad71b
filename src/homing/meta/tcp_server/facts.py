"""The answer to an inspection of a TCP server."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ...datagram import Address, format_address
from ..tcp.hub import Hub
from .accepting import Acceptor
from .options import TCPServerOptions


def facts_of(hub: Hub, acceptor: Acceptor, options: TCPServerOptions, address: Address) -> dict[str, Any]:
    """Returns the counters and the state of a server."""
    inflow = hub.inflow
    return {
        **asdict(hub.statistics()),
        "listener": format_address(address),
        "process": "" if inflow is None else str(inflow.receiver),
        "accepting": acceptor.accepting,
        "beginning": acceptor.beginning,
        "waiting_for": "" if inflow is None else inflow.waiting_for,
        "most_connections": options.most_connections,
        "most_per_source": options.most_per_source,
        "unsent": sum(connection.unsent for connection in hub.table.all()),
    }
