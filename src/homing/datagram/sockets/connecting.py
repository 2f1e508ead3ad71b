"""Connecting: makes a socket that sends to a peer's host and port, or raises an error that says what to do."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from contextlib import suppress

from ...gen import BadOption
from ..address import Address, canonical, reached_by
from ..errors import ConnectFailed
from .binding import bind
from .options import SocketOptions

Peers = list[tuple[int, Address]]
"""Pairs of family and address of a peer, in the order in which to try them."""

_WILDCARDS = {socket.AF_INET: "", socket.AF_INET6: "::"}
_HINTS = {
    errno.ENETUNREACH: "there is no route to it; see `ip route get`",
    errno.EHOSTUNREACH: "there is no route to it; see `ip route get`",
    errno.EACCES: "the system allows no datagrams to it; for a broadcast address, give connected=False",
    errno.EINVAL: "it cannot be reached from this local_host; leave local_host out",
}


def peers_of(host: str, port: int) -> Peers | None:
    """Returns the address of a numeric `host`; None if `host` is a name. Never blocks."""
    try:
        return sorted_peers(
            socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV)
        )
    except (OSError, ValueError):
        return None


def sorted_peers(found: Iterable[tuple[int, int, int, str, Address]]) -> Peers:
    """Returns the results of getaddrinfo(3), IPv4 first: for a name with addresses of both families, a server is bound
    to the IPv4 address. A mapped IPv4 address counts as IPv4."""
    addresses = [canonical(address) for family, _, _, _, address in found if family in _WILDCARDS]
    pairs = [(int(socket.AF_INET if len(address) == 2 else socket.AF_INET6), address) for address in addresses]
    return sorted(pairs, key=lambda pair: pair[0] != socket.AF_INET)


def open_to(
    peers: Peers, host: str, port: int, local: tuple[str, int], options: SocketOptions, *, connected: bool
) -> tuple[socket.socket, Address]:
    """Returns a non-blocking socket bound to `local`, and the address of the peer: the first of `peers` that works. The
    socket is connected to that peer if `connected` is true.

    Raises `ConnectFailed` with host, port, errno and a hint, `BindFailed` for `local`, and `BadOption`; no socket is
    left open then.
    """
    return open_to_first(peers, host, port, local, options, connected=connected)[:2]


def open_to_first(
    peers: Peers, host: str, port: int, local: tuple[str, int], options: SocketOptions, *, connected: bool
) -> tuple[socket.socket, Address, Peers]:
    """Like `open_to`; also returns the remaining `peers`, which were not tried."""
    own = peers_of(*local) if local[0] else None
    if local[0] and not own:
        raise BadOption("local_host", local[0], "give a numeric address of this machine")
    failure: ConnectFailed | None = None
    for number, (family, address) in enumerate(peers, 1):
        if own and own[0][0] != family:
            continue
        sock = bind(local[0] or _WILDCARDS[socket.AddressFamily(family)], local[1], options)
        try:
            if connected:
                _connect(sock, address)
                return sock, canonical(sock.getpeername()), peers[number:]
            return sock, reached_by(address, sock.getsockname()), peers[number:]
        except OSError as error:
            sock.close()
            failure = failure or ConnectFailed(host, port, error, _HINTS.get(error.errno or 0, ""))
        except BaseException:
            sock.close()
            raise
    raise failure or ConnectFailed(
        host, port, OSError(errno.EAFNOSUPPORT, "it has no address of the family of local_host"), "leave local_host out"
    )


def _connect(sock: socket.socket, address: Address) -> None:
    """Connects `sock`, and drops datagrams that came before, possibly from other peers."""
    sock.connect(address)
    nothing = bytearray(1)
    with suppress(OSError):
        while True:
            sock.recvfrom_into(nothing)
