"""Facts about a socket that the kernel reports: granted buffers, datagrams dropped because this program was slow."""

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
    """Returns how many datagrams the kernel has dropped at this socket because its receive buffer was full; None if not
    on Linux.

    SO_MEMINFO reports them at once; SO_RXQ_OVFL only with the next datagram, and so misses the end of a burst.
    """
    if sys.platform != "linux":
        return None
    try:
        values = _MEMINFO.unpack(sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))
    except (OSError, struct.error):
        return None  # a kernel before 4.12
    return int(values[_DROPS])


def network_of(sock: socket.socket) -> int:
    """Returns a number that identifies the network namespace of `sock`; 0 if not known (Linux before 5.14)."""
    try:
        told = sock.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8) if sys.platform == "linux" else b""
    except OSError:
        return 0
    return int.from_bytes(told, sys.byteorder)


def overflows(family: int) -> int | None:
    """Returns how many datagrams found no room in the receive buffers of the sockets of `family` in this network
    namespace; None if not on Linux. `kernel_drops` counts one socket, but includes the datagrams that its `bpf`
    refuses."""
    name, prefix = ("snmp6", "Udp6RcvbufErrors") if family == socket.AF_INET6 else ("snmp", "Udp:")
    try:
        with open(f"/proc/thread-self/net/{name}") as table:
            rows = [line.split() for line in table if line.startswith(prefix)]
        return int(rows[0][1] if len(rows) == 1 else rows[1][rows[0].index("RcvbufErrors")])
    except (OSError, ValueError, IndexError):
        return None


def fullness(sock: socket.socket) -> float:
    """Returns the used part of the receive buffer, 0 to 1; 0 if the system does not report it."""
    values = _memory(sock)
    return 0.0 if values is None else float(values[_TAKEN]) / max(1, int(values[_GRANTED]))


def bytes_taken(sock: socket.socket) -> int | None:
    """Returns how many bytes of the receive buffer are used: the datagrams that wait, with the kernel's own overhead.
    None if the system does not report it, or the socket is closed."""
    values = _memory(sock)
    return None if values is None else int(values[_TAKEN])


def _memory(sock: socket.socket) -> tuple[int, ...] | None:
    try:
        return _MEMINFO.unpack(sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))
    except (OSError, struct.error):
        return None


def granted_buffer(sock: socket.socket, option: int) -> int:
    """Returns the bytes granted for SO_RCVBUF or SO_SNDBUF, in the unit of setsockopt (Linux reports twice that)."""
    size = sock.getsockopt(socket.SOL_SOCKET, option)
    return size // 2 if sys.platform == "linux" else size


def joins_datagrams(sock: socket.socket) -> bool:
    """Returns True if the kernel delivers datagrams joined on this socket, as another program may have set it."""
    try:
        return sys.platform == "linux" and sock.getsockopt(_SOL_UDP, _UDP_GRO) != 0
    except OSError:
        return False  # a kernel before 5.0, or not a UDP socket


def stop_joining(sock: socket.socket) -> bool:
    """Makes the kernel deliver each datagram by itself. Returns False, and changes nothing, while datagrams wait: they
    may be joined, and could then no longer be split."""
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
    """Makes the kernel deliver each datagram by itself."""
    if joins_datagrams(sock):
        sock.setsockopt(_SOL_UDP, _UDP_GRO, 0)
