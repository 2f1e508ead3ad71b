"""TCP servers that outlive their owner for a while, and wait for a successor at the same address."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ...datagram.address import resolve_bind
from ...node.processes.thread_worker import node_loop
from .options import TCPServerOptions

if TYPE_CHECKING:
    from .server import TCPServer

_lingering: dict[asyncio.AbstractEventLoop, list[TCPServer]] = {}
"""Lingering servers by loop, because a connection cannot leave its loop."""


def linger(server: TCPServer) -> None:
    """Lets `find` return `server` until `forget` is called."""
    _lingering.setdefault(server.process.loop, []).append(server)


def forget(server: TCPServer) -> None:
    """Removes `server`, which was adopted or closed. Does nothing if it is not there."""
    loop = server.process.loop
    others = [one for one in _lingering.get(loop, ()) if one is not server]
    if others:
        _lingering[loop] = others
    else:
        _lingering.pop(loop, None)


def find(options: TCPServerOptions) -> TCPServer | None:
    """Returns the server to adopt, which lingers on this loop at the address that `options` ask for. None for port 0,
    which asks for a new socket."""
    loop = node_loop()
    if loop is None or loop not in _lingering or options.port == 0 or options.socket is not None:
        return None
    wanted = [address for _, address in resolve_bind(options.host, options.port, options.dual_stack)]
    for server in _lingering[loop]:
        if server.local_address in wanted:
            return server
    return None
