"""Binding: makes a non-blocking socket from host and port, or raises an error that says what to do."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeAlias, TypeVar

from ...gen import BadOption
from ..address import AF_UNIX, DUAL_STACK, Address, canonical_host, family_of, resolve_bind
from ..errors import BindFailed
from .forks import close_in_forks
from .inherited import claim, lender_of
from .kernel import network_of
from .namespace import within
from .options import SocketOptions, check_unix
from .set_options import apply, apply_bound, check, reset
from .shared import seat
from .shared.seat import Seat
from .substitute import current

T = TypeVar("T")

_HINTS = {
    errno.EADDRINUSE: "another socket has this port; `ss -lunp` shows its owner. With share_address both may have it",
    errno.EACCES: "ports below 1024 need the capability CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "no interface of this machine has this address; `ip addr` lists them",
    errno.EMFILE: "this program has no file descriptor left; raise `ulimit -n`",
    errno.EAFNOSUPPORT: "this system has no such address family",
}


def bind(host: str, port: int, options: SocketOptions) -> socket.socket:
    """Returns a bound, non-blocking UDP socket; a socket of the test's network if one is entered.

    SO_REUSEADDR is set only with `share_address`: on UDP it lets another program steal the port. Raises `BindFailed`
    with host, port, errno and a hint; no socket is left open then.
    """
    substitute = current()
    if substitute is not None:
        return substitute(host, port, options)  # type: ignore[no-any-return]
    if options.path is not None:
        raise BadOption("path", options.path, "only a server can have a Unix socket")
    return _within(host, port, options, partial(_bind, host, port, options))


def _within(host: str, port: int, options: SocketOptions, make: Callable[[], T]) -> T:
    """Calls `make` in the network namespace of the options, and returns its result."""
    try:
        return within(options.network_namespace, make)
    except PermissionError as error:
        hint = f"entering the network namespace {options.network_namespace!r} needs the capability CAP_SYS_ADMIN"
        raise BindFailed(host, port, error, hint, path=options.path) from None


def bind_several(
    host: str, port: int, options: SocketOptions, count: int, like: socket.socket | None
) -> list[socket.socket]:
    """Returns `count` sockets with one address, in the order in which they were bound. like: a socket that has the
    address. Raises the errors of `bind`; no socket is left open then."""

    def make() -> list[socket.socket]:
        made: list[socket.socket] = []
        try:
            if like is None:
                made.append(_bind(host, port, options))
            one = like or made[0]
            while len(made) < count:
                made.append(_bind_one(one.family, one.getsockname(), options, family_of(one) == DUAL_STACK))
        except BaseException as error:
            for sock in made:
                sock.close()
            if isinstance(error, OSError) and not isinstance(error, BindFailed):
                raise BindFailed(host, port, error, _HINTS.get(error.errno or 0, "")) from None
            raise
        return made

    return _within(host, port, options, make)


def _bind(host: str, port: int, options: SocketOptions) -> socket.socket:
    failure: BindFailed | None = None
    for family, address in resolve_bind(host, port, options.dual_stack):
        try:
            return _bind_one(family, address, options, options.dual_stack)
        except OSError as error:
            failure = failure or BindFailed(host, port, error, _HINTS.get(error.errno or 0, ""))
    raise failure or BindFailed(host, port, OSError(errno.EADDRNOTAVAIL, "the host has no address"))


Existing: TypeAlias = socket.socket | int
"""A user's socket, or its file descriptor."""


def duplicate(existing: Existing, options: SocketOptions) -> socket.socket:
    """Returns a duplicate of a bound socket, with `options` set on it. The user's socket stays open.

    Raises `BadOption` if it is not a socket that can receive datagrams.
    """
    with _closed_on_failure(_duplicate(existing)) as sock:
        _check_usable(sock, existing)
        _check_fits(sock, options)
        apply(sock, options)
        apply_bound(sock, options)
    return sock


@contextmanager
def _closed_on_failure(sock: socket.socket, *, known: bool = False) -> Iterator[socket.socket]:
    """Yields `sock`, made non-blocking and closed in forked children. Closes `sock` if the block raises. known: forked
    children know it already."""
    if not known:
        close_in_forks(sock, socket.socket.close)
    try:
        sock.setblocking(False)
        yield sock
    except BaseException:
        sock.close()
        raise


def _duplicate(existing: Existing) -> socket.socket:
    descriptor = existing.fileno() if isinstance(existing, socket.socket) else existing
    try:
        duplicated = os.dup(descriptor)
        try:
            return socket.socket(fileno=duplicated)
        except OSError:
            os.close(duplicated)
            raise
    except OSError as error:
        what = "is closed" if error.errno == errno.EBADF else f"is not a socket ({error.strerror})"
        raise BadOption("socket", existing, f"it {what}; give an open, bound socket") from None


