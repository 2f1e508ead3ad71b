"""A socket of a fake network, with the methods of real sockets that the endpoint and the portable backend use."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..datagram import Address, PacketInfo, SocketOptions
from ..datagram.backend.ancillary import Control, read_control
from ..datagram.backend.watch import Callback
from .control import arrival, port_unreachable
from .fake_watch import FakeWatch
from .hosts import LOOPBACKS, WILDCARDS, Place, as_address

if TYPE_CHECKING:
    from .traffic import Traffic

DEFAULT_BUFFER = 106_496
"""Default size of a receive buffer in bytes: half of Linux' rmem_default."""

_OVERHEAD = 704
"""Bytes that a datagram uses of the buffer beside its payload: on Linux, 64 bytes use 768."""

_LONGEST = {socket.AF_INET: 65507, socket.AF_INET6: 65527}
_WHOLE = ("do", "probe")
"""Values of `mtu_discovery` that forbid fragments."""

_SO_MEMINFO, _DROPS = 55, 8  # as in datagram/sockets/kernel.py
_TRUNC = getattr(socket, "MSG_TRUNC", 0x20)
_ERRQUEUE = getattr(socket, "MSG_ERRQUEUE", 0x2000)


class Arrived(NamedTuple):
    """A datagram in a receive buffer. `local` is the host that it came to, `info` the info that it was sent with."""

    data: bytes
    source: Address
    local: str
    info: PacketInfo | None
    time: int


