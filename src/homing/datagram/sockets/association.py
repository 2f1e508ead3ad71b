"""The association of a connected socket with its peer: connect(2) pins the address of this machine that the route
prescribed then, for good. If that ends (DHCP, a VPN, a laptop in another network), sending fails with ENETUNREACH ever
after over IPv4, and over IPv6 goes on from an address to which no answer comes. So the association is dissolved
(connect(2) with AF_UNSPEC), and made anew as soon as there is a route. Linux.

Rule 1: it is dissolved only if the pinned address has ended, or the route prescribes another: an outage alone, or a
lost packet, changes nothing.
Rule 2: the local port stays what it was, so that an answer under way arrives; `move` alone changes it.
Rule 3: whether it must be dissolved is looked at once in `_AGAIN` seconds after a send that failed, and once in `_LOOK`
seconds where no answer comes.
Rule 4: between dissolving and connecting, anybody can write to the socket: who reads has to look at the source from
then on.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from ...gen import BadOption
from ..address import Address
from .links import local_addresses
from .namespace import in_network_of
from .set_options import bind_device

_LOST = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EINVAL, errno.ENODEV, errno.ENETDOWN}
)
"""The errnos of a send from an address that this machine has no more."""

_AGAIN = 0.1
"""Seconds: as long as nobody notices, and a thousand times what it takes to look."""

_LOOK = 1.0
"""Seconds: requests are sent again after half a second by default."""

_UNSPECIFIED = {socket.AF_INET: "", socket.AF_INET6: "::"}


def can_move(sock: socket.socket) -> bool:
    """True if `sock` can be given another address and port of this machine."""
    return sys.platform == "linux" and isinstance(sock, socket.socket) and sock.family in _UNSPECIFIED


class Association:
    """The association of `sock`, for which `can_move` is true, with the peer that it is connected to, if any.

    device: as `SocketOptions.bind_device`, which dissolving takes back.
    is_dissolved: it could not be made anew yet.
    changes: times that the address of this machine has changed.
    on_change: called when the association was dissolved, or made anew. Must not raise.
    """

    def __init__(self, sock: socket.socket, device: str) -> None:
        self._sock = sock
        self._device = device
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
        """A send has failed with that errno. True if it is to be tried once more: the socket has another address
        now."""
        if number not in _LOST or self.is_dissolved or monotonic() < self._again:
            return False
        self._again = monotonic() + _AGAIN
        return self._is_outdated(failed=True) and self._renew()

    def is_silent(self) -> None:
        """No answer has come in time."""
        if not self.is_dissolved and monotonic() >= self._look:
            self._look = monotonic() + _LOOK
            if self._is_outdated(failed=False):
                self._renew()

    def settle(self) -> None:
        """Connects again a socket that was dissolved. Called after each send."""
        if self.is_dissolved and monotonic() >= self._again:
            self._again = monotonic() + _AGAIN
            self._connect()

    def move(self) -> bool:
        """Gives the socket another port, which the system draws. False: it could not; it may be dissolved then."""
        if not self._dissolve():
            return False
        if self._peer is not None:
            return self._connect()
        with suppress(OSError):
            self._sock.bind((_UNSPECIFIED[self._sock.family], 0))
        self._changed()
        return True

    # --- looking ------------------------------------------------------------------------------------------

    def _is_outdated(self, failed: bool) -> bool:
        """True if the pinned address is not the one that the route prescribes. Where that is not known, `failed`."""
        try:
            prescribed = in_network_of(self._sock, self._prescribed)
        except (BadOption, PermissionError):
            return failed
        except OSError:
            return self._has_ended()
        return bool(prescribed != self._host)

    def _prescribed(self) -> str:
        """The address of this machine that a new socket would have."""
        with socket.socket(self._sock.family, socket.SOCK_DGRAM) as sock:
            if self._device:
                bind_device(sock, self._device)
            sock.connect(self._peer)  # type: ignore[arg-type]
            return str(sock.getsockname()[0])

    def _has_ended(self) -> bool:
        """True if this machine does not have the pinned address."""
        packed = socket.inet_pton(self._sock.family, self._host)
        mine = local_addresses(self._sock)
        return bool(mine) and all(packed != address for address, _ in mine)

    # --- changing -----------------------------------------------------------------------------------------

    def _renew(self) -> bool:
        port = self._sock.getsockname()[1]
        if not self._dissolve():
            return False
        with suppress(OSError):  # it was bound by the user: it has kept its port. Or somebody was faster: any will do
            self._sock.bind((_UNSPECIFIED[self._sock.family], port))
        self._connect()
        return True

    def _dissolve(self) -> bool:
        """Lets the kernel forget the peer, the address, and the port unless that was asked for."""
        nobody = ctypes.create_string_buffer(socket.AF_UNSPEC.to_bytes(2, sys.byteorder), 28)
        if ctypes.CDLL(None, use_errno=True).connect(self._sock.fileno(), nobody, len(nobody)):
            return False
        self.is_dissolved = self._peer is not None
        if self._device:
            with suppress(BadOption):  # the interface has ended; it is followed by its name
                bind_device(self._sock, self._device)
        return True

    def _connect(self) -> bool:
        """False: there is no route."""
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
