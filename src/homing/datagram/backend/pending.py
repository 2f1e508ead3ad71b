"""The pending error of a connected socket: with it the system reports the ICMP error of an earlier datagram.

It is reported once, to whatever comes first: reading, or the next send, which then fails for nothing. Linux reports a
port or a protocol that the peer does not have, a firewall that refuses, and a datagram that is too long for the path;
that a host or a network cannot be reached is reported only in an error queue.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable

from ..failures import MessageUDPError
from .error_queue import FROM_AFAR

# linux/include/uapi/linux/in.h, in6.h
_IP_MTU = 14
_IPV6_MTU = 24


class PendingErrors:
    """Separates the errors that the peer of `sock` has caused from those of a send itself. As `ErrorQueue`, for a
    connected socket that has no error queue.

    counts: errors by errno's name.
    on_error: gets each as a `MessageUDPError`, whose `data` is empty: it is not known which datagram it is about. Must
        not raise.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._peer = sock.getpeername()
        self._suspect = 0
        self.counts: dict[str, int] = {}
        self.on_error: Callable[[MessageUDPError], None] | None = None

    def woken(self) -> None:
        """The socket has an error."""
        number = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._tell(number)

    def is_stale(self, error: OSError) -> bool:
        """True if reading failed because of a datagram that was sent before; that one is reported here."""
        if error.errno is None or error.errno not in FROM_AFAR:
            return False
        self._tell(error.errno)
        return True

    def retry(self, number: int, tries: int) -> bool:
        """True if a send that has failed with the errno `number` is to be tried once more: if that succeeds, or fails
        with another error, this was the pending error (`settle`)."""
        if tries == 0:
            self.settle()
            self._suspect = number if number in FROM_AFAR else 0
            return self._suspect > 0
        if number == self._suspect:
            self._suspect = 0
        self.settle()
        return False

    def settle(self) -> None:
        """Ends the tries: the error of a send that succeeded the second time is reported."""
        number, self._suspect = self._suspect, 0
        if number:
            self._tell(number)

    def mtu(self, host: str) -> int | None:
        """The longest packet that the path to the peer takes, as far as the system knows."""
        ipv6 = self._sock.family == socket.AF_INET6
        level, option = (socket.IPPROTO_IPV6, _IPV6_MTU) if ipv6 else (socket.IPPROTO_IP, _IP_MTU)
        try:
            return int(self._sock.getsockopt(level, option))
        except OSError:
            return None

    def _tell(self, number: int) -> None:
        name = errno.errorcode.get(number, str(number))
        self.counts[name] = self.counts.get(name, 0) + 1
        if self.on_error is not None:
            error = OSError(number, os.strerror(number))
            origin = "icmp6" if self._sock.family == socket.AF_INET6 else "icmp"
            mtu = self.mtu("") if number == errno.EMSGSIZE else None
            self.on_error(MessageUDPError(None, self._peer, number, b"", error, origin, mtu=mtu))
