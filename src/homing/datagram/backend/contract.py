"""The interface of a backend, and the choice of one for a socket: native if it can serve, else portable."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol, TypeAlias

from ...gen import BadOption
from ..address import AF_UNIX, Address
from ..batch import Columns
from ..failures import Failures
from ..message import MessageUDP, PacketInfo
from ..policy.admission import Admission

Pooled: TypeAlias = tuple[Any, int, Address, bool, PacketInfo | None]
"""The pooled buffer, the length received into it, the source address, whether the datagram was longer, and its
info."""

Retry: TypeAlias = Callable[[int, int], bool]

VARIABLE = "HOMING_DATAGRAM"


class Backend(Protocol):
    """Receives and sends on one non-blocking socket.

    gro: the kernel may hand over trains of datagrams that it has joined (udp(7) UDP_GRO).
    gso: runs of datagrams to one peer go to the kernel as one (udp(7) UDP_SEGMENT).
    waiting: datagrams that were read with others, but not handed on: the next `receive` begins with them.
    more: the last read was full, so there may be more.
    cut_trains: trains that were shorter than they can be, see `Statistics`.
    admission: decides which datagrams become messages. None: all.
    retry: called when a datagram could not be sent, with the errno and the number of retries so far. True: it is sent
        again. None: never.
    """

    name: str
    waiting: int
    more: bool
    admission: Admission | None
    packets_in: int
    bytes_in: int
    truncated: int
    cut_trains: int
    packets_out: int
    bytes_out: int
    retry: Retry | None

    @property
    def gro(self) -> bool: ...
    @property
    def gso(self) -> bool: ...

    def receive(self, limit: int, reads: int, id: Any) -> list[MessageUDP]:
        """Returns up to `limit` messages of what is there, from up to `reads` reads of the kernel's; none if nothing is
        there, or nothing of it was admitted.

        Raises `OSError` if the system reports an error, once all that came before was handed on.
        """

    def receive_columns(self, reads: int) -> Columns | None:
        """Returns all that up to `reads` reads bring, without making messages; None if nothing is there. Raises
        `OSError`."""

    def receive_pooled(self, limit: int, get: Callable[[], Any], put: Callable[[Any], None]) -> list[Pooled]:
        """Receives as `receive` does, each datagram into a buffer of its own from `get`. Returns unused buffers by
        `put`."""

    def send(self, message: MessageUDP) -> int:
        """Sends one datagram and returns its length. Raises `BlockingIOError` if it has to wait, `OSError` if it fails,
        and what is wrong with its address or data."""

    def send_many(self, messages: list[MessageUDP], failures: Failures) -> int:
        """Sends `messages` in order and returns how many are done; the others have to wait. Adds those of them that
        failed to `failures`."""

    def join(self, sock: socket.socket) -> None:
        """Lets the kernel join datagrams, where it can."""

    def split(self, sock: socket.socket) -> bool:
        """Lets the kernel join datagrams no more. False: some may still wait there; `drain` first."""

    def drain(self, reads: int) -> bool:
        """Reads what waits in the kernel; it is handed on later. False: `reads` reads were not enough. Raises
        `OSError`."""

    def fit(self, sock: socket.socket, buffer_size: int, gso: bool, info: bool) -> None:
        """Changes what `open_backend` was given. What was read before is handed on, without infos if it has none."""

    def close(self) -> None:
        """Frees what the backend holds. The socket may be closed from now on."""


def open_backend(
    sock: socket.socket, buffer_size: int, *, gro: bool = True, gso: bool = True, info: bool = False
) -> Backend:
    """Returns the backend for `sock`; a portable one for Unix sockets and for a test's fake sockets.

    gro: let the kernel join datagrams, where it can. gso: give it runs as one. info: read the info of each packet.
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
    """Returns why the native backend does not serve here; "" if it does.

    Raises `BadOption` if HOMING_DATAGRAM is set to what is no backend, or to `native` where there is none.
    """
    wish = os.environ.get(VARIABLE, "")
    if wish not in ("", "native", "portable"):
        raise BadOption(VARIABLE, wish, "set it to native or portable, or not at all")
    if wish == "portable":
        return f"{VARIABLE} asks for it"
    reason = _probe()
    if reason and wish == "native":
        raise BadOption(VARIABLE, wish, reason)
    return reason


@cache
def _probe() -> str:
    if sys.platform != "linux":
        return "the native backend is for Linux"
    try:
        from .native import probe
    except ImportError as error:
        return f"the native backend was not built with this installation ({error})"
    reason = probe()
    return f"the system does not let us use it: {reason}" if reason else ""
