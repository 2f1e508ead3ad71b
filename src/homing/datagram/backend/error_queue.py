"""The error queue of a socket: ICMP errors, each with the datagram that caused it. Linux: ip(7) IP_RECVERR.

Traps, measured on Linux 6.18:
- An ICMP error also becomes the socket's pending error: the next send, to any peer, fails with it and sends nothing; so
  does the next read. Such an error says nothing about that send or read: see `is_stale`.
- The queue is charged to the receive buffer: while it is full, no datagram is received. So it is also read while
  reading is paused: see `watch.ErrorWatch`.
- A datagram that the system refuses to send (EMSGSIZE) is reported twice: by the send itself, and in the queue together
  with the path MTU.
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
"""Most errors read at once when they wake the loop: as many as datagrams. After a failed send, all are read."""

_ALL = 4096
"""Most errors read after a failed send: more than a receive buffer of 2 MiB holds. A flood of forged errors must not
block the loop."""

_MOST_TRIES = 8
"""Most tries to send one datagram while other datagrams' errors keep coming."""

_QUOTED = 2048
"""Bytes kept of a quoted datagram: Linux quotes at most 576 by ICMP, 1280 by ICMPv6."""

_MTUS = 64
"""Most hosts whose path MTU is stored until the failed send is reported."""

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
"""The errnos to which Linux maps ICMP errors: icmp_err_convert in net/ipv4/icmp.c, icmpv6_err_convert in
net/ipv6/icmp.c."""


class ErrorQueue:
    """Reads the error queue of `sock`, connected or not.

    counts: ICMP errors by errno's name.
    on_error: called with a `MessageUDPError` for each, whose `id` is None. Must not raise.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.counts: dict[str, int] = {}
        self.on_error: Callable[[MessageUDPError], None] | None = None
        self._mtus: dict[str, int] = {}

    def woken(self) -> None:
        """Called when the socket has an error. Reads a portion of the queue; if more are queued, this is called
        again."""
        count, _ = self._read(PORTION)
        if not count:
            # The error was already reported, or the queue had no room for it: clear it, or it wakes the loop forever.
            with contextlib.suppress(OSError):
                self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def is_stale(self, error: OSError) -> bool:
        """Returns True if a read failed because of a datagram sent earlier, whose error is then reported."""
        if error.errno not in FROM_AFAR:
            return False
        self._read(PORTION)
        return True

    def retry(self, number: int, tries: int) -> bool:
        """Reports all queued errors after a send has failed with the errno `number`, following `tries` retries. Returns
        True to send again: the failure may come from another datagram's error."""
        if number not in FROM_AFAR:
            return False
        _, from_afar = self._read(_ALL)
        return tries < _MOST_TRIES and (tries == 0 or from_afar > 0)

    def mtu(self, host: str) -> int | None:
        """Returns the path MTU to `host`, if a send to it was just refused as too long."""
        return self._mtus.pop(canonical_host(host), None)

    def _read(self, most: int) -> tuple[int, int]:
        """Reads up to `most` errors. Returns how many it read, and how many of these came by ICMP."""
        count = from_afar = 0
        while count < most:
            try:
                data, ancillary, _, addr = self._sock.recvmsg(_QUOTED, 512, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
            except OSError:
                break  # the queue is empty; or the socket is closed, which the next read reports
            count += 1
            for level, kind, report in ancillary:
                if (level, kind) in _REPORTS and isinstance(addr, tuple) and isinstance(addr[0], str):
                    from_afar += self._take(addr, data, report)
        return count, from_afar

    def _take(self, addr: tuple[object, ...], data: bytes, report: bytes) -> bool:
        """Handles one report. Returns True if it came by ICMP. Skips a truncated report (MSG_CTRUNC)."""
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
    """Returns the host of a `struct sockaddr`, as text."""
    family = int.from_bytes(raw[:2], sys.byteorder)
    if family == socket.AF_INET and len(raw) >= 8:
        return socket.inet_ntop(family, raw[4:8])
    if family == socket.AF_INET6 and len(raw) >= 24:
        return socket.inet_ntop(family, raw[8:24])
    return None
