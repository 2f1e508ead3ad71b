"""A bound socket with its state in the kernel: granted buffers, interfaces and groups, dropped datagrams."""

from __future__ import annotations

import socket

from .bpf import Program, Steering, has_filter
from .interfaces import Interfaces
from .kernel import granted_buffer, kernel_drops
from .multicast import MulticastGroup


class KernelSocket:
    """One bound socket, from its binding to its end.

    family: AF_INET, AF_INET6 or AF_UNIX.
    interfaces: the multicast groups that it has joined, and the interfaces that it was asked to use.
    bpf, steering: programs that it was given.
    receive_buffer, send_buffer: bytes that the kernel has granted.
    """

    def __init__(
        self,
        sock: socket.socket,
        groups: tuple[MulticastGroup, ...] = (),
        multicast_interface: str | int = "",
        bind_device: str = "",
        bpf: Program | None = None,
        steering: Steering | None = None,
    ) -> None:
        self.sock = sock
        self.family = int(sock.family)
        self.interfaces = Interfaces(sock, groups, multicast_interface, bind_device)
        self.bpf = bpf
        self.steering = steering
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

    @property
    def runs_programs(self) -> bool:
        """True if the kernel runs a program that looks at datagrams. For those that come joined it would run once."""
        return has_filter(self.sock) or isinstance(self.steering, tuple)

    @property
    def filter_is_known(self) -> bool:
        """False if the socket has a filter that somebody else has attached."""
        return self.bpf is not None or not has_filter(self.sock)

    def close(self) -> None:
        """Closes the socket. A second time does nothing."""
        if not self._closed:
            self._closed = True
            self.interfaces.close()
            if self.sock.fileno() >= 0:  # else this is a fork of the program that has it
                self._last_drops = kernel_drops(self.sock)
            self.sock.close()
