"""The association of a connected socket with its peer. connect(2) pins the local address that the route prescribes at
that time, permanently. If this machine loses that address (DHCP, a VPN, a laptop in another network), every later send
fails with ENETUNREACH over IPv4, and over IPv6 leaves from an address to which no answer comes. So the association is
dissolved (connect(2) with AF_UNSPEC), and made anew as soon as there is a route. Linux.

Rule 1: it is dissolved only if this machine no longer has the pinned address, or the route prescribes another: an
outage alone, or a lost packet, changes nothing.
Rule 2: the local port stays the same, so that an answer under way arrives; only `move` changes it.
Rule 3: the check whether to dissolve runs at most once in `_AGAIN` seconds after failed sends, and at most once in
`_LOOK` seconds while no answer comes.
Rule 4: between dissolving and connecting, anyone can send to the socket: from then on, readers must check the source.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import NamedTuple

from ...gen import BadOption
from ..address import Address
from .links import local_addresses
from .namespace import in_network_of
from .set_options import bind_device

_LOST = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EINVAL, errno.ENODEV, errno.ENETDOWN}
)
"""The errnos of a send from an address that this machine no longer has."""

_AGAIN = 0.1
"""Seconds between checks after failed sends: too short to be noticed, and a thousand times the cost of a check."""

_LOOK = 1.0
"""Seconds between checks while no answer comes: requests are repeated after half a second by default."""

_UNSPECIFIED = {socket.AF_INET: "", socket.AF_INET6: "::"}


def can_move(sock: socket.socket) -> bool:
    """Returns True if `sock` can get another address and port of this machine."""
    return sys.platform == "linux" and isinstance(sock, socket.socket) and sock.family in _UNSPECIFIED


class Movable(NamedTuple):
    """The allowed changes of a socket's address.

    follows_address: if this machine loses the pinned address, another is used. keeps_port: the port stays the same.
    """

    follows_address: bool
    keeps_port: bool


class Association:
    """The association of `sock`, for which `can_move` is true, with the peer that it is connected to, if any.

    movable: the allowed changes.
    device: as `SocketOptions.bind_device`, which must be set again after dissolving.
    is_dissolved: True while the association is dissolved and not made anew.
    changes: number of changes of the local address.
    on_change: called when the association was dissolved, or made anew. Must not raise.
    """

    def __init__(self, sock: socket.socket, device: str, movable: Movable) -> None:
        self._sock = sock
        self._device = device
        self._follows, self._keeps_port = movable
        try:
            self._peer: Address | None = sock.getpeername()
        except OSError:
            self._peer = None
        self._host = sock.getsockname()[0]
        self._again = self._look = 0.0
        self.is_dissolved = False
        self.changes = 0
        self.on_change: Callable[[], None] | None = None

    def has_failed(self, number: int) -> bool:
        """Called when a send has failed with the errno `number`. Returns True to send again, because the socket has
        another address now."""
        if number not in _LOST or not self._follows or self.is_dissolved or monotonic() < self._again:
            return False
        self._again = monotonic() + _AGAIN
        return self._is_outdated(failed=True) and self._renew()

    def is_silent(self) -> None:
        """Called when no answer has come in time."""
        if self._follows and not self.is_dissolved and monotonic() >= self._look:
            self._look = monotonic() + _LOOK
            if self._is_outdated(failed=False):
                self._renew()

    def settle(self) -> None:
        """Connects the socket again if its association was dissolved. Called after each send."""
        if self.is_dissolved and monotonic() >= self._again:
            self._again = monotonic() + _AGAIN
            self._connect()

    def move(self) -> bool:
        """Changes the local port to one that the system chooses. Returns False on failure, in which case the
        association may be dissolved."""
        name = self._sock.getsockname()
        if not self._dissolve():
            return False
        if self._peer is not None:
            return self._connect()
        with suppress(OSError):
            self._sock.bind((name[0], 0, *name[2:]))
        self._changed()
        return True

    # --- looking ------------------------------------------------------------------------------------------

    def _is_outdated(self, failed: bool) -> bool:
        """Returns True if the route prescribes another address than the pinned one; `failed` if that is not known."""
        try:
            prescribed = in_network_of(self._sock, self._prescribed)
        except (BadOption, PermissionError):
            return failed
        except OSError:
            return self._has_ended()
        return bool(prescribed != self._host)

    def _prescribed(self) -> str:
        """Returns the local address that a new socket would get."""
        with socket.socket(self._sock.family, socket.SOCK_DGRAM) as sock:
            if self._device:
                bind_device(sock, self._device)
            sock.connect(self._peer)  # type: ignore[arg-type]
            return str(sock.getsockname()[0])

    def _has_ended(self) -> bool:
        """Returns True if this machine does not have the pinned address."""
        packed = socket.inet_pton(self._sock.family, self._host)
        mine = local_addresses(self._sock)
        return bool(mine) and all(packed != address for address, _ in mine)

    # --- changing -----------------------------------------------------------------------------------------

    def _renew(self) -> bool:
        port = self._sock.getsockname()[1]
        if not self._dissolve():
            return False
        if self._keeps_port:
            # Fails if the kernel has kept the port, which was explicitly bound, or if another socket has taken it: then
            # any port will do.
            with suppress(OSError):
                self._sock.bind((_UNSPECIFIED[self._sock.family], port))
        self._connect()
        return True

    def _dissolve(self) -> bool:
        """Makes the kernel forget the peer, the address, and the port unless it was explicitly bound."""
        nobody = ctypes.create_string_buffer(socket.AF_UNSPEC.to_bytes(2, sys.byteorder), 28)
        if ctypes.CDLL(None, use_errno=True).connect(self._sock.fileno(), nobody, len(nobody)):
            return False
        self.is_dissolved = self._peer is not None
        if self._device:
            with suppress(BadOption):  # the interface no longer exists; `Interfaces` follows its name
                bind_device(self._sock, self._device)
        return True

    def _connect(self) -> bool:
        """Connects to the peer. Returns False if there is no route."""
        try:
            self._sock.connect(self._peer)  # type: ignore[arg-type]
        except OSError:
            self._changed()
            return False
        self.is_dissolved = False
        host = self._sock.getsockname()[0]
        self.changes += host != self._host
        self._host = host
        self._changed()
        return True

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change()
