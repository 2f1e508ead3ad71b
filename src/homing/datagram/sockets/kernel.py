"""Facts about a socket that the kernel reports: buffers it granted, datagrams it dropped because we were slow."""

from __future__ import annotations

import select
import socket
import struct
import sys

_SO_MEMINFO = 55  # linux/include/uapi/asm-generic/socket.h; the socket module does not name it
_MEMINFO = struct.Struct("9I")
_SO_NETNS_COOKIE = 71  # likewise
_SOL_UDP, _UDP_GRO = 17, 104  # linux/include/uapi/linux/udp.h; likewise
_TAKEN, _GRANTED, _DROPS = 0, 1, 8  # SK_MEMINFO_RMEM_ALLOC and others, linux/include/uapi/linux/sock_diag.h


def kernel_drops(sock: socket.socket) -> int | None:
    """Datagrams that the kernel dropped at this socket so far, its receive buffer being full. None: not Linux.

    SO_MEMINFO reports them at once; SO_RXQ_OVFL only with the next datagram, and so misses the tail of a burst.
    """
    if sys.platform != "linux":
        return None
    try:
        values = _MEMINFO.unpack(sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))
    except (OSError, struct.error):
        return None  # a kernel before 4.12
    return int(values[_DROPS])


def network_of(sock: socket.socket) -> int:
    """Returns a number that identifies the network namespace of `sock`; 0 if there is none (Linux before 5.14)."""
    try:
        told = sock.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8) if sys.platform == "linux" else b""
    except OSError:
        return 0
    return int.from_bytes(told, sys.byteorder)


def overflows(family: int) -> int | None:
    """Datagrams that found no room in the receive buffer of any socket of `family` in this network namespace; None: not
    Linux. `kernel_drops` is one socket's, but counts what its `bpf` refuses as well: of one socket, it tells the
    sum only."""
    name, prefix = ("snmp6", "Udp6RcvbufErrors") if family == socket.AF_INET6 else ("snmp", "Udp:")
    try:
        with open(f"/proc/thread-self/net/{name}") as table:
            rows = [line.split() for line in table if line.startswith(prefix)]
        return int(rows[0][1] if len(rows) == 1 else rows[1][rows[0].index("RcvbufErrors")])
    except (OSError, ValueError, IndexError):
        return None


def fullness(sock: socket.socket) -> float:
    """Returns the part of the receive buffer that is taken, 0 to 1; 0 if the system does not report it."""
    try:
        values = _MEMINFO.unpack(sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))
    except (OSError, struct.error):
        return 0.0
    return float(values[_TAKEN]) / max(1, int(values[_GRANTED]))


def granted_buffer(sock: socket.socket, option: int) -> int:
    """Bytes granted for SO_RCVBUF or SO_SNDBUF, in the unit in which they are asked for (Linux reports twice that)."""
    size = sock.getsockopt(socket.SOL_SOCKET, option)
    return size // 2 if sys.platform == "linux" else size


def joins_datagrams(sock: socket.socket) -> bool:
    """True if the kernel hands over trains of datagrams joined: a socket that was another program's may be set so."""
    try:
        return sys.platform == "linux" and sock.getsockopt(_SOL_UDP, _UDP_GRO) != 0
    except OSError:
        return False  # a kernel before 5.0, or no UDP socket


def stop_joining(sock: socket.socket) -> bool:
    """From here on, each datagram comes by itself. Returns False, and changes nothing, while datagrams wait: those that
    were joined before could not be told from single ones any more."""
    sock.setsockopt(_SOL_UDP, _UDP_GRO, 0)
    if not _has_datagrams(sock):
        return True
    sock.setsockopt(_SOL_UDP, _UDP_GRO, 1)
    return False


def _has_datagrams(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return any(events & select.POLLIN for _, events in poll.poll(0))


def join_no_datagrams(sock: socket.socket) -> None:
    """From here on, each datagram comes by itself."""
    if joins_datagrams(sock):
        sock.setsockopt(_SOL_UDP, _UDP_GRO, 0)
