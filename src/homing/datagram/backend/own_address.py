"""Recognizes a socket's own address, to which no datagram is sent: a server would answer itself in an endless loop.

Datagrams come from that address if they are forged, if another program shares the port, or if the socket receives its
own multicast or broadcast datagrams.
"""

from __future__ import annotations

import socket
from time import monotonic
from typing import Any

from ..address import NORMALIZERS, family_of
from ..errors import BadAddress
from ..sockets.links import local_addresses

_FRESH = 5.0
"""Seconds until the machine's addresses are looked up again. Until then, a new address is not recognized."""

_MOST = 4096
"""Most addresses in the cache of results: as many as cached peers."""

_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - to compare with
_LOOPBACK = socket.inet_pton(socket.AF_INET6, "::1")
_MAPPED = bytes(10) + b"\xff\xff"


OWN = "it is this socket's own address; the socket would answer itself"


class OwnAddress:
    """Recognizes the address of `sock`; if `sock` is bound to all addresses of this machine, each of them with its
    port.

    port: the port of `sock`; -1 for a Unix socket. Only addresses with this port need a check.
    """

    def __init__(self, sock: socket.socket) -> None:
        normalize = NORMALIZERS.get(family_of(sock))
        name = sock.getsockname() if normalize is None else normalize(sock.getsockname())
        self.port = -1 if isinstance(name, str) else int(name[1])
        self._sock = sock
        self._own = None if self.port < 0 or name[0] in _WILDCARDS else _key(name)
        self._local: frozenset[tuple[bytes, int]] = frozenset()
        self._known: dict[Any, bool] = {}
        self._again = 0.0

    def check(self, address: Any) -> None:
        """Raises `BadAddress` for the socket's own address. `address` has passed `check_destination`, and its port is
        `port`."""
        if self._own is None and monotonic() >= self._again:
            self._again = monotonic() + _FRESH
            self._known.clear()
            self._local = local_addresses(self._sock) if isinstance(self._sock, socket.socket) else frozenset()
        own = self._known.get(address)
        if own is None:
            own = self._is_own(address)
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[address] = own
        if own:
            raise BadAddress(address, OWN)

    def _is_own(self, address: Any) -> bool:
        packed, scope = _key(address)
        if self._own is not None:
            return (packed, scope) == self._own
        if packed[0] == 127 if len(packed) == 4 else packed == _LOOPBACK:
            return True
        return any(mine == packed and scope in (0, index) for mine, index in self._local)


def _key(address: Any) -> tuple[bytes, int]:
    """Returns the packed host and its scope."""
    host, _, name = address[0].partition("%")
    if ":" not in host:
        return socket.inet_aton(host), 0
    packed = socket.inet_pton(socket.AF_INET6, host)
    if packed[:12] == _MAPPED:
        return packed[12:], 0
    scope = address[3] if len(address) > 3 else 0
    if name:
        found: Any = socket.getaddrinfo(address[0], 0, socket.AF_INET6, socket.SOCK_DGRAM, 0, socket.AI_NUMERICHOST)
        scope = found[0][4][3]
    return packed, scope
