"""The pending error of a connected socket, by which the system reports the ICMP error of an earlier datagram.

It is reported once, to the next read or the next send, which then fails without a reason of its own. Linux reports in
this way a port or protocol that the peer does not have, a firewall's refusal, and a datagram too long for the path; an
unreachable host or network is reported only in an error queue.
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
    """Separates ICMP errors from the errors of a send itself. Like `ErrorQueue`, for a connected socket `sock` without
    an error queue.

    counts: errors by errno's name.
    on_error: called with a `MessageUDPError` for each, whose `data` is empty: the datagram is not known. Must not
        raise.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._peer = sock.getpeername()
        self._suspect = 0
        self.counts: dict[str, int] = {}
        self.on_error: Callable[[MessageUDPError], None] | None = None

    def woken(self) -> None:
        """Called when the socket has an error."""
        number = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._tell(number)

    def is_stale(self, error: OSError) -> bool:
        """Returns True if a read failed because of a datagram sent earlier, whose error is then reported."""
        if error.errno is None or error.errno not in FROM_AFAR:
            return False
        self._tell(error.errno)
        return True

    def retry(self, number: int, tries: int) -> bool:
        """Returns True to repeat a send that failed with the errno `number`: if the second try succeeds, or fails with
        another error, the first error was the pending one (`settle`)."""
        if tries == 0:
            self.settle()
            self._suspect = number if number in FROM_AFAR else 0
            return self._suspect > 0
        if number == self._suspect:
            self._suspect = 0
        self.settle()
        return False

    def settle(self) -> None:
        """Ends the tries: if the second try succeeded, the error of the first is reported."""
        number, self._suspect = self._suspect, 0
        if number:
            self._tell(number)

    def mtu(self, host: str) -> int | None:
        """Returns the path MTU to the peer, as far as the system knows it."""
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
