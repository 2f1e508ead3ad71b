"""Changing what a socket has from its beginning, while it is used."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable

from ..gen import BadOption
from .bpf import REFUSE_ALL, Program, Steering, attach_filter, attach_steering, detach_steering
from .endpoint import Endpoint
from .kernel import granted_buffer

_SO_BUF_LOCK = 72  # asm-generic/socket.h: which buffers were asked for, so that the kernel leaves them as they are
_BUFFERS = {"receive_buffer": socket.SO_RCVBUF, "send_buffer": socket.SO_SNDBUF}


def resize(endpoint: Endpoint, name: str, size: int | None) -> Callable[[], None]:
    """Asks for another `receive_buffer` or `send_buffer`. None: what the system gives to a new socket. What waits there
    stays, also if it is more. Gives a function that undoes it. Raises `BadOption`."""
    before, lock = getattr(endpoint, name), _locks(endpoint.socket)
    _resize(endpoint, name, size)

    def undo() -> None:
        _resize(endpoint, name, before)
        if lock is not None:
            endpoint.socket.setsockopt(socket.SOL_SOCKET, _SO_BUF_LOCK, lock)

    return undo


def _locks(sock: socket.socket) -> int | None:
    try:
        return sock.getsockopt(socket.SOL_SOCKET, _SO_BUF_LOCK) if sys.platform == "linux" else None
    except OSError:
        return None  # before Linux 5.14


def _resize(endpoint: Endpoint, name: str, size: int | None) -> None:
    option = _BUFFERS[name]
    if size is None:
        with socket.socket(endpoint.family, socket.SOCK_DGRAM) as new:
            size = granted_buffer(new, option)
    try:
        endpoint.socket.setsockopt(socket.SOL_SOCKET, option, size)
    except OSError as error:
        raise BadOption(name, size, f"the system refuses it: {error.strerror}") from None
    setattr(endpoint, name, granted_buffer(endpoint.socket, option))


def filter_by(endpoint: Endpoint, program: Program | None) -> None:
    """Lets in what `program` passes; None: everything. Raises `BadOption`."""
    attach_filter(endpoint.socket, program)


def steer_by(endpoint: Endpoint, steering: Steering | None) -> None:
    """Lets `steering` choose among the sockets of this port; None: the kernel's hash. Raises `BadOption`."""
    if steering is None:
        detach_steering(endpoint.socket)
    else:
        attach_steering(endpoint.socket, steering)


def refuse_all(endpoint: Endpoint) -> bool:
    """Takes nothing more in; what was taken can still be read. False: this system has no way to do that."""
    if sys.platform != "linux" or not isinstance(endpoint.socket, socket.socket):
        return False
    attach_filter(endpoint.socket, REFUSE_ALL)
    return True
