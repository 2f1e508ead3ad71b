"""Binding: from host and port to a non-blocking socket, or to an error that says what to do."""

from __future__ import annotations

import errno
import socket

from ..gen import BadOption, BindFailed
from .address import Address, resolve_bind
from .ancillary import ask
from .error_queue import turn_on
from .inherited import claim
from .options import SocketOptions
from .substitute import current

_HINTS = {
    errno.EADDRINUSE: "another socket has this port; `ss -lunp` shows whose it is",
    errno.EACCES: "ports below 1024 need the capability CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "no interface of this machine has this address; `ip addr` lists them",
    errno.EMFILE: "this program has no file descriptor left; raise `ulimit -n`",
    errno.EAFNOSUPPORT: "this system has no such address family",
}


def bind(host: str, port: int, options: SocketOptions) -> socket.socket:
    """A bound, non-blocking UDP socket. SO_REUSEADDR is not set: on UDP it would let another program steal the port.
    Where a test has put a network in the system's place, one of that.

    Raises `BindFailed` with host, port, errno and what to do. No socket is left open then.
    """
    network = current()
    if network is not None:
        return network.bind(host, port, options)  # type: ignore[no-any-return]
    failure: BindFailed | None = None
    for family, address in resolve_bind(host, port):
        try:
            return _bind_one(family, address, options)
        except OSError as error:
            failure = failure or BindFailed(host, port, error, _HINTS.get(error.errno or 0, ""))
    raise failure or BindFailed(host, port, OSError(errno.EADDRNOTAVAIL, "the host has no address"))


def open_socket(host: str, port: int, activation: str | None, options: SocketOptions) -> socket.socket:
    """The socket that the program was started with under the name `activation` or at this address, if any; else a new
    one. Raises as `bind` does, and `BadOption` if it was started with sockets, but none of that name can be used."""
    try:
        sock = claim(activation, host, port)
    except OSError as error:
        raise BindFailed(host, port, error, _HINTS.get(error.errno or 0, "")) from None
    if sock is None:
        return bind(host, port, options)
    try:
        sock.setblocking(False)
        _configure(sock, options)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_one(family: int, address: Address, options: SocketOptions) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _configure(sock, options)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock


def _configure(sock: socket.socket, options: SocketOptions) -> None:
    _set_buffer(sock, socket.SO_RCVBUF, "receive_buffer", options.receive_buffer)
    _set_buffer(sock, socket.SO_SNDBUF, "send_buffer", options.send_buffer)
    ask(sock, options)
    if options.error_queue:
        turn_on(sock)


def _set_buffer(sock: socket.socket, option: int, name: str, size: int | None) -> None:
    if size is not None:
        try:
            sock.setsockopt(socket.SOL_SOCKET, option, size)
        except OSError as error:
            raise BadOption(name, size, f"the system refuses it: {error.strerror}") from None
