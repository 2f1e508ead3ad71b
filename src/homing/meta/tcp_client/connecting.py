"""Making the connection of a client."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from typing import Any

from ...datagram.errors import ConnectFailed
from ...datagram.sockets.forks import close_in_forks
from ..tcp.connection import Connection
from ..tcp.hub import Hub
from ..tcp.tls import TLS, make_context
from ..tcp_server.listening import tune
from .options import TCPClientOptions

_HINTS = {
    errno.ECONNREFUSED: "no program listens there",
    errno.ETIMEDOUT: "no answer; a firewall may drop the packets",
    errno.EADDRNOTAVAIL: "no interface of this machine has the local address",
}


async def connect(loop: asyncio.AbstractEventLoop, hub: Hub, options: TCPClientOptions) -> None:
    """Makes the connection. Raises `ConnectFailed`; no socket is left open then."""
    host, port = options.host, options.port
    try:
        async with asyncio.timeout(options.connect_timeout):
            sock = await _open(loop, options)
            connection: Connection | None = None
            try:
                connection = hub.new_connection(sock.getpeername())
                protocol = hub.serving(connection)
                await loop.create_connection(lambda: protocol, sock=sock, **_secured(options))
            except BaseException:
                if connection is not None and connection.transport is None:
                    hub.discard(connection)
                sock.close()
                raise
    except TimeoutError:
        seconds = f"{options.connect_timeout:g} s"
        late = OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        raise ConnectFailed(host, port, late, f"not within {seconds}", protocol="TCP") from None
    except OSError as error:
        number = error.errno or 0  # asyncio's own texts name the address once more
        told = OSError(number, os.strerror(number)) if number > 0 and not isinstance(error, ssl.SSLError) else error
        raise ConnectFailed(host, port, told, "" if told is error else _HINTS.get(number, ""), protocol="TCP") from None


def _secured(options: TCPClientOptions) -> dict[str, Any]:
    """Returns the arguments of `create_connection` for TLS. Raises `BadOption` if a file cannot be read."""
    tls = options.tls
    if tls is None:
        return {}
    context = make_context(tls, server=False) if isinstance(tls, TLS) else tls
    name = (tls.server_name if isinstance(tls, TLS) else "") or options.host
    return {"ssl": context, "server_hostname": name, "ssl_handshake_timeout": options.handshake_timeout}


async def _open(loop: asyncio.AbstractEventLoop, options: TCPClientOptions) -> socket.socket:
    """Returns a socket that is connected to the first address that answers."""
    found = await loop.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)
    failure: OSError | None = None
    for family, kind, protocol, _, address in found:
        sock = close_in_forks(socket.socket(family, kind, protocol), socket.socket.close)
        try:
            sock.setblocking(False)
            tune(sock, options)
            if options.local_host or options.local_port:
                sock.bind((options.local_host, options.local_port))
            await loop.sock_connect(sock, address)
            return sock
        except OSError as error:
            failure = failure or error
            sock.close()
        except BaseException:
            sock.close()
            raise
    raise failure or OSError(errno.EADDRNOTAVAIL, "the name has no address")


def local_address_of(transport: Any) -> Any:
    """Returns the address of the socket of a transport on this machine."""
    return transport.get_extra_info("sockname")
