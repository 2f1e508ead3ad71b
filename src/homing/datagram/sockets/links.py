"""The network interfaces that a socket can use: their events, addresses and routes. Linux: rtnetlink(7)."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import sys
from collections.abc import Iterator

from ...gen import BadOption
from .forks import close_in_forks
from .namespace import in_network_of

# linux/include/uapi/linux/netlink.h, rtnetlink.h, if_link.h
_NLMSGHDR = struct.Struct("=IHHII")
_NLM_F_REQUEST = 1
_RTMGRP_LINK = 1
_RTNLGRP_ROUTES = (7, 11)  # RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE
_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, _NETLINK_DROP_MEMBERSHIP = 270, 1, 2
_RTM_DELLINK = 17
_RTM_NEWROUTE, _RTM_GETROUTE = 24, 26
_IFINFOMSG = struct.Struct("=BxHiII")
_RTMSG = struct.Struct("=8BI")
_RTATTR = struct.Struct("=HH")
_RTA_DST, _RTA_OIF = 1, 4
_NLM_F_DUMP = 0x300
_RTM_NEWADDR, _RTM_GETADDR = 20, 22
_IFADDRMSG = struct.Struct("=BxxxI")
_IFA_ADDRESS, _IFA_LOCAL = 1, 2

_NO_ROUTE = b"none"
_ROOM = 65536
_AT_A_STRETCH = 64
"""Most reads that one call makes: while many interfaces come and go, the loop calls again."""


def open_links(sock: socket.socket) -> Links | None:
    """Starts watching the interfaces of the network namespace of `sock`. Returns None if that is not possible: not on
    Linux, a sandbox without netlink, or another namespace without permission to enter it."""
    if sys.platform != "linux":
        return None
    try:
        return Links(in_network_of(sock, _open))
    except (OSError, BadOption):
        return None


def _open() -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
    links = close_in_forks(socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE), socket.socket.close)
    try:
        links.bind((0, _RTMGRP_LINK))
    except BaseException:
        links.close()
        raise
    return links


class Links:
    """The interfaces of one network namespace, and their events."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sequence = 0
        self._routes = False
        self._ended: set[int] | None = set()

    def fileno(self) -> int:
        """Returns the descriptor that is readable when there are events."""
        return self._sock.fileno()

    def close(self) -> None:
        """Stops watching."""
        self._sock.close()

    def take_ended(self) -> set[int] | None:
        """Returns the indices of the interfaces removed since the last call; None if events were lost, so that any
        interface may have been removed."""
        for _ in range(_AT_A_STRETCH):
            if self._read() is None:
                break
        ended, self._ended = self._ended, set()
        return ended

    def watch_routes(self, watching: bool) -> None:
        """Turns events for changes of routes on or off."""
        if watching != self._routes:
            self._routes = watching
            option = _NETLINK_ADD_MEMBERSHIP if watching else _NETLINK_DROP_MEMBERSHIP
            for group in _RTNLGRP_ROUTES:
                with contextlib.suppress(OSError):  # a kernel without IPv6
                    self._sock.setsockopt(_SOL_NETLINK, option, group)

    def route_to(self, host: str) -> int:
        """Returns the index of the interface of the route to a numeric address; 0 if there is no route."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        packed = socket.inet_pton(family, host)
        attribute = _RTATTR.pack(_RTATTR.size + len(packed), _RTA_DST) + packed
        body = _RTMSG.pack(family, len(packed) * 8, 0, 0, 0, 0, 0, 0, 0) + attribute
        self._sequence += 1
        size = _NLMSGHDR.size + len(body)
        try:
            self._sock.send(_NLMSGHDR.pack(size, _RTM_GETROUTE, _NLM_F_REQUEST, self._sequence, 0) + body)
        except OSError:
            return 0
        while (answer := self._read(self._sequence)) == b"":
            pass  # events from before the answer, which the kernel queues during `send`
        route = b"" if answer is None else answer[_RTMSG.size :]
        return int.from_bytes(dict(_attributes(route)).get(_RTA_OIF, b""), sys.byteorder)

    def _read(self, sequence: int = -1) -> bytes | None:
        """Reads once. Returns the body of the answer with that sequence number, b"" if the answer was not read, and
        None if no message is waiting."""
        try:
            data = self._sock.recv(_ROOM)
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                self._ended = None
                return b""
            return None
        answer = b""
        for kind, number, body in _messages(data):
            if number == sequence:
                answer = body if kind == _RTM_NEWROUTE else _NO_ROUTE
            elif kind == _RTM_DELLINK:
                self._note_end(body)
        return answer

    def _note_end(self, body: bytes) -> None:
        family, _, index, _, _ = _IFINFOMSG.unpack_from(body)
        if family == socket.AF_UNSPEC and self._ended is not None:  # AF_BRIDGE: it has left a bridge
            self._ended.add(index)


def local_addresses(sock: socket.socket) -> frozenset[tuple[bytes, int]]:
    """Returns the addresses of the interfaces in the network namespace of `sock`, packed, each with the index of its
    interface. (127.0.0.0/8 has more.) An empty set if the system does not report them."""
    if sys.platform != "linux":
        return frozenset()
    try:
        return in_network_of(sock, _addresses)
    except (OSError, BadOption):
        return frozenset()


def _addresses() -> frozenset[tuple[bytes, int]]:
    found: set[tuple[bytes, int]] = set()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as links:
        links.settimeout(1.0)
        body = _IFADDRMSG.pack(socket.AF_UNSPEC, 0)
        links.send(_NLMSGHDR.pack(_NLMSGHDR.size + len(body), _RTM_GETADDR, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0) + body)
        while True:
            for kind, _, message in _messages(links.recv(_ROOM)):
                if kind != _RTM_NEWADDR:
                    return frozenset(found)  # NLMSG_DONE, or NLMSG_ERROR
                _, index = _IFADDRMSG.unpack_from(message)
                values = dict(_attributes(message[_IFADDRMSG.size :]))
                found.add((values.get(_IFA_LOCAL) or values.get(_IFA_ADDRESS, b""), index))


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yields the messages of a read: kind, sequence number, body."""
    while len(data) >= _NLMSGHDR.size:
        size, kind, _, number, _ = _NLMSGHDR.unpack_from(data)
        if size < _NLMSGHDR.size:
            break
        yield kind, number, data[_NLMSGHDR.size : size]
        data = data[(size + 3) & ~3 :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields the attributes of a message: name, value."""
    while len(data) >= _RTATTR.size:
        size, name = _RTATTR.unpack_from(data)
        if size < _RTATTR.size:
            break
        yield name, data[_RTATTR.size : size]
        data = data[(size + 3) & ~3 :]
