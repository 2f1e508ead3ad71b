"""Sockets that outlive the process that opened them: kept for a while, for a successor that binds the same address."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from ...datagram import Address, SocketOptions, format_address
from ...datagram.sockets.binding import addresses
from ...datagram.sockets.namespace import file_of
from ...gen import TerminateShutdown
from ...node.processes.thread_bridge import run_on_loop
from ...node.processes.thread_worker import node_loop
from .options import UDPServerOptions

if TYPE_CHECKING:
    from .server import UDPServer

Key: TypeAlias = tuple[asyncio.AbstractEventLoop, str, Address | str]

_lingering: dict[Key, UDPServer] = {}
"""By loop, as a socket cannot leave the loop that watches it; by its network namespace; by the address that it is bound
to."""


def linger(server: UDPServer) -> None:
    """From now on `find` finds `server`, until `forget`."""
    _lingering[_key(server)] = server


def forget(server: UDPServer) -> None:
    """It was adopted, or closed."""
    if "process" in server.__dict__ and _lingering.get(_key(server)) is server:
        del _lingering[_key(server)]


def find(options: UDPServerOptions) -> UDPServer | None:
    """The server to adopt: one that lingers on this loop at the address that `options` ask for. Port 0 asks for a new
    one. One whose socket was made with other options is closed instead."""
    server = _at(options)
    differing = [] if server is None else _differing(server._options, options)
    if server is None or not differing:
        return server
    server.process.log.warning(
        "UDP server %s is not adopted, but bound anew, as it had another %s: what waited there is lost",
        format_address(server.local_address),
        " and ".join(differing),
    )
    run_on_loop(server.process.core, partial(server.process.end, TerminateShutdown()))
    return None


def _differing(before: UDPServerOptions, now: UDPServerOptions) -> list[str]:
    """The options that a socket has from its beginning and that are not the same."""
    names = ["buffer_size", *(field.name for field in fields(SocketOptions)), "gro", "send_queue", "send_overflow"]
    differing = [name for name in names if getattr(before, name) != getattr(now, name)]
    if (before.buffer_pool is None) != (now.buffer_pool is None):
        differing.append("buffer_pool")
    return differing


def _at(options: UDPServerOptions) -> UDPServer | None:
    loop = node_loop()
    if not _lingering or options.socket is not None or loop is None:
        return None
    namespace = _namespace(options)
    for address in addresses(options.host, options.port, options):
        server = _lingering.get((loop, namespace, address))
        if server is not None:
            return server
    return None


def _key(server: UDPServer) -> Key:
    return server.process.loop, _namespace(server._options), server.local_address


def _namespace(options: UDPServerOptions) -> str:
    return file_of(options.network_namespace) if options.network_namespace else ""
