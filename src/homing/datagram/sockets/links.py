"""Events of the network interfaces that a socket can use, and the routes there: rtnetlink(7). Linux."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import sys

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

_ROOM = 65536
_AT_A_STRETCH = 64
"""Reads at most that one call makes: where many interfaces come and go, the loop calls again."""


def open_links(sock: socket.socket) -> Links | None:
    """Begins to watch the interfaces of the network namespace of `sock`. Returns None if the system does not allow it:
    another system than Linux, a sandbox without netlink, another namespace that may not be entered."""
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
    """The interfaces of one network namespace.

    ended: indices of interfaces that have ended since they were last asked for; None: perhaps all have, as some events
        were lost.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sequence = 0
        self._routes = False
        self._ended: set[int] | None = set()

    def fileno(self) -> int:
        """The descriptor that is readable when there are events."""
        return self._sock.fileno()

    def close(self) -> None:
        """Watches no more."""
        self._sock.close()

    def take_ended(self) -> set[int] | None:
        """Returns the indices of the interfaces that have ended since the last call; None if events were lost, so that
        any of them may have."""
        for _ in range(_AT_A_STRETCH):
            if self._read() is None:
                break
        ended, self._ended = self._ended, set()
        return ended

    def watch_routes(self, watching: bool) -> None:
        """True: changes of routes are events as well."""
        if watching != self._routes:
            self._routes = watching
            option = _NETLINK_ADD_MEMBERSHIP if watching else _NETLINK_DROP_MEMBERSHIP
            for group in _RTNLGRP_ROUTES:
                with contextlib.suppress(OSError):  # a kernel without IPv6
                    self._sock.setsockopt(_SOL_NETLINK, option, group)

    def route_to(self, host: str) -> int:
        """Returns the index of the interface that the route to a numeric address leads to; 0 if there is none."""
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
            pass  # events that came before the answer, which the kernel gives while it is asked
        return 0 if answer is None else _outgoing(answer)

    def _read(self, sequence: int = -1) -> bytes | None:
        """Reads once. Returns the answer of that sequence number, b"" if there is none, and None if there is nothing to
        read."""
        try:
            data = self._sock.recv(_ROOM)
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                self._ended = None
                return b""
            return None
        answer = b""
        while len(data) >= _NLMSGHDR.size:
            size, kind, _, number, _ = _NLMSGHDR.unpack_from(data)
            if size < _NLMSGHDR.size:
                break
            if number == sequence:
                answer = data[:size]
            elif kind == _RTM_DELLINK:
                self._note_end(data[_NLMSGHDR.size : size])
            data = data[(size + 3) & ~3 :]
        return answer

    def _note_end(self, body: bytes) -> None:
        family, _, index, _, _ = _IFINFOMSG.unpack_from(body)
        if family == socket.AF_UNSPEC and self._ended is not None:  # of AF_BRIDGE: it has left a bridge
            self._ended.add(index)


def _outgoing(answer: bytes) -> int:
    """The index of the interface, of an answer to RTM_GETROUTE."""
    _, kind, _, _, _ = _NLMSGHDR.unpack_from(answer)
    if kind != _RTM_NEWROUTE:
        return 0  # NLMSG_ERROR: there is no route
    place = _NLMSGHDR.size + _RTMSG.size
    while place + _RTATTR.size <= len(answer):
        size, name = _RTATTR.unpack_from(answer, place)
        if size < _RTATTR.size:
            break
        if name == _RTA_OIF:
            return int.from_bytes(answer[place + _RTATTR.size : place + size], sys.byteorder)
        place += (size + 3) & ~3
    return 0
