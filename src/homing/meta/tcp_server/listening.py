"""The listening socket of a TCP server, and the settings that its connections inherit."""

from __future__ import annotations

import asyncio
import errno
import math
import socket
from functools import partial

from ...datagram import Address
from ...datagram.address import canonical_host, resolve_bind
from ...datagram.errors import BindFailed
from ...datagram.sockets.forks import close_in_forks
from ...datagram.sockets.inherited import claim, lender_of
from ...datagram.sockets.kernel import network_of
from ...datagram.sockets.shared import seat
from ...datagram.sockets.shared.seat import Seat, SharedSocket
from ..tcp.limits import TCPOptions
from .options import TCPServerOptions

_HINTS = {
    errno.EADDRINUSE: "another socket has this port; `ss -ltnp` shows its owner",
    errno.EACCES: "ports below 1024 need the capability CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "no interface of this machine has this address; `ip addr` lists them",
    errno.EMFILE: "this program has no file descriptor left; raise `ulimit -n`",
    errno.EAFNOSUPPORT: "this system has no such address family",
}


def open_listener(options: TCPServerOptions) -> socket.socket:
    """Returns a listening, non-blocking socket. Raises `BindFailed` with host, port, errno and a hint; no socket is
    left open then, and one that was given stays with the caller."""
    if options.socket is not None:
        return _adopt(options.socket, options)
    place = seat.current() if options.reuse_port else None
    common = None if place is None else _common(place, options)
    if common is not None:
        return _take(common, options)
    inherited = claim(options.activation, lambda: _wanted(options), socket.SOCK_STREAM)
    if inherited is not None:
        return _take(inherited, options)
    return _bind(options)


def _bind(options: TCPServerOptions) -> socket.socket:
    failure: OSError = OSError(errno.EADDRNOTAVAIL, "the name has no address")
    try:
        for family, address in resolve_bind(options.host, options.port, options.dual_stack):
            try:
                return _listen(family, address, options)
            except OSError as error:
                failure = error
    except BindFailed:
        raise
    except OSError as error:
        failure = error
    hint = _HINTS.get(failure.errno or 0, "")
    raise BindFailed(options.host, options.port, failure, hint, protocol="TCP") from None


def _common(place: Seat, options: TCPServerOptions) -> socket.socket | None:
    """Returns the socket that all processes of `homing run --processes` accept from; None if nobody keeps it any more.
    Connections that wait there are lost with none of the processes."""
    key = (canonical_host(options.host), options.port, options.dual_stack, "", "", options.activation or "")
    addresses = _wanted(options)[0]
    try:
        return place.open(key, lambda count, like: [_bind(options)], addresses=addresses, stream=True)
    except BindFailed:
        raise
    except OSError as error:
        raise BindFailed(options.host, options.port, error, protocol="TCP") from None


def is_common(sock: socket.socket) -> bool:
    """Returns True if other processes accept from this socket as well."""
    return isinstance(sock, SharedSocket)


def _wanted(options: TCPServerOptions) -> tuple[list[Address | str], int]:
    """Returns the addresses that suit the server, and its network namespace."""
    if not options.port:
        return [], 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        network = network_of(sock)
    return [address for _, address in resolve_bind(options.host, options.port, options.dual_stack)], network


def _take(sock: socket.socket, options: TCPServerOptions) -> socket.socket:
    """Returns a socket that systemd or a predecessor has passed to this program."""
    try:
        lender = lender_of(sock)
        if lender is not None and lender.shared:  # another program serves: its settings stay until it has stopped
            lender.held_back.append(partial(_begin, sock, options))
            sock.setblocking(False)
            return sock
        return _begin(sock, options)
    except BaseException:
        sock.close()
        raise


def handed_over(sock: socket.socket) -> asyncio.Event | None:
    """Returns an event to wait for before connections are accepted, if another program accepts them now."""
    lender = lender_of(sock)
    return lender.handed_over if lender is not None and lender.shared else None


def _listen(family: int, address: tuple[object, ...], options: TCPServerOptions) -> socket.socket:
    sock = close_in_forks(socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC), socket.socket.close)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of before may still be in TIME_WAIT
        if options.reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not options.dual_stack)
        sock.bind(address)
        return _begin(sock, options)
    except BaseException:
        sock.close()
        raise


def _adopt(given: socket.socket, options: TCPServerOptions) -> socket.socket:
    try:
        sock = close_in_forks(given.dup(), socket.socket.close)
        try:
            _begin(sock, options)
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        raise BindFailed("the given socket", 0, error, "it must be bound", protocol="TCP") from None
    given.close()
    return sock


def _begin(sock: socket.socket, options: TCPServerOptions) -> socket.socket:
    sock.setblocking(False)
    tune(sock, options)
    sock.listen(options.backlog)
    return sock


def tune(sock: socket.socket, options: TCPOptions) -> None:
    """Has the system send small frames at once, and sets after what times it gives up a peer that is silent. Accepted
    connections inherit the settings."""
    # asyncio does so only for sockets that name their protocol.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if options.keepalive is not None:
        seconds = min(max(1, math.ceil(options.keepalive)), 32767)
        pause = max(1, seconds // 3)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", seconds), ("TCP_KEEPINTVL", pause), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    if options.user_timeout is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        milliseconds = min(max(1, math.ceil(options.user_timeout * 1000)), 2**31 - 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
