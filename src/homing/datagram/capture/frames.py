"""Takes a datagram of UDP out of a captured frame. A file may hold anything, so every length is checked.

loopback (0, 108)   protocol family (4 bytes, in the byte order of the machine, or the network's)
Ethernet (1)        destination (6), source (6), EtherType (2); with VLAN tags: tag (4) before the EtherType
raw IP (101, ...)   the packet itself
cooked v1 (113)     packet type (2), device (2), address length (2), address (8), protocol (2)
cooked v2 (276)     protocol (2), reserved (2), interface (4), device (2), packet type (1), address length (1),
                    address (8)
"""

from __future__ import annotations

import socket
from typing import NamedTuple

from ..address import Address

_IP4, _IP6 = 0x0800, 0x86DD
_TAGS = (0x8100, 0x88A8, 0x9100)
_MOST_TAGS = 4
_UDP, _FRAGMENT = 17, 44
_EXTENSIONS = (0, 43, 60)
"""Headers of IPv6 that may stand before UDP: hop-by-hop options, routing, destination options."""

_MOST_EXTENSIONS = 8
_OUTGOING = 4
"""The packet type of Linux' cooked captures for what the machine itself has sent."""

KNOWN = frozenset({0, 1, 12, 14, 101, 108, 113, 228, 229, 276})
"""The link types that are read: see https://www.tcpdump.org/linktypes.html."""


class Datagram(NamedTuple):
    """A datagram in a frame. outgoing: True if the frame says that the capturing machine has sent it."""

    source: Address
    destination: Address
    data: bytes
    outgoing: bool


class NotUDP(Exception):
    """The frame holds no whole datagram. why: "not_udp", "fragment" (of IP) or "cut" (by the capture)."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def datagram_untrusted(link_type: int, frame: bytes) -> Datagram:
    """Returns the datagram in a frame. Raises only `NotUDP`, whatever the bytes."""
    kind, at, outgoing = _IP4, 0, False
    if link_type == 1:
        kind, at = _ethernet(frame)
    elif link_type == 113:
        kind, at, outgoing = _number(frame, 14), 16, _number(frame, 0) == _OUTGOING
    elif link_type == 276:
        kind, at, outgoing = _number(frame, 0), 20, len(frame) > 10 and frame[10] == _OUTGOING
    elif link_type in (0, 108):
        at = 4
    elif link_type not in KNOWN:
        raise NotUDP("not_udp")
    if kind not in (_IP4, _IP6) or len(frame) <= at:
        raise NotUDP("not_udp")
    version = frame[at] >> 4
    if version == 4:
        return _of_ip4(frame[at:], outgoing)
    if version == 6:
        return _of_ip6(frame[at:], outgoing)
    raise NotUDP("not_udp")


def _number(frame: bytes, at: int) -> int:
    """Returns two bytes as a number; fewer at the end of the frame make a smaller one, or 0."""
    return int.from_bytes(frame[at : at + 2])


def _ethernet(frame: bytes) -> tuple[int, int]:
    at = 12
    for _ in range(_MOST_TAGS):
        if _number(frame, at) not in _TAGS:
            break
        at += 4
    return _number(frame, at), at + 2


def _of_ip4(packet: bytes, outgoing: bool) -> Datagram:
    head = (packet[0] & 15) * 4
    if head < 20 or len(packet) < 20:
        raise NotUDP("cut" if len(packet) < 20 else "not_udp")
    if packet[9] != _UDP:
        raise NotUDP("not_udp")
    if _number(packet, 6) & 0x3FFF:
        raise NotUDP("fragment")
    total = _number(packet, 2) or len(packet)  # 0: the network card was to cut it into segments
    hosts = (socket.inet_ntop(socket.AF_INET, packet[12:16]), socket.inet_ntop(socket.AF_INET, packet[16:20]))
    return _of_udp(packet[head:total], total - head, hosts, outgoing)


def _of_ip6(packet: bytes, outgoing: bool) -> Datagram:
    if len(packet) < 40:
        raise NotUDP("cut")
    kind, at = packet[6], 40
    for _ in range(_MOST_EXTENSIONS):
        if kind not in _EXTENSIONS and kind != _FRAGMENT:
            break
        if len(packet) < at + 8:
            raise NotUDP("cut")
        if kind == _FRAGMENT and _number(packet, at + 2) & 0xFFF9:
            raise NotUDP("fragment")
        length = 8 if kind == _FRAGMENT else 8 * (packet[at + 1] + 1)
        kind, at = packet[at], at + length
    if kind != _UDP:
        raise NotUDP("not_udp")
    total = (_number(packet, 4) or len(packet) - 40) + 40
    hosts = (socket.inet_ntop(socket.AF_INET6, packet[8:24]), socket.inet_ntop(socket.AF_INET6, packet[24:40]))
    return _of_udp(packet[at:total], total - at, hosts, outgoing)


def _of_udp(part: bytes, room: int, hosts: tuple[str, str], outgoing: bool) -> Datagram:
    """room: bytes that the packet has for UDP, of which the capture may have fewer."""
    if len(part) < 8:
        raise NotUDP("cut" if room >= 8 else "not_udp")
    size = _number(part, 4) or room  # 0: a jumbogram, or one for the network card to cut
    if size < 8 or size > room:
        raise NotUDP("not_udp")
    if len(part) < size:
        raise NotUDP("cut")
    source, destination = _number(part, 0), _number(part, 2)
    return Datagram((hosts[0], source), (hosts[1], destination), part[8:size], outgoing)
