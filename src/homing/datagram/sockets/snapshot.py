"""Snapshots of a socket's settings, to restore them after another program with the same socket has changed them."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from .bpf import attach_filter, attach_steering, detach_steering
from .icmp_errors import IP_RECVERR, IPV6_RECVERR
from .kernel import granted_buffer
from .multicast import IP_MULTICAST_ALL, IPV6_MULTICAST_ALL
from .options import SocketOptions
from .packet_info import NUMBERS as INFOS
from .set_options import NUMBERS, bind_device, device_of, program_of, set_buffer, set_multicast_interface

_BUFFERS = {"receive_buffer": socket.SO_RCVBUF, "send_buffer": socket.SO_SNDBUF}

SWITCHES = frozenset(
    {
        *((socket.SOL_SOCKET, number) for number in NUMBERS["broadcast"]),
        *((socket.IPPROTO_IP, four) for name, (four, _) in NUMBERS.items() if name != "broadcast"),
        *((socket.IPPROTO_IPV6, six) for name, (_, six) in NUMBERS.items() if name != "broadcast"),
        *INFOS,
        (socket.IPPROTO_IP, IP_RECVERR),
        (socket.IPPROTO_IPV6, IPV6_RECVERR),
        (socket.IPPROTO_IP, IP_MULTICAST_ALL),
        (socket.IPPROTO_IPV6, IPV6_MULTICAST_ALL),
    }
)
"""All (level, option) pairs that the system stores as a number and that options of a server set."""


class Snapshot:
    """The current settings of `sock`, made by a server with `options`; None: no server has made any.

    Does not cover multicast groups that another program joins, because the system does not report them.
    """

    def __init__(self, sock: socket.socket, options: SocketOptions | None) -> None:
        self._options = options
        self._device = device_of(sock)
        self._buffers = {name: granted_buffer(sock, number) for name, number in _BUFFERS.items()}
        self._numbers = _read_numbers(sock)

    def restore(self, sock: socket.socket) -> None:
        """Restores the settings. If the system refuses one, the others are still restored. Raises the error of the last
        that failed: `OSError`, `BadOption`."""
        now = _read_numbers(sock)
        with ExitStack() as steps:
            for (level, number), value in self._numbers.items():
                if now.get((level, number)) != value:
                    steps.callback(sock.setsockopt, level, number, value)
            for name, size in self._buffers.items():
                if granted_buffer(sock, _BUFFERS[name]) != size:
                    steps.callback(set_buffer, sock, _BUFFERS[name], name, size)
            if self._device is not None and device_of(sock) != self._device:
                steps.callback(bind_device, sock, self._device)
            if self._options is not None:
                _restore_options(steps, sock, self._options)


def _read_numbers(sock: socket.socket) -> dict[tuple[int, int], int]:
    found = {}
    for level, number in SWITCHES:
        try:
            found[level, number] = sock.getsockopt(level, number)
        except OSError:
            pass  # not for sockets of this family
    return found


def _restore_options(steps: ExitStack, sock: socket.socket, options: SocketOptions) -> None:
    """Restores the settings that the system does not report."""
    steps.callback(attach_filter, sock, program_of(sock, options))
    steering = options.kernel_steering
    if steering is not None:
        steps.callback(attach_steering, sock, steering)
    elif options.reuse_port:
        steps.callback(detach_steering, sock)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        steps.callback(set_multicast_interface, sock, options.multicast_interface or 0)
