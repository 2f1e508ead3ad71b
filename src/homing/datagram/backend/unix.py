"""Unix datagram sockets, based on the portable backend."""

from __future__ import annotations

import errno
import socket
from time import monotonic
from typing import Any

from ..address import Address, check_destination, path_of
from ..errors import BadAddress
from ..message import MessageUDP
from .own_address import OWN
from .portable import PortableBackend

PATIENCE = 0.05
"""Seconds for which a datagram waits for a peer that has no room. All other datagrams wait behind it, so it must be
short; a working peer makes room in one iteration of its loop."""

_REMEMBERED = 1024


class UnixBackend(PortableBackend):
    """The backend of Unix sockets. The system accepts no datagram for a peer that has as many waiting as
    net.unix.max_dgram_qlen allows (10 by default)."""

    def __init__(self, sock: socket.socket, buffer_size: int) -> None:
        super().__init__(sock, buffer_size, False)
        self._path = path_of(sock.getsockname())
        self._full: dict[str, float] = {}  # peers that had no room, and since when

    def _raw_host(self, address: Address) -> bytes:
        return b""

    def _port(self, address: Address) -> int:
        return 0

    def _check(self, address: Any) -> None:
        check_destination(self._family, address)
        if address == self._path:
            raise BadAddress(address, OWN)

    def _transmit(self, message: MessageUDP) -> int:
        """Sends one datagram. If the peer has no room, raises `BlockingIOError` at first, and ENOBUFS after `PATIENCE`
        seconds."""
        path = str(message.addr)
        try:
            size = super()._transmit(message)
        except BlockingIOError:
            if monotonic() - self._since(path) < PATIENCE:
                raise
            raise OSError(errno.ENOBUFS, "the peer does not read and has no room for more") from None
        if self._full:
            self._full.pop(path, None)
        return size

    def _since(self, path: str) -> float:
        if len(self._full) >= _REMEMBERED and path not in self._full:
            self._full.clear()
        return self._full.setdefault(path, monotonic())
