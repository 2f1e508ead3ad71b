"""Classic BPF: programs that the kernel runs for each datagram before it wakes a reader. Linux only.

See bpf(4) of FreeBSD for the instructions, and linux/Documentation/networking/filter.rst.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
import sys
from typing import Any, TypeAlias

from ...gen import BadOption
from ...gen.foreign import safe_repr
from ...gen.options import check_integer
from ..policy.compiling import compile_steering
from ..policy.expressions import Field

Program: TypeAlias = tuple[tuple[int, int, int, int], ...]
"""Instructions (code, jt, jf, k), as `tcpdump -dd` prints them."""

Steering: TypeAlias = str | Program | Field

_SO_ATTACH_FILTER = 26  # linux/include/uapi/asm-generic/socket.h; the socket module does not name them
_SO_DETACH_FILTER = 27
_SO_ATTACH_REUSEPORT_CBPF = 51
_SO_DETACH_REUSEPORT_BPF = 68
_INSTRUCTION = struct.Struct("HBBI")  # struct sock_filter, linux/include/uapi/linux/filter.h
_MOST = 4096  # BPF_MAXINSNS
_LIMITS = (0xFFFF, 0xFF, 0xFF, 0xFFFFFFFF)

_HINTS = {
    errno.EINVAL: "; a program may only jump forwards, must end with a return, and may only use known instructions; "
    "steering needs reuse_port",
    errno.EPERM: "; the socket's filter is locked",
}

_BY_CPU: Program = (
    (0x20, 0, 0, 0xFFFFF000 + 36),  # ld cpu (SKF_AD_OFF + SKF_AD_CPU)
    (0x16, 0, 0, 0),  # ret a
)

REFUSE_ALL: Program = ((0x06, 0, 0, 0),)  # ret 0


def check_program(option: str, program: object) -> None:
    """Raises `BadOption` unless `program` has the form of a program. The kernel checks more when it is attached."""
    if sys.platform != "linux":
        raise BadOption(option, program, "classic BPF works on Linux only; leave this option None")
    words = "give a tuple of instructions (code, jt, jf, k), as `tcpdump -dd` prints them"
    if not isinstance(program, tuple) or not 1 <= len(program) <= _MOST:
        raise BadOption(option, program, f"{words}, 1 to {_MOST} of them")
    for instruction in program:
        if not isinstance(instruction, tuple) or len(instruction) != 4:
            raise BadOption(option, instruction, words)
        for field, limit in zip(instruction, _LIMITS, strict=True):
            try:
                check_integer(option, field, 0, limit)
            except BadOption:
                why = f"{words}: {safe_repr(field)} is not a number from 0 to {limit}"
                raise BadOption(option, instruction, why) from None


def check_steering(option: str, steering: object) -> None:
    """Raises `BadOption` unless `steering` is "cpu", has the form of a program, or can be compiled to one."""
    if isinstance(steering, Field):
        try:
            steering = compile_steering(steering, 1)
        except BadOption as error:
            raise BadOption(option, error.value, error.why) from None
    elif isinstance(steering, str):
        if steering != "cpu":
            raise BadOption(option, steering, 'give "cpu", a part of meta.where, or a classic BPF program')
        steering = _BY_CPU
    check_program(option, steering)


def attach_filter(sock: socket.socket, program: Program | None, option: str = "bpf") -> None:
    """Makes the kernel deliver only datagrams that `program` passes; None: all. Raises `BadOption`."""
    if program is not None:
        _set(sock, _SO_ATTACH_FILTER, option, program, program)
    else:
        _unset(sock, _SO_DETACH_FILTER)


def has_filter(sock: socket.socket) -> bool:
    """Returns True if a program is attached to `sock`, by this program or another."""
    if sys.platform != "linux" or not isinstance(sock, socket.socket):
        return False
    library = ctypes.CDLL(None, use_errno=True)
    size = ctypes.c_uint(0)  # without room the kernel reports only the length
    failed = library.getsockopt(sock.fileno(), socket.SOL_SOCKET, _SO_ATTACH_FILTER, None, ctypes.byref(size))
    return size.value > 0 if not failed else ctypes.get_errno() == errno.EACCES  # an eBPF program is not shown


def attach_steering(sock: socket.socket, steering: str | Program, option: str = "reuse_port_steering") -> None:
    """Makes `steering` choose among the sockets of this socket's port. Call it after binding: an unbound socket would
    get a separate group. Raises `BadOption`."""
    _set(sock, _SO_ATTACH_REUSEPORT_CBPF, option, steering, _BY_CPU if isinstance(steering, str) else steering)


def detach_steering(sock: socket.socket) -> None:
    """Makes the kernel's hash choose again among the sockets of this socket's port."""
    _unset(sock, _SO_DETACH_REUSEPORT_BPF)


def _unset(sock: socket.socket, number: int) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, number, 0)
    except OSError as error:
        if error.errno != errno.ENOENT:  # no program is attached
            raise


def _set(sock: socket.socket, number: int, option: str, value: object, program: Program) -> None:
    code = b"".join([_INSTRUCTION.pack(*instruction) for instruction in program])
    memory = ctypes.create_string_buffer(code, len(code))
    try:
        sock.setsockopt(socket.SOL_SOCKET, number, _pointing(memory, len(program)))
    except OSError as error:
        raise BadOption(
            option, value, f"the system refuses it: {error.strerror}{_HINTS.get(error.errno or 0, '')}"
        ) from None


def _pointing(memory: Any, count: int) -> bytes:
    return struct.pack("HP", count, ctypes.addressof(memory))  # struct sock_fprog
