"""Sockets that outlive the process that opened them: kept for a while, for a successor that binds the same address."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from ...datagram import Endpoint, SocketOptions, format_address
from ...datagram.sockets.binding import addresses, network
from ...datagram.sockets.change_options import FIXED
from ...datagram.sockets.inherited import hands_over
from ...datagram.sockets.kernel import network_of
from ...datagram.sockets.namespace import file_of
from ...gen import TerminateShutdown
from ...gen.foreign import same
from ...node.processes.thread_bridge import run_on_loop
from ...node.processes.thread_worker import node_loop
from .options import UDPServerOptions
from .reconfigure import CHANGEABLE
from .state import ServerState

if TYPE_CHECKING:
    from .server import UDPServer

Place: TypeAlias = tuple[asyncio.AbstractEventLoop, str]


class Lingering(NamedTuple):
    """A server without an owner, and its state. endpoint: the server's socket that a successor asks for."""

    server: UDPServer
    state: ServerState
    endpoint: Endpoint


_lingering: dict[Place, list[Lingering]] = {}
"""Lingering servers by loop, because a socket cannot leave the loop that watches it, and by network namespace."""


def linger(server: UDPServer, state: ServerState) -> None:
    """Lets `find` return `server` until `forget` is called."""
    _lingering.setdefault(_place(server, state), []).append(Lingering(server, state, state.endpoint))


def forget(server: UDPServer, state: ServerState) -> None:
    """Removes `server`, which was adopted or closed."""
    place = _place(server, state)
    others = [one for one in _lingering.get(place, ()) if one.server is not server]
    if others:
        _lingering[place] = others
    else:
        _lingering.pop(place, None)


def find(options: UDPServerOptions) -> Lingering | None:
    """Returns the server to adopt: one that lingers on this loop at the address that `options` ask for, or that has
    moved away from that address and still has the former socket. Returns None for port 0, which asks for a new socket.
    If the socket's fixed options differ from `options`, closes that server and returns None."""
    found = _at(options)
    if found is None:
        return None
    differing = _differing(found.state.options, options)
    if _is_elsewhere(found.state, options):
        differing.append("network_namespace")
    if type(found.state.options) is not type(options):
        differing.append("use of DTLS")
    if not differing:
        return found
    process = found.server.process
    process.log.warning(
        "UDP server %s is not adopted but bound anew, because its %s differed: datagrams that waited there are lost",
        format_address(found.endpoint.local_address),
        " and ".join(differing),
    )
    run_on_loop(process.core, partial(process.end, TerminateShutdown()))
    return None


def _differing(before: UDPServerOptions, now: UDPServerOptions) -> list[str]:
    """Returns the names of the options that are fixed when a socket is opened, and that differ."""
    changeable = {*CHANGEABLE, *FIXED}
    names = [field.name for field in fields(SocketOptions) if field.name not in changeable]
    return [name for name in names if not same(getattr(before, name), getattr(now, name))]


def _is_elsewhere(state: ServerState, options: UDPServerOptions) -> bool:
    """Returns True if the name of the network namespace now belongs to another namespace than the socket's."""
    return bool(options.network_namespace) and network(options) not in (network_of(state.endpoint.sock), -1)


def _at(options: UDPServerOptions) -> Lingering | None:
    loop = node_loop()
    if not _lingering or options.socket is not None or loop is None:
        return None
    here = _lingering.get((loop, _namespace(options)), ())
    wanted = addresses(options.host, options.port, options) if here else []
    if hands_over(wanted):  # the lingering server is the predecessor's, a node of the same program
        return None
    for one in here:
        if one.endpoint.local_address in wanted:
            return one
    for one in here:
        former = one.state.former.at(wanted)
        if former is not None:
            return one._replace(endpoint=former.endpoint)
    return None


def _place(server: UDPServer, state: ServerState) -> Place:
    return server.process.loop, _namespace(state.options)


def _namespace(options: UDPServerOptions) -> str:
    return file_of(options.network_namespace) if options.network_namespace else ""
