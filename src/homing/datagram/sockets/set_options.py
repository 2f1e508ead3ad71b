"""Sets `SocketOptions` on a socket: each option by its own system call, whose failure names the option.

Numbers that the socket module does not name are from Linux: include/uapi/linux/in.h and in6.h, asm-generic/socket.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from typing import Any

from ...gen import BadOption
from ..address import AF_UNIX, DUAL_STACK, family_of
from .bpf import Program, attach_filter, attach_steering
from .icmp_errors import disable_error_queue, enable_error_queue
from .inherited import lender_of
from .kernel import granted_buffer, network_of
from .multicast import MulticastGroup, index_of, join, leave, receive_own_groups_only
from .options import LINUX_ONLY, MTU_DISCOVERY, SocketOptions
from .packet_info import request_packet_info

_LINUX = sys.platform == "linux"
_SO_FORCE = {socket.SO_RCVBUF: 33, socket.SO_SNDBUF: 32}
"""SO_RCVBUFFORCE, SO_SNDBUFFORCE: exceed the system's limits, with the capability CAP_NET_ADMIN."""
_IP_MTU_DISCOVER = 10
_IPV6_MTU_DISCOVER = 23
_SO_BINDTODEVICE = 25
_IPV4 = socket.IPPROTO_IP
_IPV6 = socket.IPPROTO_IPV6

NUMBERS = {
    "broadcast": (socket.SO_BROADCAST, socket.SO_BROADCAST),
    "ttl": (socket.IP_TTL, socket.IPV6_UNICAST_HOPS),
    "tos": (socket.IP_TOS, getattr(socket, "IPV6_TCLASS", 67)),
    "mtu_discovery": (_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER),
    "multicast_ttl": (socket.IP_MULTICAST_TTL, socket.IPV6_MULTICAST_HOPS),
    "multicast_loop": (socket.IP_MULTICAST_LOOP, socket.IPV6_MULTICAST_LOOP),
}
"""Options that the kernel stores as a number, with the kernel's options for IPv4 and for IPv6."""


def apply(sock: socket.socket, options: SocketOptions) -> None:
    """Sets `options` on a socket, bound or not. Raises `BadOption`."""
    set_buffer(sock, socket.SO_RCVBUF, "receive_buffer", options.receive_buffer)
    set_buffer(sock, socket.SO_SNDBUF, "send_buffer", options.send_buffer)
    if options.reuse_port:
        _set(sock, "reuse_port", True, socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if options.share_address:
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            _set(sock, "share_address", True, socket.SOL_SOCKET, option, 1)
    if options.bind_device:
        bind_device(sock, options.bind_device)
    for name in NUMBERS:
        value = getattr(options, name)
        if value is not None and (value or name != "broadcast"):
            _set_number(sock, name, value)
    _set_multicast(sock, options)
    request_packet_info(sock, options)
    program = program_of(sock, options)
    if program is not None:
        attach_filter(sock, program)
    if options.error_queue:
        enable_error_queue(sock)


def program_of(sock: socket.socket, options: SocketOptions) -> Program | None:
    """Returns the program that the kernel is to run for `sock`. One that was made of a condition is for sockets of IP
    only: elsewhere there are no headers. A socket of `homing.testing.FakeNetwork` has no kernel."""
    kernel = isinstance(sock, socket.socket) and sock.family != AF_UNIX
    return options.kernel_program if kernel else options.bpf


def reset(sock: socket.socket, options: SocketOptions) -> None:
    """Removes harmful settings of another program that `options` do not ask for: a filter, and an error queue."""
    if not _LINUX:
        return
    if program_of(sock, options) is None:
        attach_filter(sock, None)
    if not options.error_queue and sock.family != AF_UNIX:
        disable_error_queue(sock)


def check(sock: socket.socket, options: SocketOptions) -> None:
    """Raises `BadOption` for options that the system would refuse on `sock`. Tries them on a new socket of the same
    kind; `sock` does not change."""
    with socket.socket(sock.family, socket.SOCK_DGRAM) as trial:
        if sock.family == socket.AF_INET6:
            trial.setsockopt(_IPV6, socket.IPV6_V6ONLY, sock.getsockopt(_IPV6, socket.IPV6_V6ONLY))
        if network_of(trial) == network_of(sock):  # another namespace would have other interfaces
            apply(trial, options)
            apply_bound(trial, options)


def apply_bound(sock: socket.socket, options: SocketOptions) -> None:
    """Sets the options that need a bound socket. Raises `BadOption`."""
    steering = options.kernel_steering
    if steering is not None:
        attach_steering(sock, steering)


def _set(sock: socket.socket, name: str, value: object, level: int, option: int, number: int) -> None:
    try:
        sock.setsockopt(level, option, number)
    except OSError as error:
        raise BadOption(name, value, f"the system refuses it: {error.strerror}") from None


def numbers_of(sock: socket.socket, name: str, value: Any) -> tuple[list[tuple[int, int]], int | None]:
    """Returns the (level, option) pairs with which setsockopt(2) sets an option of `NUMBERS` on this socket, and the
    number for `value`. A socket that carries both IPv4 and IPv6 has a pair for each."""
    number = MTU_DISCOVERY[value] if isinstance(value, str) else None if value is None else int(value)
    if name == "broadcast":
        return [(socket.SOL_SOCKET, socket.SO_BROADCAST)], number
    four, six = NUMBERS[name]
    family = family_of(sock)
    pairs = [(_IPV6, six)] if family in (socket.AF_INET6, DUAL_STACK) else []
    return [*pairs, (_IPV4, four)] if family in (socket.AF_INET, DUAL_STACK) else pairs, number


def _set_number(sock: socket.socket, name: str, value: Any) -> None:
    pairs, number = numbers_of(sock, name, value)
    for level, option in pairs:
        _set(sock, name, value, level, option, number or 0)


def set_buffer(sock: socket.socket, option: int, name: str, size: int | None) -> None:
    """Sets the size of a buffer; if the system grants less, tries to exceed its limit, which needs CAP_NET_ADMIN."""
    if size is None:
        return
    _set(sock, name, size, socket.SOL_SOCKET, option, size)
    if _LINUX and granted_buffer(sock, option) < size:
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_FORCE[option], size)
        except PermissionError:
            pass  # `inspect` shows the size that was granted


