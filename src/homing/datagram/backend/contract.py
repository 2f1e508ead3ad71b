"""The interface of a backend, and the choice of a backend for a socket: native if available, otherwise portable."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol, TypeAlias

from ...finder import why_interpreted
from ...gen import BadOption
from ..address import AF_UNIX, Address
from ..batch import Columns
from ..failures import Failures
from ..message import MessageUDP, PacketInfo
from ..policy.admission import Admission

Pooled: TypeAlias = tuple[Any, int, Address, bool, PacketInfo | None]
"""The pooled buffer, the received length, the source address, whether the datagram was truncated, and its info."""

Retry: TypeAlias = Callable[[int, int], bool]

VARIABLE = "HOMING_DATAGRAM"


class Backend(Protocol):
    """Receives and sends on one non-blocking socket.

    gro: the kernel may deliver trains of datagrams that it has joined (udp(7) UDP_GRO).
    gso: runs of datagrams to one peer are passed to the kernel as one (udp(7) UDP_SEGMENT).
    waiting: datagrams that were read with others but not delivered: the next `receive` begins with them.
    more: True if the last read was full, so that there may be more.
    cut_trains: trains that a program on the socket had cut, see `Statistics`.
    admission: decides which datagrams become messages. None: all.
    retry: called when a datagram could not be sent, with the errno and the number of retries so far. Returns True to
        send it again. None: never.
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

    def receive(self, limit: int, reads: int, id: Any, octets: int = sys.maxsize) -> list[MessageUDP]:
        """Returns up to `limit` messages, from at most `reads` reads of the kernel; an empty list if no datagram is
        waiting or none was admitted. Stops after the message with which the total reaches `octets` bytes.

        Raises `OSError` if the system reports an error, after all datagrams read before it were returned.
        """

    def receive_columns(self, reads: int) -> Columns | None:
        """Returns the datagrams of at most `reads` reads, without making messages; None if none is waiting. Raises
        `OSError`."""

    def receive_pooled(self, limit: int, get: Callable[[], Any], put: Callable[[Any], None]) -> list[Pooled]:
        """Receives like `receive`, each datagram into its own buffer from `get`. Returns unused buffers by `put`."""

    def send(self, message: MessageUDP) -> int:
        """Sends one datagram and returns its length. Raises `BlockingIOError` if it has to wait, `OSError` if it fails,
        and other exceptions for an invalid address or invalid data."""

    def send_many(self, messages: list[MessageUDP], failures: Failures) -> int:
        """Sends `messages` in order and returns how many are done; the others have to wait. Adds those that failed to
        `failures`."""

    def join(self, sock: socket.socket) -> None:
        """Lets the kernel join datagrams, if it can."""

    def split(self, sock: socket.socket) -> bool:
        """Stops the kernel's joining. Returns False if joined datagrams may still wait there: call `drain` first."""

    def drain(self, reads: int) -> bool:
        """Reads the datagrams that wait in the kernel, to be delivered later. Returns False if `reads` reads were not
        enough. Raises `OSError`."""

    def fit(self, sock: socket.socket, buffer_size: int, gso: bool, info: bool) -> None:
        """Changes the arguments of `open_backend`. Datagrams read before are still delivered, with the infos they
        have."""

    def close(self) -> None:
        """Frees the memory of the backend. The socket may be closed afterwards."""


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
