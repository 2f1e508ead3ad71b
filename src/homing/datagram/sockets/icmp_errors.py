"""Turns the kernel's queue of ICMP errors of a socket on or off. Linux: ip(7) IP_RECVERR. The errors are read in
`backend.error_queue`."""

from __future__ import annotations

import socket
import sys

# linux/include/uapi/linux/in.h, in6.h; Python's socket module names them from 3.14 on
IP_RECVERR = 11
IPV6_RECVERR = 25


def why_no_error_queue() -> str:
    """Returns why this system has no error queue; "" if it has one."""
    return "" if sys.platform == "linux" else "ICMP errors can be read on Linux only"


def enable_error_queue(sock: socket.socket) -> None:
    """Makes the kernel queue the ICMP errors of datagrams that `sock` sends. Raises `OSError`."""
    _set(sock, 1)


def disable_error_queue(sock: socket.socket) -> None:
    """Disables the ICMP error queue of `sock` and discards queued errors. Raises `OSError`."""
    _set(sock, 0)


def _set(sock: socket.socket, value: int) -> None:
    sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, value)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, value)
