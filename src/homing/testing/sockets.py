"""The sockets of a fake network, by the address that they are bound to."""

from __future__ import annotations

import errno
import os
import socket
import sys
from dataclasses import fields
from typing import TYPE_CHECKING

from ..datagram import Address, SocketOptions
from ..datagram.errors import BindFailed
from ..gen import BadOption
from ..gen.options import check_integer
from .fake_socket import FakeSocket
from .hosts import WILDCARDS, Place, as_address, resolve

if TYPE_CHECKING:
    from .traffic import Traffic

_FIRST_PORT, _PORTS = 32768, 28232  # Linux, net.ipv4.ip_local_port_range
_TOLD = frozenset({"receive_local_address", "receive_tos", "receive_ttl", "receive_timestamp"})
MEANINGFUL = _TOLD | {"receive_buffer", "send_buffer", "ttl", "tos", "mtu_discovery", "send_rate", "error_queue"}
"""Options of a socket that have an effect here, or that can be ignored without a visible difference."""


class Sockets:
    """All bound sockets of a fake network."""

    def __init__(self) -> None:
        self._bound: dict[Place, FakeSocket] = {}
        self._ports = 0

    def __len__(self) -> int:
        return len(self._bound)

    def bind(
        self,
        traffic: Traffic,
        host: str,
        port: int,
        options: SocketOptions,
        *,
        kind: type[FakeSocket] = FakeSocket,
    ) -> FakeSocket:
        """Returns a new socket for `traffic`, of class `kind`. "" is every IPv4 address, "::" every IPv6 address. Port
        0 selects the next free port from 32768 on. Raises `BindFailed`, and `BadOption` for an option that fake sockets
        do not have."""
        _check_options(options)
        port = check_integer("port", port, 0, 65535)
        family, address = resolve(host, port)
        if port == 0:
            address = as_address(family, address[0], self._free_port(family, address[0]), address)
        elif self._taken(family, address[0], port):
            why = OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            raise BindFailed(host, port, why, "another socket of this FakeNetwork has this port")
        bound = self._bound[address[0], address[1]] = kind(traffic, family, address, options)
        return bound

    def move(self, before: Address, after: Address) -> None:
        """Rebinds the socket at `before` to `after`, when it is connected."""
        self._bound[after[0], after[1]] = self._bound.pop((before[0], before[1]))

    def release(self, address: Address) -> None:
        """Frees the address of a closed socket."""
        del self._bound[address[0], address[1]]

    def at(self, destination: Address) -> FakeSocket | None:
        """Returns the socket that receives datagrams to `destination`, or None."""
        host, port = destination[:2]
        wildcard = WILDCARDS[socket.AF_INET6 if ":" in host else socket.AF_INET]
        return self._bound.get((host, port)) or self._bound.get((wildcard, port))

    def _taken(self, family: int, host: str, port: int) -> bool:
        """Returns True if a socket has the port at that address, or at one that overlaps it."""
        if host == WILDCARDS[family]:
            return any(sock.family == family and place[1] == port for place, sock in self._bound.items())
        return (host, port) in self._bound or (WILDCARDS[family], port) in self._bound

    def _free_port(self, family: int, host: str) -> int:
        for _ in range(_PORTS):
            port = _FIRST_PORT + self._ports % _PORTS
            self._ports += 1
            if not self._taken(family, host, port):
                return port
        raise BindFailed(host, 0, OSError(errno.EADDRINUSE, "all ports from 32768 to 60999 are bound"))


def _check_options(options: SocketOptions) -> None:
    """Raises `BadOption` for options that would change what arrives, and that fake sockets do not support."""
    for field in fields(SocketOptions):
        value = getattr(options, field.name)
        if value != field.default and field.name not in MEANINGFUL:
            raise BadOption(field.name, value, "a FakeNetwork does not support this option; leave it out there")
        if value != field.default and field.name in _TOLD and sys.platform != "linux":
            raise BadOption(field.name, value, "this works on Linux only")
