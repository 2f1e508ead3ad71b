"""Changing the options of a socket while it is in use. Each change returns a function that undoes it.

An option that is None is set to the value that a new socket of this system has. An undo of several steps tries all of
them, and then raises the error of one, if any failed.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from ...gen import BadOption
from .bpf import REFUSE_ALL, Program, attach_filter, attach_steering, detach_steering
from .icmp_errors import disable_error_queue, enable_error_queue
from .inherited import lender_of
from .kernel import granted_buffer
from .kernel_socket import KernelSocket
from .multicast import MulticastGroup
from .options import SocketOptions
from .packet_info import INFOS, adjust_packet_info
from .rollback import Undo, rollback_on_error
from .set_options import NUMBERS, numbers_of, program_of, set_buffer

_SO_BUF_LOCK = 72  # asm-generic/socket.h: the buffers whose sizes were set, which the kernel does not adjust
_BUFFERS = {"receive_buffer": socket.SO_RCVBUF, "send_buffer": socket.SO_SNDBUF}


def resize(name: str, kernel: KernelSocket, size: int | None) -> Undo:
    """Changes `receive_buffer` or `send_buffer`. Datagrams waiting there are kept, even if they need more than the new
    size. Raises `BadOption`."""
    before, lock = getattr(kernel, name), _locks(kernel.sock)
    _resize(name, kernel, size)

    def undo() -> None:
        with ExitStack() as steps:
            if lock is not None:
                steps.callback(kernel.sock.setsockopt, socket.SOL_SOCKET, _SO_BUF_LOCK, lock)
            steps.callback(_resize, name, kernel, before)

    return undo


def _locks(sock: socket.socket) -> int | None:
    try:
        return sock.getsockopt(socket.SOL_SOCKET, _SO_BUF_LOCK) if sys.platform == "linux" else None
    except OSError:
        return None  # before Linux 5.14


def _resize(name: str, kernel: KernelSocket, size: int | None) -> None:
    option = _BUFFERS[name]
    if size is None:
        with _new_like(kernel) as new:
            size = granted_buffer(new, option)
    set_buffer(kernel.sock, option, name, size)
    setattr(kernel, name, granted_buffer(kernel.sock, option))


def _new_like(kernel: KernelSocket) -> socket.socket:
    return socket.socket(kernel.family, socket.SOCK_DGRAM)


def renumber(name: str, kernel: KernelSocket, value: Any) -> Undo:
    """Changes an option that the kernel stores as a number: broadcast, ttl, tos and so on. Raises `BadOption`."""
    sock = kernel.sock
    pairs, number = numbers_of(sock, name, value)
    before = [(level, option, sock.getsockopt(level, option)) for level, option in pairs]

    def undo() -> None:
        with ExitStack() as steps:
            for level, option, old in before:
                steps.callback(sock.setsockopt, level, option, old)

    with rollback_on_error() as on_error:
        on_error(undo)
        _set_numbers(kernel, name, value, pairs, number)
    return undo


def _set_numbers(
    kernel: KernelSocket, name: str, value: Any, pairs: Sequence[tuple[int, int]], number: int | None
) -> None:
    try:
        with _new_like(kernel) as new:
            for level, option in pairs:
                kernel.sock.setsockopt(level, option, new.getsockopt(level, option) if number is None else number)
    except OSError as error:
        raise BadOption(name, value, f"the system refuses it: {error.strerror}") from None


def attach_device(kernel: KernelSocket, device: str, before: str) -> Undo:
    """Makes the socket send and receive by another interface; "": by any. Raises `BadOption`."""
    kernel.interfaces.attach_to(device)
    return partial(kernel.interfaces.attach_to, before)


def multicast_by(kernel: KernelSocket, interface: str | int, before: str | int) -> Undo:
    """Makes the socket send multicast by another interface. Raises `BadOption`."""
    sock = kernel.sock
    with rollback_on_error() as on_error:
        if sock.family == socket.AF_INET6:  # with dual_stack, IPv4 is set second and may be refused
            six = (socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF)
            on_error(partial(sock.setsockopt, *six, sock.getsockopt(*six)))
        kernel.interfaces.send_multicast_by(interface)
    return partial(kernel.interfaces.send_multicast_by, before)


def regroup(kernel: KernelSocket, groups: tuple[MulticastGroup, ...]) -> Undo:
    """Joins these groups, then leaves all others. Raises `BadOption`."""
    interfaces, before = kernel.interfaces, kernel.interfaces.groups
    undo = partial(_restore, kernel, before)
    with rollback_on_error() as on_error:
        on_error(undo)
        for group in groups:
            interfaces.join(group)
        for group in before:
            if group not in groups:
                interfaces.leave(group)
    return undo


def _restore(kernel: KernelSocket, groups: tuple[MulticastGroup, ...]) -> None:
    interfaces = kernel.interfaces
    with ExitStack() as steps:
        for group in groups:
            if group not in interfaces.groups:
                steps.callback(interfaces.join, group)
        for group in interfaces.groups:
            if group not in groups:
                steps.callback(interfaces.leave, group)


def filter_by(kernel: KernelSocket, program: Program | None, before: Program | None) -> Undo:
    """Makes the kernel deliver only datagrams that `program` passes; None: all. Raises `BadOption`."""
    _filter_by(kernel, program)
    return partial(_filter_by, kernel, before)


def _filter_by(kernel: KernelSocket, program: Program | None) -> None:
    attach_filter(kernel.sock, program)
    kernel.bpf = program


def steer_by(kernel: KernelSocket, steering: str | Program | None, before: str | Program | None) -> Undo:
    """Makes `steering` choose among the sockets of this port; None: the kernel's hash. Raises `BadOption`."""
    _steer(kernel, steering)
    return partial(_steer, kernel, before)


