"""A real filter of system calls, as containers have them: seccomp(2)."""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys

import pytest

HERE = sys.platform == "linux" and platform.machine() == "x86_64"
"""True where this program can be filtered."""

needs_filters = pytest.mark.skipif(
    not HERE,
    reason="makes a filter of system calls by their numbers: Linux on x86_64 only",
)

RECVMMSG, SENDMMSG, SETSOCKOPT, IO_URING_SETUP = 299, 307, 54, 425
UDP_SEGMENT, UDP_GRO = 103, 104

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # linux/include/uapi/linux/bpf_common.h
_ARCH_X86_64 = 0xC000003E
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER, _ARCH, _LEVEL, _OPTION = 0, 4, 24, 32  # offsets in `struct seccomp_data`: second and third argument


def _program(steps: list[tuple[int, int, int, int]]) -> bytes:
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def _install(steps: list[tuple[int, int, int, int]]) -> None:
    code = ctypes.create_string_buffer(_program(steps))
    # struct sock_fprog, kept alive by `code` until the kernel has copied it
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((_PR_SET_NO_NEW_PRIVS, 1, 0), (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program)):
        if libc.prctl(arguments[0], ctypes.c_ulong(arguments[1]), arguments[2], 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")


def refuse(call: int, name: str) -> None:
    """From now on this program's system call `call` fails with the errno of that name."""
    _install(
        [
            (_LOAD, 0, 0, _ARCH),
            (_JUMP_IF_EQUAL, 0, 3, _ARCH_X86_64),
            (_LOAD, 0, 0, _NUMBER),
            (_JUMP_IF_EQUAL, 0, 1, call),
            (_RETURN, 0, 0, _ERRNO | getattr(errno, name)),
            (_RETURN, 0, 0, _ALLOW),
        ]
    )


def refuse_option(option: int, name: str) -> None:
    """From now on this program's setsockopt(2) fails for this option of UDP."""
    _install(
        [
            (_LOAD, 0, 0, _ARCH),
            (_JUMP_IF_EQUAL, 0, 7, _ARCH_X86_64),
            (_LOAD, 0, 0, _NUMBER),
            (_JUMP_IF_EQUAL, 0, 5, SETSOCKOPT),
            (_LOAD, 0, 0, _LEVEL),
            (_JUMP_IF_EQUAL, 0, 3, 17),
            (_LOAD, 0, 0, _OPTION),
            (_JUMP_IF_EQUAL, 0, 1, option),
            (_RETURN, 0, 0, _ERRNO | getattr(errno, name)),
            (_RETURN, 0, 0, _ALLOW),
        ]
    )
