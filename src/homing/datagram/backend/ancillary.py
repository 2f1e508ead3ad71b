"""Ancillary data, which carries the packet info, read and written in Python. The native backend reads it in `arena` and
writes it in `outbox`. See cmsg(3), ip(7), ipv6(7), socket(7), RFC 3542."""

from __future__ import annotations

import socket
import struct
from typing import Any, TypeAlias

from ...gen import BadOption
from ..address import Address
from ..message import PacketInfo, packet_info
from ..sockets.packet_info import IP_PKTINFO, SO_TIMESTAMPNS, check_platform

Control: TypeAlias = list[tuple[int, int, bytes]]
"""Control messages as in the socket module: level, type, data."""

# linux/include/uapi/linux/in.h; the socket module does not name all of them
IP_TOS = 1
IP_TTL = 2
# linux/include/uapi/linux/ipv6.h and in6.h
IPV6_PKTINFO = 50
IPV6_HOPLIMIT = 52
IPV6_TCLASS = 67

ROOM = 256
"""Bytes of ancillary data for a read. All possible infos together take 176."""

# linux/include/uapi/asm-generic/socket.h
SO_RXQ_OVFL = 40

_IPV4 = socket.IPPROTO_IP
_IPV6 = socket.IPPROTO_IPV6
_OCTET = struct.Struct("B")
_INTEGER = struct.Struct("i")
_WORD = struct.Struct("I")
_IN_PKTINFO = struct.Struct("i4s4s")
_IN6_PKTINFO = struct.Struct("16si")
_TIMESPEC = struct.Struct("ll")
_OCTETS = range(256)
_LAST_SECOND = 9_223_372_036  # nanoseconds since 1970 fit into 64 bits until then
_MAPPED = bytes(10) + b"\xff\xff"
"""The prefix of an IPv4 address mapped into IPv6."""


# --- reading ----------------------------------------------------------------------------------------------


def read_control(control: Control) -> PacketInfo:
    """Returns the info that came with a packet. Skips messages that are unknown or shorter than they should be."""
    told = {"local": None, "interface": 0, "group": None, "tos": -1, "ttl": -1, "timestamp": -1}
    for level, kind, data in control:
        reader = _READERS.get((level, kind))
        if reader is not None and len(data) >= reader[0].size:
            reader[1](told, *reader[0].unpack_from(data))
    return packet_info(**told)  # type: ignore[arg-type]


def read_drops(control: Control) -> int:
    """Returns how many datagrams the kernel had dropped at the socket before this one; 0 also if it is not reported."""
    for level, kind, data in control:
        if (level, kind) == (socket.SOL_SOCKET, SO_RXQ_OVFL) and len(data) >= _WORD.size:
            return int(_WORD.unpack_from(data)[0])
    return 0


def _read_tos(told: dict[str, Any], value: int) -> None:
    told["tos"] = value if value in _OCTETS else -1


def _read_ttl(told: dict[str, Any], value: int) -> None:
    told["ttl"] = value if value in _OCTETS else -1


def _read_time(told: dict[str, Any], seconds: int, nanoseconds: int) -> None:
    if 0 <= seconds < _LAST_SECOND and 0 <= nanoseconds < 1_000_000_000:
        told["timestamp"] = seconds * 1_000_000_000 + nanoseconds


def _read_ipv4(told: dict[str, Any], interface: int, local: bytes, destination: bytes) -> None:
    told["interface"] = max(0, interface)
    told["local"] = socket.inet_ntop(socket.AF_INET, local) if any(local) else None
    told["group"] = socket.inet_ntop(socket.AF_INET, destination) if destination != local else None


def _read_ipv6(told: dict[str, Any], destination: bytes, interface: int) -> None:
    if not destination.startswith(_MAPPED):  # for an IPv4 packet, IP_PKTINFO reports more
        told["interface"] = max(0, interface)
        told["group" if destination[0] == 0xFF else "local"] = socket.inet_ntop(socket.AF_INET6, destination)


_READERS: dict[tuple[int, int], tuple[struct.Struct, Any]] = {
    (_IPV4, IP_TOS): (_OCTET, _read_tos),
    (_IPV4, IP_TTL): (_INTEGER, _read_ttl),
    (_IPV4, IP_PKTINFO): (_IN_PKTINFO, _read_ipv4),
    (_IPV6, IPV6_TCLASS): (_INTEGER, _read_tos),
    (_IPV6, IPV6_HOPLIMIT): (_INTEGER, _read_ttl),
    (_IPV6, IPV6_PKTINFO): (_IN6_PKTINFO, _read_ipv6),
    (socket.SOL_SOCKET, SO_TIMESTAMPNS): (_TIMESPEC, _read_time),
}


# --- writing ----------------------------------------------------------------------------------------------


def write_control(info: Any, address: Address) -> Control:
    """Returns the control messages that send a datagram to `address` with `info`, in the peer's family, which may
    differ from the socket's. Raises `BadOption`."""
    if not isinstance(info, PacketInfo):
        raise BadOption("info", info, "give a meta.PacketInfo, or None")
    check_platform("info", info)
    if _is_ipv4(address[0]):
        local = _parse(socket.AF_INET, info.local)
        packet = (_IPV4, IP_PKTINFO, _IN_PKTINFO.pack(info.interface, local, bytes(4)))
        numbers = (_IPV4, IP_TOS, IP_TTL)
    else:
        local = _parse(socket.AF_INET6, info.local)
        packet = (_IPV6, IPV6_PKTINFO, _IN6_PKTINFO.pack(local, info.interface))
        numbers = (_IPV6, IPV6_TCLASS, IPV6_HOPLIMIT)
    control = [packet] if info.local is not None or info.interface else []
    level, *kinds = numbers
    for kind, value in zip(kinds, (info.tos, info.ttl), strict=True):
        if value is not None:
            control.append((level, kind, _INTEGER.pack(value)))
    return control


def _is_ipv4(host: str) -> bool:
    if ":" not in host:
        return True
    return socket.inet_pton(socket.AF_INET6, host.partition("%")[0]).startswith(_MAPPED)


def _parse(family: int, local: str | None) -> bytes:
    """Returns a packed address; for None the unspecified address, which leaves the choice to the route."""
    six = family == socket.AF_INET6
    try:
        return bytes(16 if six else 4) if local is None else socket.inet_pton(family, local)
    except OSError:
        raise BadOption("local", local, f"for this peer, give an {'IPv6' if six else 'IPv4'} address") from None
