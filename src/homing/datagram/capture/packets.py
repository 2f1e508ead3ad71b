"""The headers that a recorded datagram gets. The kernel gives a program the payload alone, so they are made: as the
datagram would be in one packet, however it was fragmented, with time to live 64.

IPv4 (RFC 791)   version 4 and header length 5 (1 byte), traffic class (1), total length (2), identification (2),
                 flags and fragment offset (2), time to live (1), protocol 17 (1), checksum (2), source (4),
                 destination (4)
IPv6 (RFC 8200)  version 6, traffic class and flow label (4), payload length (2), next header 17 (1), hop limit (1),
                 source (16), destination (16)
UDP (RFC 768)    source port (2), destination port (2), length (2), checksum (2)
"""

from __future__ import annotations

import socket
import struct

from ..address import Address

_IP4 = struct.Struct("!BBHHHBBH4s4s")
_IP6 = struct.Struct("!IHBB16s16s")
_UDP = struct.Struct("!HHHH")
_PSEUDO4 = struct.Struct("!4s4sHH")
_PSEUDO6 = struct.Struct("!16s16sII")

_PROTOCOL, _HOPS = 17, 64
_MAPPED = bytes(10) + b"\xff\xff"
_ANY4, _ANY6 = bytes(4), bytes(16)
_LONGEST4 = 65535 - 28
"""Bytes. A longer payload, as on a Unix socket or an IPv6 socket, does not fit into one packet of IPv4."""


def packet(source: Address, destination: Address, data: bytes, snap: int) -> tuple[bytes, int]:
    """Returns the packet, of which `snap` bytes of payload are kept, and the length that it has on the wire."""
    one, other = _raw(source[0]), _raw(destination[0])
    if len(one) != len(other):
        one, other = _as_other(one, other), _as_other(other, one)
    size = 8 + len(data)
    ports = source[1] & 0xFFFF, destination[1] & 0xFFFF
    if len(one) == 4:
        size = min(size, _LONGEST4 + 8)
        data = data[:_LONGEST4]
        pseudo = _PSEUDO4.pack(one, other, _PROTOCOL, size)
        head = _IP4.pack(0x45, 0, 20 + size, 0, 0, _HOPS, _PROTOCOL, 0, one, other)
        head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    else:
        size = min(size, 65535)
        data = data[: size - 8]
        pseudo = _PSEUDO6.pack(one, other, size, _PROTOCOL)
        head = _IP6.pack(6 << 28, size, _PROTOCOL, _HOPS, one, other)
    summed = checksum(pseudo + _UDP.pack(*ports, size, 0) + data) or 0xFFFF  # 0 would mean that there is none
    return head + _UDP.pack(*ports, size, summed) + data[:snap], len(head) + size


def checksum(data: bytes) -> int:
    """Returns the checksum of the internet (RFC 1071): the complement of the sum of all 16-bit words, with the carry
    added. A number modulo 0xFFFF is the sum of its digits to the base 0x10000 in that arithmetic, so one division of a
    long number does the work of a loop."""
    if len(data) % 2:
        data += b"\0"
    number = int.from_bytes(data)
    rest = number % 0xFFFF
    return 0xFFFF - (0xFFFF if rest == 0 and number else rest)


def _raw(host: str) -> bytes:
    host = host.partition("%")[0]
    try:
        return socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    except OSError:
        return _ANY4  # a source that the system has not reported


def _as_other(host: bytes, other: bytes) -> bytes:
    """Returns `host` in the family of IPv4 if it is the wildcard address of a socket for both families, and `other` is
    an IPv4 address; otherwise an IPv4 address as one of IPv6."""
    if len(host) == 4:
        return host if other == _ANY6 else _MAPPED + host
    return _ANY4 if host == _ANY6 else host
