"""The choice of a backend for a socket: native if available, otherwise portable."""

from __future__ import annotations

import os
import socket
import sys
from functools import cache
from typing import Any, TypeAlias

from ...finder import why_interpreted
from ...gen import BadOption
from ..address import AF_UNIX, Address
from ..message import PacketInfo
from .base import Backend

Pooled: TypeAlias = tuple[Any, int, Address, bool, PacketInfo | None]
"""The pooled buffer, the received length, the source address, whether the datagram was truncated, and its info."""

VARIABLE = "HOMING_DATAGRAM"


def open_backend(
    sock: socket.socket, buffer_size: int, *, gro: bool = True, gso: bool = True, info: bool = False
) -> Backend:
    """Returns the backend for `sock`; a portable one for Unix sockets and for a test's fake sockets.

    gro: let the kernel join datagrams, if it can. gso: send runs of datagrams as one. info: read each packet's info.
    """
    if sock.family == AF_UNIX:
        from .unix import UnixBackend

        return UnixBackend(sock, buffer_size)
    if not isinstance(sock, socket.socket) or why_portable():
        from .portable import PortableBackend

        return PortableBackend(sock, buffer_size, info)
    from .native import NativeBackend

    return NativeBackend(sock, buffer_size, gro, gso, info)


def why_portable() -> str:
    """Returns why the native backend is not used here; "" if it is.

    Raises `BadOption` if HOMING_DATAGRAM is not the name of a backend, or is `native` and that cannot be used.
    """
    wish = os.environ.get(VARIABLE, "")
    if wish not in ("", "native", "portable"):
        raise BadOption(VARIABLE, wish, "set it to native or portable, or leave it unset")
    if wish == "portable":
        return f"{VARIABLE} asks for it"
    reason = _probe()
    if reason and wish == "native":
        raise BadOption(VARIABLE, wish, reason)
    return reason


@cache
def _probe() -> str:
    if sys.platform != "linux":
        return "the native backend is only for Linux"
    try:
        from .native import probe
    except ImportError as error:
        return f"the native backend was not built with this installation ({why_interpreted() or error})"
    reason = probe()
    return f"the system does not allow the native backend: {reason}" if reason else ""
