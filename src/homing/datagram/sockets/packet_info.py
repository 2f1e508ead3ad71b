"""Packet info: asks the kernel to report more of each packet than its payload. See ip(7), ipv6(7), socket(7), RFC 3542.
The info is read in `backend.ancillary`."""

from __future__ import annotations

import socket
import sys

from ...gen import BadOption
from .options import SocketOptions

# linux/include/uapi/linux/in.h; the socket module does not name all of them
IP_PKTINFO = 8
_IP_RECVTTL = 12
_IP_RECVTOS = 13
# linux/include/uapi/linux/ipv6.h and in6.h
_IPV6_RECVPKTINFO = 49
_IPV6_RECVHOPLIMIT = 51
_IPV6_RECVTCLASS = 66
# linux/include/uapi/asm-generic/socket.h
SO_TIMESTAMPNS = 35

_IPV4 = socket.IPPROTO_IP
_IPV6 = socket.IPPROTO_IPV6
_OPTIONS = {
    "receive_local_address": {_IPV4: IP_PKTINFO, _IPV6: _IPV6_RECVPKTINFO},
    "receive_tos": {_IPV4: _IP_RECVTOS, _IPV6: _IPV6_RECVTCLASS},
    "receive_ttl": {_IPV4: _IP_RECVTTL, _IPV6: _IPV6_RECVHOPLIMIT},
    "receive_timestamp": {socket.SOL_SOCKET: SO_TIMESTAMPNS},
}
"""The kernel's socket options for each of our options, by level."""

INFOS = tuple(_OPTIONS)
"""The names of our options."""

NUMBERS = [(level, number) for numbers in _OPTIONS.values() for level, number in numbers.items()]
"""All of the kernel's socket options, as (level, option)."""


def wants_packet_info(options: SocketOptions) -> bool:
    """Returns True if `options` ask for any field of `PacketInfo`."""
    return any(getattr(options, name) for name in _OPTIONS)


def request_packet_info(sock: socket.socket, options: SocketOptions) -> None:
    """Asks the kernel for the infos that `options` request. Raises `BadOption` if the system does not have them."""
    for name, numbers in _OPTIONS.items():
        if getattr(options, name):
            check_platform(name, True)
            levels = _levels(sock) & numbers.keys()
            if not levels:
                raise BadOption(name, True, "a socket of this address family does not report it")
            for level in levels:
                _set(sock, name, level, numbers[level])


def adjust_packet_info(sock: socket.socket, options: SocketOptions) -> None:
    """Asks the kernel for the infos that `options` request, and turns off all others. Raises `BadOption`."""
    request_packet_info(sock, options)
    for name, numbers in _OPTIONS.items():
        if sys.platform == "linux" and not getattr(options, name):
            for level in _levels(sock) & numbers.keys():
                _set(sock, name, level, numbers[level], 0)


def _levels(sock: socket.socket) -> set[int]:
    """Returns the levels of a socket's options; a socket that carries both IPv4 and IPv6 has the levels of both."""
    levels: set[int] = {socket.SOL_SOCKET}
    if sock.family == socket.AF_INET:
        levels.add(_IPV4)
    elif sock.family == socket.AF_INET6:
        levels.add(_IPV6)
        if not sock.getsockopt(_IPV6, socket.IPV6_V6ONLY):
            levels.add(_IPV4)
    return levels


def _set(sock: socket.socket, name: str, level: int, number: int, value: int = 1) -> None:
    try:
        sock.setsockopt(level, number, value)
    except OSError as error:
        raise BadOption(name, True, f"the system refuses it: {error.strerror}") from None


def check_platform(name: str, value: object) -> None:
    """Raises `BadOption` unless this is Linux."""
    if sys.platform != "linux":
        raise BadOption(name, value, "this works on Linux only")