class FakeSocket:
    """A bound UDP socket, whose datagrams are carried by `traffic`. Non-blocking; sending never has to wait.

    drops: number of datagrams dropped because the receive buffer was full.
    reports: its error queue, as `recvmsg` returns it.
    """

    type = socket.SOCK_DGRAM

    def __init__(self, traffic: Traffic, family: int, address: Address, options: SocketOptions) -> None:
        self.traffic = traffic
        self.family = family
        self.drops = 0
        self.closed = False
        self.reports: deque[tuple[bytes, Control, int, Address]] = deque()
        self._address = address
        self._options = options
        self._peer: Address | None = None
        self._reached_at: dict[Place, str] = {}
        self._room = 2 * (options.receive_buffer or DEFAULT_BUFFER)
        self._used = 0
        self._waiting: deque[Arrived] = deque()
        self._error: OSError | None = None
        self._watch = FakeWatch(self, None)

    def __repr__(self) -> str:
        return f"FakeSocket({self._address})"

    def fileno(self) -> int:
        """Returns -1: the system does not know this socket."""
        return -1

    def getsockname(self) -> Address:
        return self._address

    def getpeername(self) -> Address:
        if self._peer is None:
            raise _error(errno.ENOTCONN)
        return self._peer

    def getsockopt(self, level: int, option: int, length: int = 0) -> Any:
        """Returns the sizes of the buffers, in the unit of this system, the drops, or the pending error."""
        if (level, option) == (socket.SOL_SOCKET, socket.SO_RCVBUF):
            return self._room if sys.platform == "linux" else self._room // 2
        if (level, option) == (socket.SOL_SOCKET, socket.SO_SNDBUF):
            return 2 * DEFAULT_BUFFER if sys.platform == "linux" else DEFAULT_BUFFER
        if (level, option, length) == (socket.SOL_SOCKET, _SO_MEMINFO, 36):
            return struct.pack("9I", *[0] * _DROPS, self.drops)
        if (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR):
            error, self._error = self._error, None
            return 0 if error is None else error.errno
        raise _error(errno.ENOPROTOOPT)

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        raise _error(errno.ENOPROTOOPT)

    def watch(self, on_error: Callback | None) -> FakeWatch:
        """Returns a new watch, which calls when the socket can be read."""
        self._watch = FakeWatch(self, on_error)
        return self._watch

    def close(self) -> None:
        """Frees the address and drops waiting datagrams. A second call does nothing."""
        if not self.closed:
            self.closed = True
            self._waiting.clear()
            self.reports.clear()
            self._watch.close()
            self.traffic.sockets.release(self._address)

    def _check(self) -> None:
        """Raises an error if the socket is closed; raises the pending error of an earlier datagram once."""
        if self.closed:
            raise _error(errno.EBADF)
        error, self._error = self._error, None
        if error is not None:
            raise error

    # --- sending ------------------------------------------------------------------------------------------

    def connect(self, address: Address) -> None:
        """Connects the socket: it receives only from this peer, and reports a port without a socket as an error. A
        socket bound to all addresses is then bound to one."""
        self._peer = self.traffic.destination(self.family, address)
        before, self._address = self._address, self.speaks_as(self._peer, None)
        self.traffic.sockets.move(before, self._address)

    def sendto(self, data: Any, address: Address) -> int:
        """Sends a datagram. Raises `OSError` like the system."""
        return self._send(data, address, None)

    def send(self, data: Any) -> int:
        """Sends like `sendto`, to the connected peer."""
        return self._send(data, self._peer, None)

    def sendmsg(self, buffers: Sequence[Any], control: Control = [], flags: int = 0, address: Any = None) -> int:  # noqa: B006
        (data,) = buffers
        return self._send(data, self._peer if address is None else address, read_control(control))

    def _send(self, data: Any, address: Address | None, info: PacketInfo | None) -> int:
        self._check()
        if address is None:
            raise _error(errno.EDESTADDRREQ)
        with memoryview(data) as view:
            if not view.c_contiguous:
                raise BufferError("the buffer is not contiguous")
            payload = bytes(view)
        if address[1] == 0:
            raise _error(errno.EINVAL)
        if len(payload) > _LONGEST[socket.AddressFamily(self.family)]:
            raise _error(errno.EMSGSIZE)
        destination = self.traffic.destination(self.family, address)
        source = self.speaks_as(destination, info)
        if self._options.mtu_discovery in _WHOLE and self.traffic.fragments(source, destination, len(payload)) > 1:
            raise _error(errno.EMSGSIZE)
        self.traffic.carry(self, payload, source, destination, self._with_defaults(info))
        return len(payload)

    def _with_defaults(self, info: PacketInfo | None) -> PacketInfo | None:
        """Returns the info to send a datagram with; the socket's options fill fields that `info` leaves open."""
        tos, ttl = self._options.tos, self._options.ttl
        if tos is None and ttl is None:
            return info
        if info is not None:
            tos, ttl = tos if info.tos is None else info.tos, ttl if info.ttl is None else info.ttl
        return PacketInfo(tos=tos, ttl=ttl)

    def speaks_as(self, destination: Address, info: PacketInfo | None) -> Address:
        """Returns the source address of datagrams to `destination`. A socket bound to all addresses answers from the
        address at which the peer has reached it, and otherwise sends from the loopback address."""
        family = self.family
        host = self._address[0]
        if info is not None and info.local is not None:
            host = info.local
        elif host == WILDCARDS[family]:
            host = self._reached_at.get((destination[0], destination[1]), LOOPBACKS[family])
        return as_address(family, host, self._address[1], self._address)

    # --- receiving ----------------------------------------------------------------------------------------

    @property
    def has_error(self) -> bool:
        """True if an ICMP error is pending: in the error queue, or for the next read or send."""
        return bool(self.reports) or self._error is not None

    @property
    def readable(self) -> bool:
        """True if `take` would return a datagram or raise a pending error."""
        return bool(self._waiting) or self._error is not None

    def take(self) -> Arrived:
        """Returns the next datagram. Raises `BlockingIOError` if none is waiting."""
        self._check()
        if not self._waiting:
            raise _error(errno.EAGAIN)
        arrived = self._waiting.popleft()
        self._used -= len(arrived.data) + _OVERHEAD
        return arrived

    def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, Address]:
        """Receives into `buffer`. With MSG_TRUNC, returns the datagram's own length, as on Linux."""
        arrived = self.take()
        length = _copy(arrived.data, buffer)
        return (len(arrived.data) if flags & _TRUNC else length), arrived.source

    def recvmsg_into(self, buffers: Sequence[Any], room: int = 0, flags: int = 0) -> tuple[int, Control, int, Address]:
        (buffer,) = buffers
        arrived = self.take()
        length = _copy(arrived.data, buffer)
        control = arrival(self._options, arrived.source, arrived.local, arrived.info, arrived.time) if room else []
        return length, control, _TRUNC if length < len(arrived.data) else 0, arrived.source

    def recvmsg(self, size: int, room: int = 0, flags: int = 0) -> tuple[bytes, Control, int, Address]:
        """Returns the next report of the error queue. Other uses are not supported."""
        if self.closed or not flags & _ERRQUEUE:
            raise _error(errno.EBADF if self.closed else errno.EOPNOTSUPP)
        if not self.reports:
            raise _error(errno.EAGAIN)
        return self.reports.popleft()

    def hears(self, source: Address) -> bool:
        """Returns False if the socket is connected to another peer."""
        return self._peer is None or self._peer[:2] == source[:2]

    def put(self, arrived: Arrived) -> bool:
        """Puts an arrived datagram into the receive buffer. Returns False if there is no room."""
        cost = len(arrived.data) + _OVERHEAD
        if self._waiting and self._used + cost > self._room:
            self.drops += 1
            return False
        self._used += cost
        self._waiting.append(arrived)
        if self._address[0] == WILDCARDS[self.family]:
            self._reached_at[arrived.source[0], arrived.source[1]] = arrived.local
        self._watch.wake()
        return True

    def refuse(self, data: bytes, destination: Address) -> None:
        """Reports that a datagram sent from here has found no socket at its destination."""
        if self.closed:
            return
        if self._options.error_queue:
            self.reports.append((data, port_unreachable(self.family, destination[0]), _ERRQUEUE, destination))
        elif self._peer is not None:
            self._error = _error(errno.ECONNREFUSED)
        self._watch.wake()


def _copy(data: bytes, buffer: Any) -> int:
    with memoryview(buffer) as view, view.cast("B") as flat:
        length = min(len(data), flat.nbytes)
        flat[:length] = data[:length]
    return length


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
