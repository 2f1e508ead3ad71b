"""Sockets that a program was started with: by systemd (socket activation, sd_listen_fds(3)), or by its predecessor.

Each is kept here, and lent out as a duplicate. So when a server ends, the socket stays open, datagrams wait in the
kernel, and the next server with its name or address gets it.

Rule 1: a socket is lent to one server at a time; it is free again when the server has closed its duplicate.
Rule 2: a server that names an `activation` gets a socket of that name, in the order in which they were given; any other
server gets a socket that is bound to its address. (Binding that address anew would fail: it is in use.)
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeAlias, TypeVar

from ...gen import BadOption
from ...gen.options import MOST, decimal_of
from ..address import AF_UNIX, Address, format_address, path_of
from .forks import close_in_forks
from .kernel import network_of

_FIRST = 3
"""SD_LISTEN_FDS_START: the descriptors that systemd passes begin here."""

_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
_USABLE = (socket.AF_INET, socket.AF_INET6, AF_UNIX)


Lent = TypeVar("Lent", bound=socket.socket)


class Inherited:
    """A kept socket. `descriptor` is closed by `discard`.

    name: the name for `activation`, or "".
    kind: its type: SOCK_DGRAM, or SOCK_STREAM if it listens. None: of no use here.
    network: network namespace of the socket, as `kernel.network_of` returns it.
    lent: the duplicate that a server uses, or was the last to use.
    claimable: `claim` may find it by its address. False: only its own seat lends it (see `shared`).
    handed_over: set once the other program that reads from it has stopped; None: no other program reads.
    held_back: the server's changes of the socket that must wait for `handed_over`, because the other program has the
        same socket.
    counted: datagrams dropped by the kernel that previous users have already counted.
    holders: number of `keep` calls not yet undone by `discard`.

    Raises `OSError` if the descriptor is not a socket; the descriptor stays open then.
    """

    def __init__(self, descriptor: int, name: str, *, claimable: bool = True) -> None:
        sock = socket.socket(fileno=descriptor)
        try:
            told = sock.getsockname()
            self.network = network_of(sock)
            self.kind = _kind_of(sock)
        finally:
            sock.detach()
        self.descriptor = descriptor
        self.name = name
        self.claimable = claimable
        self.address: Address | str = told if isinstance(told, tuple) else path_of(told)
        self.lent: socket.socket | None = None
        self.handed_over: asyncio.Event | None = None
        self.held_back: list[Callable[[], object]] = []
        self.counted = 0
        self.holders = 0
        close_in_forks(self, Inherited.close_in_fork)

    def __str__(self) -> str:
        where = format_address(self.address)
        return f"{self.name} ({where})" if self.name else where

    @property
    def usable(self) -> bool:
        """True if it is for datagrams, and of a known family."""
        return self.kind == socket.SOCK_DGRAM

    @property
    def free(self) -> bool:
        """True if no server uses it now."""
        return self.lent is None or self.lent.fileno() < 0

    def lend(self, kind: type[Lent] = socket.socket) -> Lent:  # type: ignore[assignment]
        """Returns a duplicate, to be closed by the caller. kind: its class."""
        self.held_back.clear()
        lent = close_in_forks(kind(fileno=os.dup(self.descriptor)), socket.socket.close)
        self.lent = lent
        return lent

    @contextmanager
    def borrowed(self) -> Iterator[socket.socket]:
        """Yields the socket itself, which stays open."""
        sock = socket.socket(fileno=self.descriptor)
        try:
            yield sock
        finally:
            sock.detach()

    @property
    def shared(self) -> bool:
        """True while another program reads from it."""
        return self.handed_over is not None and not self.handed_over.is_set()

    def take_effect(self) -> None:
        """Makes the changes that were held back, if their server still has the socket. Raises what they raise."""
        changes, self.held_back = self.held_back, []
        for change in () if self.free else changes:
            change()

    def close(self) -> None:
        """Closes the descriptor. A later fork must not close it again: its number may belong to another file then."""
        descriptor, self.descriptor = self.descriptor, -1
        os.close(descriptor)

    def close_in_fork(self) -> None:
        """Closes the duplicate in a forked child."""
        os.close(self.descriptor)


def _kind_of(sock: socket.socket) -> int | None:
    """Returns the type of a socket that a server can use; None for others, which systemd passes too."""
    if sock.type == socket.SOCK_DGRAM and sock.family in _USABLE:
        return socket.SOCK_DGRAM
    listens = sock.type == socket.SOCK_STREAM and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    return socket.SOCK_STREAM if listens and sock.family in (socket.AF_INET, socket.AF_INET6) else None


_kept: list[Inherited] = []
_lock = threading.Lock()  # servers are also made on the threads of processes


def read_environment() -> None:
    """Takes the sockets that systemd has passed to this program, and unsets the variables that announce them, so that
    programs started by this one do not use them. A second call does nothing."""
    pid, count, names = (os.environ.pop(name, "") for name in _VARIABLES)
    if pid == str(os.getpid()):
        known = names.split(":") if names else []
        for number in range(decimal_of(count, MOST - _FIRST) or 0):
            name = known[number] if number < len(known) else "unknown"  # as sd_listen_fds_with_names(3) has it
            if not _take(_FIRST + number, name):
                break  # no more descriptors, whatever the variable says


def _take(descriptor: int, name: str) -> bool:
    """Keeps the socket of a descriptor. Returns False if there is no such descriptor."""
    try:
        os.set_inheritable(descriptor, False)
    except OSError:
        return False
    try:
        keep([Inherited(descriptor, name)])
    except OSError:
        pass  # a FIFO, or a file
    return True


def keep(found: Iterable[Inherited]) -> None:
    """Makes these sockets available to `claim`, until they are discarded as often as they were kept."""
    with _lock:
        for inherited in found:
            inherited.holders += 1
            if inherited.holders == 1:
                _kept.append(inherited)


def discard(gone: Iterable[Inherited]) -> None:
    """Undoes one `keep` of each; closes those that are no longer kept. Lent duplicates stay open."""
    with _lock:
        for inherited in gone:
            inherited.holders -= 1
            if inherited.holders == 0 and inherited in _kept:  # not in a fork of the program that keeps it
                _kept.remove(inherited)
                inherited.close()


def _forget_in_fork() -> None:
    """Makes a forked child keep no sockets. Replaces the lock, which a thread that the child lacks may have held."""
    global _lock
    _lock = threading.Lock()
    _kept.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_forget_in_fork)


def kept() -> list[Inherited]:
    """Returns all kept sockets."""
    with _lock:
        return _kept.copy()


def hands_over(addresses: Iterable[Address | str]) -> bool:
    """Returns True if another program, or another node of this program, is handing over a socket that has one of these
    addresses and that no server uses yet."""
    wanted = list(addresses)
    return any(inherited.free and inherited.shared and inherited.address in wanted for inherited in kept())


def lender_of(sock: socket.socket) -> Inherited | None:
    """Returns the inherited socket that `sock` is a duplicate of; None if it is not a duplicate."""
    return next((inherited for inherited in kept() if inherited.lent is sock), None)


def same_socket(sock: socket.socket) -> Inherited | None:
    """Returns the kept socket that no server uses and that is the same socket as `sock`, by another descriptor."""
    identity = _identity(sock.fileno())
    return next((one for one in kept() if one.free and _identity(one.descriptor) == identity), None)


def _identity(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


Wanted: TypeAlias = Callable[[], tuple[list[Address | str], int]]
"""Returns the addresses that suit a server, and its network as `kernel.network_of` returns it."""


def claim(activation: str | None, wanted: Wanted, kind: int = socket.SOCK_DGRAM) -> socket.socket | None:
    """Returns a duplicate of the inherited socket for a server; None: the server binds a new socket.

    kind: SOCK_DGRAM, or SOCK_STREAM for a socket that listens.

    Raises `BadOption` if the program was activated, but no socket of that name can be used.
    """
    with _lock:
        if activation is not None and any(inherited.name for inherited in _kept):
            return _by_name(activation, kind).lend()
        found = _by_address(wanted, kind)
        return None if found is None else found.lend()


_WORDS: dict[int, tuple[str, str]] = {
    socket.SOCK_DGRAM: ("for datagrams", "ListenDatagram="),
    socket.SOCK_STREAM: ("for TCP", "ListenStream="),
}


def _by_name(name: str, kind: int) -> Inherited:
    here = [inherited for inherited in _kept if inherited.name == name]
    for inherited in here:
        if inherited.kind == kind and inherited.free:
            return inherited
    if not here:
        names = ", ".join(dict.fromkeys(repr(known.name) for known in _kept if known.name))
        why = f"the program was started with other sockets: {names}; see FileDescriptorName= in the .socket unit"
    elif not any(inherited.kind == kind for inherited in here):
        purpose, setting = _WORDS[kind]
        why = f"the socket of this name is not {purpose}: {here[0].address!r}; use {setting} in the unit"
    else:
        why = f"all sockets of this name ({len(here)}) are in use by other servers"
    raise BadOption("activation", name, why)


def _by_address(wanted: Wanted, kind: int) -> Inherited | None:
    free = [inherited for inherited in _kept if inherited.kind == kind and inherited.free and inherited.claimable]
    addresses, network = wanted() if free else ([], 0)
    for address in addresses:
        for inherited in free:
            if inherited.address == address and (inherited.network == network or _is_file(address)):
                return inherited
    return None


def _is_file(address: Address | str) -> bool:
    """Returns True for the path of a file, the only kind of address that is the same in all networks."""
    return isinstance(address, str) and not address.startswith("\0")
