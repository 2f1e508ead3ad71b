"""A bound socket with its state in the kernel: granted buffers, interfaces and groups, dropped datagrams."""

from __future__ import annotations

import socket

from .bpf import Program, has_filter
from .inherited import lender_of
from .interfaces import Interfaces
from .kernel import bytes_taken, granted_buffer, kernel_drops
from .multicast import MulticastGroup


class KernelSocket:
    """One bound socket, from its binding to its end.

    family: AF_INET, AF_INET6 or AF_UNIX.
    interfaces: its multicast groups, and the interfaces that it was set to use.
    bpf, steering: programs attached to it.
    receive_buffer, send_buffer: bytes that the kernel has granted.
    """

    def __init__(
        self,
        sock: socket.socket,
        groups: tuple[MulticastGroup, ...] = (),
        multicast_interface: str | int = "",
        bind_device: str = "",
        bpf: Program | None = None,
        steering: str | Program | None = None,
    ) -> None:
        self.sock = sock
        self.family = int(sock.family)
        lender = lender_of(sock)
        self._shared = lender is not None and lender.shared
        self.interfaces = Interfaces(sock, groups, multicast_interface, bind_device, held_back=self._shared)
        self.bpf = bpf
        self.steering = steering
        self._read_buffers()
        self._closed = False
        self._others = 0 if lender is None else lender.counted
        self._total: int | None = None
        self._frozen = False
        if lender is not None and self._shared:
            lender.held_back.append(self._take_effect)

    def _read_buffers(self) -> None:
        self.receive_buffer = granted_buffer(self.sock, socket.SO_RCVBUF)
        self.send_buffer = granted_buffer(self.sock, socket.SO_SNDBUF)

    def _take_effect(self) -> None:
        """Makes postponed changes, once the other program with the socket has stopped reading. Raises `BadOption`."""
        self.interfaces.take_effect()
        self._read_buffers()
        self._shared = False
        lender = lender_of(self.sock)
        self._others = 0 if lender is None else lender.counted

    @property
    def drops(self) -> int | None:
        """Datagrams that the kernel dropped at this socket, closed or not, except those that previous users have
        counted; None if the system does not report it."""
        total = self.total_drops()
        if total is None:
            return None
        return 0 if self._shared else max(0, total - self._others)

    def total_drops(self) -> int | None:
        """Returns how many datagrams the kernel has dropped since the socket was made, until `close` or `freeze`; None
        if the system does not report it."""
        if not self._closed and not self._frozen:
            self._total = kernel_drops(self.sock)
        return self._total

    @property
    def waiting(self) -> int | None:
        """Bytes of the receive buffer that are used, with the kernel's own overhead; None if the system does not report
        it."""
        return bytes_taken(self.sock)

    def freeze(self, frozen: bool) -> None:
        """Stops the count of drops if `frozen`, because another program counts from now on; otherwise resumes it."""
        self.total_drops()
        self._frozen = frozen

    @property
    def runs_programs(self) -> bool:
        """True if the kernel runs a program on datagrams. For joined datagrams it would run only once."""
        return has_filter(self.sock) or isinstance(self.steering, tuple)

    @property
    def filter_is_known(self) -> bool:
        """False if the socket has a filter that another program has attached."""
        return self.bpf is not None or not has_filter(self.sock)

    def close(self) -> None:
        """Closes the socket. A second call does nothing."""
        if not self._closed:
            total = self.total_drops() if self.sock.fileno() >= 0 else None  # else this is a fork of the program
            self._closed = True
            self.interfaces.close()
            lender = lender_of(self.sock)
            if lender is not None and total is not None and not self._shared:
                lender.counted = total  # the next user counts from here
            self.sock.close()
