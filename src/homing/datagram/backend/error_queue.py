"""The error queue of a socket: ICMP errors, each with the datagram that it is about. Linux: ip(7) IP_RECVERR.

Traps, measured on Linux 6.18:
- An ICMP error also becomes the socket's pending error: the next send, to whomever, fails with it, and sends nothing.
  The same goes for the next read. So neither tells anything about what it was asked for: see `is_stale`.
- The queue is charged to the receive buffer: as long as it is full, no datagram is received. So it is read also while
  reading is paused: see `watch.EpollWatch`.
- What the system refuses while sending (EMSGSIZE) is told twice, by the send itself and in the queue with the length
  that the path takes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import sys
from collections.abc import Callable

from ..address import canonical, canonical_host
from ..failures import MessageUDPError
from ..sockets.icmp_errors import IP_RECVERR, IPV6_RECVERR

_REPORTS = {(socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)}

# struct sock_extended_err, linux/include/uapi/linux/errqueue.h: u32 errno, u8 origin, type, code, pad, u32 info, data
_EXTENDED = struct.Struct("=IBBBxII")
_LOCAL = 1
_ICMP = {2: "icmp", 3: "icmp6"}

PORTION = 64
"""Errors that are read at a stretch when they wake the loop: as many as datagrams. Before a send all are read."""

_ALL = 4096
"""Errors that are read before a send at most: more than a receive buffer of 2 MiB holds. A flood of forged ones must
not block the loop."""

_MOST_TRIES = 8
"""Sends of one datagram at most, while other datagrams' errors keep coming."""

_QUOTED = 2048
"""Bytes of a datagram that are kept: Linux quotes 576 at most by ICMP, 1280 by ICMPv6."""

_MTUS = 64
"""Hosts of which a length that was too long is remembered until the failed send is reported."""

FROM_AFAR = frozenset(
    {
        errno.ECONNREFUSED,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.EMSGSIZE,
        errno.EACCES,
        errno.ENOPROTOOPT,
        errno.EOPNOTSUPP,
        errno.EPROTO,
        getattr(errno, "EHOSTDOWN", errno.EHOSTUNREACH),
        getattr(errno, "ENONET", errno.EHOSTUNREACH),
    }
)
"""The errnos that ICMP errors become: icmp_err_convert of Linux' net/ipv4/icmp.c, icmpv6_err_convert of
net/ipv6/icmp.c."""


class ErrorQueue:
    """Reads the error queue of `sock`, connected or not.

    counts: ICMP errors by errno's name.
    on_error: gets each as a `MessageUDPError` whose `id` is None. Must not raise.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.counts: dict[str, int] = {}
        self.on_error: Callable[[MessageUDPError], None] | None = None
        self._mtus: dict[str, int] = {}

    def woken(self) -> None:
        """The socket has an error. Reads a portion; the rest wakes the loop again."""
        count, _ = self._read(PORTION)
        if not count:
            # It was reported already, or the queue had no room for the report: it must not wake the loop for ever.
            with contextlib.suppress(OSError):
                self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def is_stale(self, error: OSError) -> bool:
        """True if reading failed because of a datagram that was sent before; that one is reported here."""
        if error.errno not in FROM_AFAR:
            return False
        self._read(PORTION)
        return True

    def retry(self, number: int, tries: int) -> bool:
        """Reports all queued errors, after a send has failed with the errno `number`, and `tries` tries before. True if
        it is to be tried once more: it may have failed for another datagram's error."""
        if number not in FROM_AFAR:
            return False
        _, from_afar = self._read(_ALL)
        return tries < _MOST_TRIES and (tries == 0 or from_afar > 0)

    def mtu(self, host: str) -> int | None:
        """The longest packet that the path to `host` takes, where a send to it was just refused for that."""
        return self._mtus.pop(canonical_host(host), None)

    def _read(self, most: int) -> tuple[int, int]:
        """Reads up to `most` errors. Returns how many there were, and how many of them came by ICMP."""
        count = from_afar = 0
        while count < most:
            try:
                data, ancillary, _, addr = self._sock.recvmsg(_QUOTED, 512, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
            except OSError:
                break  # nothing more; or the socket is gone, which reading it will tell
            count += 1
            for level, kind, report in ancillary:
                if (level, kind) in _REPORTS and isinstance(addr, tuple) and isinstance(addr[0], str):
                    from_afar += self._take(addr, data, report)
        return count, from_afar

    def _take(self, addr: tuple[object, ...], data: bytes, report: bytes) -> bool:
        """Takes one report. True if it came by ICMP. Skips one that is shorter than it should be (MSG_CTRUNC)."""
        if len(report) < _EXTENDED.size:
            return False
        number, origin, kind, code, info, _ = _EXTENDED.unpack_from(report)
        mtu = info if number == errno.EMSGSIZE and info else None
        addr = canonical(addr)
        if origin == _LOCAL and mtu is not None:
            if len(self._mtus) >= _MTUS:
                self._mtus.clear()
            self._mtus[str(addr[0])] = mtu
        if origin not in _ICMP:
            return False
        name = errno.errorcode.get(number, str(number))
        self.counts[name] = self.counts.get(name, 0) + 1
        if self.on_error is not None:
            error = OSError(number, os.strerror(number))
            offender = _host_of(report[_EXTENDED.size :])
            self.on_error(MessageUDPError(None, addr, number, data, error, _ICMP[origin], kind, code, offender, mtu))
        return True


def _host_of(raw: bytes) -> str | None:
    """The host of a `struct sockaddr`, as text."""
    family = int.from_bytes(raw[:2], sys.byteorder)
    if family == socket.AF_INET and len(raw) >= 8:
        return socket.inet_ntop(family, raw[4:8])
    if family == socket.AF_INET6 and len(raw) >= 24:
        return socket.inet_ntop(family, raw[8:24])
    return None