def _steer(kernel: KernelSocket, steering: str | Program | None) -> None:
    kernel.steering = steering
    if steering is None:
        detach_steering(kernel.sock)
    else:
        attach_steering(kernel.sock, steering)


FIXED = ("reuse_port", "share_address", "path_mode", *INFOS, "error_queue")
"""The options of a socket that change only when a server is adopted, because the reader must change with them."""


def adjust_fixed(sock: socket.socket, before: SocketOptions, now: SocketOptions) -> None:
    """Changes the options of `FIXED` that differ between `before` and `now`. Raises `BadOption`, or the `OSError` of an
    option that the system refuses. A call with both swapped undoes it."""
    if (before.reuse_port, before.share_address) != (now.reuse_port, now.share_address):
        for number, value in (
            (socket.SO_REUSEPORT, now.reuse_port or now.share_address),
            (socket.SO_REUSEADDR, now.share_address),
        ):
            sock.setsockopt(socket.SOL_SOCKET, number, int(value))
    if before.path_mode != now.path_mode and now.path_mode is not None and now.path is not None:
        os.chmod(now.path, now.path_mode)
    if any(getattr(before, name) != getattr(now, name) for name in INFOS):
        adjust_packet_info(sock, now)
    if before.error_queue != now.error_queue:
        (enable_error_queue if now.error_queue else disable_error_queue)(sock)


def refuse_all(sock: socket.socket) -> bool:
    """Makes the kernel drop all new datagrams; those already waiting can still be read. Returns False if the system
    cannot do this, or if another program reads from the same socket."""
    if sys.platform != "linux" or not isinstance(sock, socket.socket) or lender_of(sock) is not None:
        return False
    attach_filter(sock, REFUSE_ALL)
    return True


BY_INTERFACE = frozenset({"bind_device", "multicast_interface", "groups"})
"""Options that name an interface: setting the same value again may have an effect, because the name may now belong to
another interface."""

ADJUSTABLE = (
    *_BUFFERS,
    *NUMBERS,
    *("bind_device", "multicast_interface", "groups", "kernel_program", "kernel_steering"),
)
"""The options of a socket that can change while it is in use."""


def _value(name: str, kernel: KernelSocket, options: SocketOptions) -> Any:
    return program_of(kernel.sock, options) if name == "kernel_program" else getattr(options, name)


def adjust(name: str, kernel: KernelSocket, before: SocketOptions, now: SocketOptions) -> Undo:
    """Changes one option of `ADJUSTABLE`. If it raises `BadOption`, nothing has changed."""
    old, new = (_value(name, kernel, options) for options in (before, now))
    if name in _BUFFERS:
        return resize(name, kernel, new)
    if name in NUMBERS:
        return renumber(name, kernel, new)
    if name == "groups":
        return regroup(kernel, new)
    changes: dict[str, Callable[[KernelSocket, Any, Any], Undo]] = {
        "bind_device": attach_device,
        "multicast_interface": multicast_by,
        "kernel_program": filter_by,
        "kernel_steering": steer_by,
    }
    return changes[name](kernel, new, old)