def _set_multicast(sock: socket.socket, options: SocketOptions) -> None:
    receive_own_groups_only(sock)
    if options.multicast_interface:
        set_multicast_interface(sock, options.multicast_interface)
    bound = sock.family in (socket.AF_INET, socket.AF_INET6) and sock.getsockname()[1] != 0
    for group in options.groups:
        _join(sock, group, again=bound)  # a previous user of a bound socket may have joined it


def _join(sock: socket.socket, group: MulticastGroup, *, again: bool) -> None:
    index = index_of(sock, group.interface)
    if not join(sock, group, index, again=again) and not _is_handed_over(sock):
        leave(sock, group, index)  # it may be joined on an interface that was removed and recreated
        join(sock, group, index)


def _is_handed_over(sock: socket.socket) -> bool:
    """Returns True if a predecessor may still have the socket, and follows the interfaces."""
    lender = lender_of(sock)
    return lender is not None and lender.handed_over is not None


def set_multicast_interface(sock: socket.socket, interface: str | int) -> None:
    index = index_of(sock, interface, "multicast_interface")
    try:
        if sock.family == socket.AF_INET6:
            sock.setsockopt(_IPV6, socket.IPV6_MULTICAST_IF, index)
        if _LINUX and family_of(sock) != socket.AF_INET6:  # struct ip_mreqn
            sock.setsockopt(_IPV4, socket.IP_MULTICAST_IF, bytes(8) + struct.pack("i", index))
        elif sock.family == socket.AF_INET:
            raise BadOption("multicast_interface", interface, "for IPv4 this works on Linux only")
    except OSError as error:
        hint = f"the system refuses it: {error.strerror}; `ip link` lists the interfaces"
        raise BadOption("multicast_interface", interface, hint) from None


def bind_device(sock: socket.socket, device: str) -> None:
    if not _LINUX:
        raise BadOption("bind_device", device, LINUX_ONLY)
    if device_of(sock) == device:
        return  # binding it again would need the capability
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, device.encode())
    except OSError as error:
        hint = {
            errno.ENODEV: "there is no such interface; `ip link` lists them",
            errno.EPERM: "it needs the capability CAP_NET_RAW",
        }.get(error.errno or 0, f"the system refuses it: {error.strerror}")
        raise BadOption("bind_device", device, hint) from None


def device_of(sock: socket.socket) -> str | None:
    """Returns the name of the interface that `sock` is bound to; "" if none; None if it has been removed. Linux."""
    try:
        return os.fsdecode(sock.getsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, 16).rstrip(b"\0"))
    except OSError:
        return None