def _check_usable(sock: socket.socket, existing: Existing) -> None:
    if sock.type != socket.SOCK_DGRAM or sock.family not in (socket.AF_INET, socket.AF_INET6, AF_UNIX):
        what = f"{_name(sock.type)} of {_name(sock.family)}"
        raise BadOption("socket", existing, f"it is a {what}; give a SOCK_DGRAM of AF_INET, AF_INET6 or AF_UNIX")
    if sock.proto in (socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6):
        raise BadOption("socket", existing, "it is for ICMP, not for UDP")
    name = sock.getsockname()
    if not name or (sock.family != AF_UNIX and name[1] == 0):
        raise BadOption("socket", existing, "it is not bound; call its bind() first")


def _check_fits(sock: socket.socket, options: SocketOptions) -> None:
    """Raises `BadOption` for options that cannot be changed on an existing socket."""
    if options.dual_stack and family_of(sock) != DUAL_STACK:
        raise BadOption("dual_stack", True, "the given socket was bound for one family only")
    if options.network_namespace:
        raise BadOption("network_namespace", options.network_namespace, "the given socket already has a namespace")
    if sock.family == AF_UNIX:
        check_unix(options)


def _name(number: object) -> str:
    return getattr(number, "name", str(number))


def close_existing(existing: Existing) -> None:
    """Closes a user's socket that was passed to `duplicate`."""
    if isinstance(existing, socket.socket):
        existing.close()
    else:
        os.close(existing)


def open_socket(host: str, port: int, activation: str | None, options: SocketOptions) -> socket.socket:
    """Returns the socket of this process at this address, if a supervising program keeps the sockets of its processes;
    else the socket that the program was started with under the name `activation` or at this address, if any; otherwise
    a new socket. Raises the errors of `bind`, and `BadOption` if the program was started with sockets but none of that
    name can be used."""
    shares = options.reuse_port and options.path is None and current() is None
    place = seat.current() if shares else None
    try:
        sock: socket.socket | None = None if place is None else _share(place, host, port, activation, options)
        if sock is not None:
            return _take(sock, options, _take_share)
        sock = claim(activation, lambda: (addresses(host, port, options), network(options)))
    except OSError as error:
        if isinstance(error, BindFailed):
            raise
        raise BindFailed(host, port, error, _HINTS.get(error.errno or 0, ""), path=options.path) from None
    if sock is None:
        return bind(host, port, options) if options.path is None else _open_path(options.path, options)
    return _take(sock, options, _take_for)


def _share(place: Seat, host: str, port: int, activation: str | None, options: SocketOptions) -> socket.socket | None:
    """Returns this process's socket among those that all processes share; None if nobody keeps them any more."""
    device, namespace = options.bind_device, options.network_namespace
    return place.open(
        (canonical_host(host), port, options.dual_stack, device, namespace, activation or ""),
        partial(bind_several, host, port, options),
        addresses=addresses(host, port, options),
        steered=options.kernel_steering is not None,
    )


def _take(
    sock: socket.socket, options: SocketOptions, change: Callable[[socket.socket, SocketOptions], None]
) -> socket.socket:
    """Returns `sock`, a duplicate of a kept socket, with `options` set by `change`: later, if another program still
    reads from the socket. Closes `sock` if that fails."""
    with _closed_on_failure(sock, known=True):
        lender = lender_of(sock)
        if lender is not None and lender.shared:
            check(sock, options)
            lender.held_back.append(partial(_take_for, sock, options))
        else:
            change(sock, options)
    return sock


def _take_for(sock: socket.socket, options: SocketOptions) -> None:
    _take_share(sock, options)
    apply_bound(sock, options)


def _take_share(sock: socket.socket, options: SocketOptions) -> None:
    """Sets `options`, but not those of all sockets of the port together: the process that bound them has set these, or
    has changed them since."""
    reset(sock, options)
    apply(sock, options)


def network(options: SocketOptions) -> int:
    """Returns a number that identifies the network namespace of the options, like `kernel.network_of`; -1 without the
    permission to enter it."""

    def ask() -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            return network_of(sock)

    try:
        return within(options.network_namespace, ask)
    except PermissionError:
        return -1  # binding a new socket reports the error


def addresses(host: str, port: int, options: SocketOptions) -> list[Address | str]:
    """Returns the addresses that a socket with these arguments can get; an empty list if the system chooses. Raises the
    errors of `resolve_bind`."""
    if options.path is not None:
        return [options.path]
    if not port:
        return []
    try:
        found = within(options.network_namespace, partial(resolve_bind, host, port, options.dual_stack))
    except PermissionError:
        return []  # binding a new socket reports the error
    return [address for _, address in found]


def _open_path(path: str, options: SocketOptions) -> socket.socket:
    from .unix import bind_path  # not on every system

    if current() is not None:
        raise BadOption("path", path, "a fake network has no Unix sockets")
    return _within("", 0, options, partial(bind_path, path, options))


def _bind_one(family: int, address: Address, options: SocketOptions, dual_stack: bool) -> socket.socket:
    with _closed_on_failure(socket.socket(family, socket.SOCK_DGRAM)) as sock:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not dual_stack))
        apply(sock, options)
        sock.bind(address)
        apply_bound(sock, options)
    return sock
