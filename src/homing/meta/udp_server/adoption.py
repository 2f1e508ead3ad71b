"""Sockets that outlive the process that opened them: kept for a while, for a successor that binds the same address."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from ...datagram import Address, SocketOptions, format_address
from ...datagram.sockets.binding import addresses, network
from ...datagram.sockets.kernel import network_of
from ...datagram.sockets.namespace import file_of
from ...gen import TerminateShutdown
from ...node.processes.thread_bridge import run_on_loop
from ...node.processes.thread_worker import node_loop
from .options import UDPServerOptions
from .state import ServerState

if TYPE_CHECKING:
    from .server import UDPServer

Key: TypeAlias = tuple[asyncio.AbstractEventLoop, str, Address | str]


class Lingering(NamedTuple):
    """A server without an owner, and its state."""

    server: UDPServer
    state: ServerState


_lingering: dict[Key, Lingering] = {}
"""By loop, as a socket cannot leave the loop that watches it; by its network namespace; by the address that it is bound
to."""


def linger(server: UDPServer, state: ServerState) -> None:
    """From now on `find` finds `server`, until `forget`."""
    _lingering[_key(server, state)] = Lingering(server, state)


def forget(server: UDPServer, state: ServerState) -> None:
    """It was adopted, or closed."""
    key = _key(server, state)
    found = _lingering.get(key)
    if found is not None and found.server is server:
        del _lingering[key]


def find(options: UDPServerOptions) -> Lingering | None:
    """The server to adopt: one that lingers on this loop at the address that `options` ask for. Port 0 asks for a new
    one. One whose socket was made with other options is closed instead."""
    found = _at(options)
    if found is None:
        return None
    differing = _differing(found.state.options, options)
    if _is_elsewhere(found.state, options):
        differing.append("network_namespace")
    if not differing:
        return found
    process = found.server.process
    process.log.warning(
        "UDP server %s is not adopted, but bound anew, as it had another %s: what waited there is lost",
        format_address(found.state.endpoint.local_address),
        " and ".join(differing),
    )
    run_on_loop(process.core, partial(process.end, TerminateShutdown()))
    return None


def _differing(before: UDPServerOptions, now: UDPServerOptions) -> list[str]:
    """The options that a socket has from its beginning and that are not the same."""
    names = ["buffer_size", *(field.name for field in fields(SocketOptions)), "gro", "send_queue", "send_overflow"]
    differing = [name for name in names if getattr(before, name) != getattr(now, name)]
    if (before.buffer_pool is None) != (now.buffer_pool is None):
        differing.append("buffer_pool")
    return differing


def _is_elsewhere(state: ServerState, options: UDPServerOptions) -> bool:
    """True if the network namespace that has this name now is another one than that of the socket."""
    return bool(options.network_namespace) and network(options) not in (network_of(state.endpoint.sock), -1)


def _at(options: UDPServerOptions) -> Lingering | None:
    loop = node_loop()
    if not _lingering or options.socket is not None or loop is None:
        return None
    namespace = _namespace(options)
    for address in addresses(options.host, options.port, options):
        found = _lingering.get((loop, namespace, address))
        if found is not None:
            return found
    return None


def _key(server: UDPServer, state: ServerState) -> Key:
    return server.process.loop, _namespace(state.options), state.endpoint.local_address


def _namespace(options: UDPServerOptions) -> str:
    return file_of(options.network_namespace) if options.network_namespace else ""
