"""A bound socket with its state in the kernel: granted buffers, joined groups, dropped datagrams."""

from __future__ import annotations

import socket

from .kernel import granted_buffer, kernel_drops
from .multicast import Memberships, MulticastGroup


class KernelSocket:
    """One bound socket, from its binding to its end.

    family: AF_INET, AF_INET6 or AF_UNIX.
    memberships: the multicast groups that it has joined.
    receive_buffer, send_buffer: bytes that the kernel has granted.
    """

    def __init__(self, sock: socket.socket, groups: tuple[MulticastGroup, ...] = ()) -> None:
        self.sock = sock
        self.family = int(sock.family)
        self.memberships = Memberships(sock, groups)
        self.receive_buffer = granted_buffer(sock, socket.SO_RCVBUF)
        self.send_buffer = granted_buffer(sock, socket.SO_SNDBUF)
        self._closed = False
        self._last_drops: int | None = None

    @property
    def drops(self) -> int | None:
        """Datagrams that the kernel dropped at this socket, closed or not; None if the system does not tell."""
        if not self._closed:
            self._last_drops = kernel_drops(self.sock)
        return self._last_drops

    def close(self) -> None:
        """Closes the socket. A second time does nothing."""
        if not self._closed:
            self._closed = True
            if self.sock.fileno() >= 0:  # else this is a fork of the program that has it
                self._last_drops = kernel_drops(self.sock)
            self.sock.close()
