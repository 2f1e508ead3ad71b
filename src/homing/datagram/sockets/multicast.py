"""Joining and leaving multicast groups, by interface and by source. See ip(7), ipv6(7), RFC 3678."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import struct
import sys
from dataclasses import dataclass

from ...gen import BadOption, Request
from ...gen.options import set_integer
from ..address import canonical_host

_LINUX = sys.platform == "linux"
# linux/include/uapi/linux/in.h and in6.h
_MCAST_JOIN_GROUP = 42
_MCAST_LEAVE_GROUP = 45
_MCAST_JOIN_SOURCE_GROUP = 46
_MCAST_LEAVE_SOURCE_GROUP = 47
IP_MULTICAST_ALL = 49
IPV6_MULTICAST_ALL = 29

_SIOCGIFINDEX = 0x8933  # linux/include/uapi/linux/sockios.h
_IFNAMSIZ = 16
_IFREQ = struct.Struct(f"{_IFNAMSIZ}si20x")
"""struct ifreq, linux/include/uapi/linux/if.h."""

_STORAGE = 128
"""Bytes of a struct sockaddr_storage."""

_HINTS = {
    errno.ENODEV: "no interface has a route to it; name the interface",
    errno.EADDRNOTAVAIL: "there is no such interface, or it does not support multicast",
    errno.ENOBUFS: "the socket has too many groups; raise net.ipv4.igmp_max_memberships (sysctl)",
}


@dataclass(frozen=True, slots=True)
class MulticastGroup:
    """A multicast group for a socket to join.

    address: address of the group, IPv4 or IPv6.
    interface: name or index of the interface; "": the interface of the route to the group.
    source: address of the only sender to receive from (source-specific multicast, RFC 4607); "": any. Linux.
    """

    address: str
    interface: str | int = ""
    source: str = ""

    def __post_init__(self) -> None:
        group = _parsed("address", self.address)
        if not group.is_multicast:
            raise BadOption("address", self.address, "give an address of 224.0.0.0/4 or ff00::/8")
        set_interface(self, "interface")
        if self.source:
            if _parsed("source", self.source).version != group.version:
                raise BadOption("source", self.source, f"give an IPv{group.version} address, like the group's")
            if not _LINUX:
                raise BadOption("source", self.source, "this works on Linux only")
        for name in ("address", "source"):  # so that groups are equal however their addresses are written
            written = getattr(self, name)
            if "%" not in written:
                object.__setattr__(self, name, canonical_host(written))


@dataclass(frozen=True, slots=True)
class JoinGroup(MulticastGroup, Request[tuple[MulticastGroup, ...]]):
    """A request to a UDP server to join this group on the interface that has this name now, even if it is already
    joined. Answered with all joined groups."""


@dataclass(frozen=True, slots=True)
class LeaveGroup(MulticastGroup, Request[tuple[MulticastGroup, ...]]):
    """A request to a UDP server to leave this group, written as it was joined. Leaving is not an error if the interface
    has been removed or the group was already left. Answered with all groups that are still joined."""


def set_interface(options: object, name: str) -> None:
    """Raises `BadOption` unless the field `name` of `options` is the name or the index of an interface."""
    value = getattr(options, name)
    if isinstance(value, str):
        return
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise BadOption(name, value, "give the name or the index of an interface")
    set_integer(options, name, 0)


def _parsed(name: str, address: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(address if isinstance(address, str) else "")
    except ValueError:
        raise BadOption(name, address, "give an IPv4 or IPv6 address") from None


def index_of(sock: socket.socket, interface: str | int, option: str = "interface") -> int:
    """Returns the index of an interface; 0 for "". Raises `BadOption` if the network namespace of `sock` has no
    interface of that name."""
    if isinstance(interface, int) or not interface:
        return interface or 0
    try:
        return _index_linux(sock, interface) if _LINUX else socket.if_nametoindex(interface)
    except (OSError, ValueError):
        raise BadOption(option, interface, "there is no such interface; `ip link` lists them") from None


def _index_linux(sock: socket.socket, interface: str) -> int:
    """Asks through the socket (netdevice(7)), which may be in another network namespace than this thread."""
    from fcntl import ioctl  # not on Windows

    name = os.fsencode(interface)
    if len(name) >= _IFNAMSIZ:
        raise ValueError(interface)
    answer = ioctl(sock.fileno(), _SIOCGIFINDEX, _IFREQ.pack(name, 0))
    return int(_IFREQ.unpack(answer)[1])


def receive_own_groups_only(sock: socket.socket) -> None:
    """Stops the delivery of datagrams to groups that only other sockets of this machine have joined (Linux delivers
    these by default)."""
    if _LINUX and sock.family in (socket.AF_INET, socket.AF_INET6):
        for level, option in ((socket.IPPROTO_IP, IP_MULTICAST_ALL), (socket.IPPROTO_IPV6, IPV6_MULTICAST_ALL)):
            if level == socket.IPPROTO_IP or sock.family == socket.AF_INET6:
                _try(sock, level, option)


def _try(sock: socket.socket, level: int, option: int) -> None:
    try:
        sock.setsockopt(level, option, 0)
    except OSError:
        pass  # a kernel before 4.20 has it for IPv4 only


def join(sock: socket.socket, group: MulticastGroup, index: int, *, again: bool = False) -> bool:
    """Joins `group` on the interface `index`; 0: the interface of the route. again: it may be already joined, which is
    not an error.

    Returns False if it was already joined. Raises `BadOption`.
    """
    try:
        _change(sock, group, index, True)
    except OSError as error:
        if again and error.errno == (errno.EADDRNOTAVAIL if group.source else errno.EADDRINUSE):
            return False
        raise BadOption("groups", group, _HINTS.get(error.errno or 0, f"the system refuses it: {error}")) from None
    return True


def leave(sock: socket.socket, group: MulticastGroup, index: int) -> None:
    """Leaves `group` on the interface `index`, which may have been removed; 0: the interface of the route. Does nothing
    if the group is not joined there."""
    try:
        _change(sock, group, index, False)
    except OSError as error:
        # On a removed interface, Linux cannot leave one source, only the whole group.
        if group.source and error.errno == errno.ENODEV:
            with contextlib.suppress(OSError):
                _change(sock, MulticastGroup(group.address, group.interface), index, False)


def _change(sock: socket.socket, group: MulticastGroup, index: int, joins: bool) -> None:
    six = ":" in group.address
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or (six and sock.family == socket.AF_INET):
        raise BadOption("groups", group, "this socket's address family has no such groups")
    if _LINUX:
        _change_linux(sock, group, index, joins)
    elif six:
        option = socket.IPV6_JOIN_GROUP if joins else socket.IPV6_LEAVE_GROUP
        packed = socket.inet_pton(socket.AF_INET6, group.address) + struct.pack("I", index)
        sock.setsockopt(socket.IPPROTO_IPV6, option, packed)
    elif index:
        raise BadOption("interface", group.interface, "for IPv4 groups this works on Linux only")
    else:
        option = socket.IP_ADD_MEMBERSHIP if joins else socket.IP_DROP_MEMBERSHIP
        sock.setsockopt(socket.IPPROTO_IP, option, socket.inet_aton(group.address) + bytes(4))


def _change_linux(sock: socket.socket, group: MulticastGroup, index: int, joins: bool) -> None:
    level = socket.IPPROTO_IPV6 if ":" in group.address else socket.IPPROTO_IP
    request = struct.pack("I4x", index) + _storage(group.address)
    if group.source:
        option = _MCAST_JOIN_SOURCE_GROUP if joins else _MCAST_LEAVE_SOURCE_GROUP
        sock.setsockopt(level, option, request + _storage(group.source))
    else:
        sock.setsockopt(level, _MCAST_JOIN_GROUP if joins else _MCAST_LEAVE_GROUP, request)


def _storage(host: str) -> bytes:
    """Returns a struct sockaddr_storage, with port 0."""
    if ":" in host:
        packed = struct.pack("=HHI16sI", socket.AF_INET6, 0, 0, socket.inet_pton(socket.AF_INET6, host), 0)
    else:
        packed = struct.pack("=HH4s", socket.AF_INET, 0, socket.inet_aton(host))
    return packed.ljust(_STORAGE, b"\0")
