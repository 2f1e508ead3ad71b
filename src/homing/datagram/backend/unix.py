"""Unix datagram sockets, by the portable backend."""

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
"""Seconds for which what is to be sent waits for a peer that has no room. All the others wait behind it, so it must not
be long; a peer that is alive makes room in one iteration of its loop."""

_REMEMBERED = 1024


class UnixBackend(PortableBackend):
    """The system takes no datagram for a peer while as many wait there as net.unix.max_dgram_qlen allows (10, where
    nobody has raised it)."""

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
        """Raises `BlockingIOError` for a while where the peer has no room, and then ENOBUFS, until it has."""
        path = str(message.addr)
        try:
            size = super()._transmit(message)
        except BlockingIOError:
            if monotonic() - self._since(path) < PATIENCE:
                raise
            raise OSError(errno.ENOBUFS, "the peer does not read: it has no room for more") from None
        if self._full:
            self._full.pop(path, None)
        return size

    def _since(self, path: str) -> float:
        if len(self._full) >= _REMEMBERED and path not in self._full:
            self._full.clear()
        return self._full.setdefault(path, monotonic())
