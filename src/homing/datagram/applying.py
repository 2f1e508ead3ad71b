"""Setting what `SocketOptions` ask for: each option by its own system call, whose failure names the option.

Numbers that the socket module does not name are of Linux, from include/uapi/linux/in.h and in6.h, asm-generic/socket.h.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys

from ..gen import BadOption
from .address import family_of
from .ancillary import ask
from .bpf import attach_filter, attach_steering
from .error_queue import turn_off, turn_on
from .kernel import granted_buffer
from .multicast import hear_own_groups_only, index_of, join
from .options import LINUX_ONLY, MTU_DISCOVERY, SocketOptions

_LINUX = sys.platform == "linux"
_SO_FORCE = {socket.SO_RCVBUF: 33, socket.SO_SNDBUF: 32}
"""SO_RCVBUFFORCE, SO_SNDBUFFORCE: beyond the limits that the system sets, for who may (CAP_NET_ADMIN)."""
_IP_MTU_DISCOVER = 10
_IPV6_MTU_DISCOVER = 23
_SO_BINDTODEVICE = 25
_IPV4 = socket.IPPROTO_IP
_IPV6 = socket.IPPROTO_IPV6


def apply(sock: socket.socket, options: SocketOptions) -> None:
    """Sets what `options` ask for, before the socket is bound or after it. Raises `BadOption`."""
    _set_buffer(sock, socket.SO_RCVBUF, "receive_buffer", options.receive_buffer)
    _set_buffer(sock, socket.SO_SNDBUF, "send_buffer", options.send_buffer)
    if options.reuse_port:
        _set(sock, "reuse_port", True, socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if options.broadcast:
        _set(sock, "broadcast", True, socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    if options.bind_device:
        _bind_device(sock, options.bind_device)
    _set_of_ip(sock, "ttl", options.ttl, socket.IP_TTL, socket.IPV6_UNICAST_HOPS)
    _set_of_ip(sock, "tos", options.tos, socket.IP_TOS, getattr(socket, "IPV6_TCLASS", 67))
    if options.mtu_discovery is not None:
        number = MTU_DISCOVERY[options.mtu_discovery]
        _set_of_ip(sock, "mtu_discovery", number, _IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, options.mtu_discovery)
    _set_multicast(sock, options)
    ask(sock, options)
    if options.bpf is not None:
        attach_filter(sock, options.bpf)
    if options.error_queue:
        turn_on(sock)


def reset(sock: socket.socket, options: SocketOptions) -> None:
    """Takes back what another program has set on a socket and `options` do not ask for, where it would do harm: a
    filter, and errors that nobody reads."""
    if not _LINUX:
        return
    if options.bpf is None:
        attach_filter(sock, None)
    if not options.error_queue:
        turn_off(sock)


def apply_bound(sock: socket.socket, options: SocketOptions) -> None:
    """Sets what only a bound socket can be asked for. Raises `BadOption`."""
    if options.reuse_port_steering is not None:
        attach_steering(sock, options.reuse_port_steering)


def _set(sock: socket.socket, name: str, value: object, level: int, option: int, number: int) -> None:
    try:
        sock.setsockopt(level, option, number)
    except OSError as error:
        raise BadOption(name, value, f"the system refuses it: {error.strerror}") from None


def _set_of_ip(
    sock: socket.socket, name: str, number: int | None, four: int, six: int, value: object | None = None
) -> None:
    """Sets an option that IPv4 and IPv6 each have; a socket that carries both has both."""
    if number is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    shown = number if value is None else value
    if sock.family == socket.AF_INET6:
        _set(sock, name, shown, _IPV6, six, number)
        if sock.getsockopt(_IPV6, socket.IPV6_V6ONLY):
            return
    _set(sock, name, shown, _IPV4, four, number)


def _set_buffer(sock: socket.socket, option: int, name: str, size: int | None) -> None:
    """Where the system would grant less, it is asked again with the right of an administrator, if we have that."""
    if size is None:
        return
    _set(sock, name, size, socket.SOL_SOCKET, option, size)
    if _LINUX and granted_buffer(sock, option) < size:
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_FORCE[option], size)
        except PermissionError:
            pass  # what was granted is told


def _set_multicast(sock: socket.socket, options: SocketOptions) -> None:
    hear_own_groups_only(sock)
    _set_of_ip(sock, "multicast_ttl", options.multicast_ttl, socket.IP_MULTICAST_TTL, socket.IPV6_MULTICAST_HOPS)
    if options.multicast_loop is not None:
        loop = int(options.multicast_loop)
        _set_of_ip(sock, "multicast_loop", loop, socket.IP_MULTICAST_LOOP, socket.IPV6_MULTICAST_LOOP)
    if options.multicast_interface:
        _set_multicast_interface(sock, options.multicast_interface)
    bound = sock.family in (socket.AF_INET, socket.AF_INET6) and sock.getsockname()[1] != 0
    for group in options.groups:
        join(sock, group, again=bound)  # it was somebody else's before, who may have joined it


def _set_multicast_interface(sock: socket.socket, interface: str | int) -> None:
    index = index_of(sock, interface, "multicast_interface")
    try:
        if sock.family == socket.AF_INET6:
            sock.setsockopt(_IPV6, socket.IPV6_MULTICAST_IF, index)
        if _LINUX and family_of(sock) != socket.AF_INET6:  # struct ip_mreqn
            sock.setsockopt(_IPV4, socket.IP_MULTICAST_IF, bytes(8) + struct.pack("i", index))
        elif sock.family == socket.AF_INET:
            raise BadOption("multicast_interface", interface, "for IPv4 this is Linux only")
    except OSError as error:
        hint = f"the system refuses it: {error.strerror}; `ip link` lists the interfaces"
        raise BadOption("multicast_interface", interface, hint) from None


def _bind_device(sock: socket.socket, device: str) -> None:
    if not _LINUX:
        raise BadOption("bind_device", device, LINUX_ONLY)
    try:
        if sock.getsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, 16).rstrip(b"\0") == device.encode():
            return  # to bind it once more would take the capability
        sock.setsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, device.encode())
    except OSError as error:
        hint = {
            errno.ENODEV: "there is no such interface; `ip link` lists them",
            errno.EPERM: "it takes the capability CAP_NET_RAW",
        }.get(error.errno or 0, f"the system refuses it: {error.strerror}")
        raise BadOption("bind_device", device, hint) from None
