"""A process among several that share their ports: a server with `reuse_port` that is about to bind asks the supervising
program for the socket of its process, and gets the same one however often the process was restarted.

The question blocks the process, as binding does. If the supervising program has ended, servers bind as everywhere.
"""

from __future__ import annotations

import errno
import itertools
import os
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from ....gen.options import MOST, decimal_of
from ...address import Address
from ...policy.compiling import Program, compile_steering
from ...policy.expressions import Field
from ..forks import close_in_forks
from ..inherited import Inherited, discard, keep, same_socket
from .messages import MOST_DESCRIPTORS, BadMessage, Key, close_all, number_untrusted, receive_untrusted, send

VARIABLE = "HOMING_SHARED_SOCKETS"
"""The environment variable with the number of the descriptor, and that of the processes: "5/2"."""

ANSWER_TIMEOUT = 10.0
"""Seconds to wait for an answer. The supervising program answers at once, but another process may be binding."""

Make: TypeAlias = Callable[[int, socket.socket | None], list[socket.socket]]
"""Binds so many sockets; to the address of the given one, if any."""


class SharedSocket(socket.socket):
    """A socket of this process's share. Closing it tells the supervising program."""

    _closing: Callable[[], None] | None = None

    def on_close(self, closing: Callable[[], None]) -> None:
        """Calls `closing` once, when the socket is closed in this program."""
        self._closing = closing

    def close(self) -> None:
        closing, self._closing = self._closing, None
        super().close()
        if closing is not None:
            closing()

    def close_in_fork(self) -> None:
        """Closes the duplicate in a forked child. The supervising program is not told."""
        self._closing = None
        super().close()


class Seat:
    """The connection to the supervising program. Owns `sock`. processes: how many share their ports; 0: unknown."""

    def __init__(self, sock: socket.socket, processes: int = 0) -> None:
        self.processes = processes
        sock.settimeout(ANSWER_TIMEOUT)
        self._sock = close_in_forks(sock, socket.socket.close)
        self._lock = threading.Lock()  # servers are also made on the threads of processes
        self._refs = itertools.count()

    def open(
        self,
        key: Key,
        make: Make,
        *,
        addresses: Sequence[Address | str] = (),
        steered: bool = False,
        stream: bool = False,
    ) -> SharedSocket | None:
        """Returns the socket of this process at an address, a duplicate that the caller closes; None if the supervising
        program has ended. If another process hands the same socket over, `inherited.lender_of` knows it.

        make: called if nobody has bound the sockets. addresses: those that they can get. steered: a program chooses the
        socket of a datagram, by number. stream: the socket of TCP that all processes accept from, instead. Raises
        `OSError`, and what `make` raises.
        """
        with self._lock:
            try:
                answer, sock = self._ask(make, key=key, addresses=addresses, steered=steered, stream=stream)
            except (EOFError, ConnectionError):
                return None
            except TimeoutError:
                raise TimeoutError(errno.ETIMEDOUT, "the supervising program does not answer") from None
            except BadMessage as error:
                raise OSError(0, f"the supervising program refuses it: {error}") from None
        return self._lend(answer, sock)

    def started(self) -> None:
        """Reports that the application has started."""
        self._tell(say="started")

    def _ask(self, make: Make, **question: Any) -> tuple[dict[str, Any], socket.socket]:
        ref = next(self._refs)
        send(self._sock, say="ask", ref=ref, **question)
        answer, sockets = self._answer(ref)
        if answer.get("say") == "make":
            try:
                made = make(number_untrusted(answer, "count"), sockets[0] if sockets else None)
            except BaseException:
                self._tell(say="failed", ref=ref)
                raise
            finally:
                close_all(sockets)
            try:
                self._hand_over(ref, made)
            finally:
                close_all(made)
            answer, sockets = self._answer(ref)
        if answer.get("say") != "socket" or len(sockets) != 1:
            close_all(sockets)
            raise BadMessage(str(answer.get("why", answer.get("say"))))
        return answer, sockets[0]

    def _answer(self, ref: int) -> tuple[dict[str, Any], list[socket.socket]]:
        while True:
            answer, sockets = receive_untrusted(self._sock)
            if answer.get("ref") == ref:
                return answer, sockets
            close_all(sockets)  # too late for an earlier question
            if answer.get("say") == "make":
                self._tell(say="failed", ref=answer.get("ref"))
            elif answer.get("say") == "socket":
                self._tell(say="release", group=answer.get("group"))

    def _hand_over(self, ref: int, made: Sequence[socket.socket]) -> None:
        for start in range(0, len(made), MOST_DESCRIPTORS):
            part = made[start : start + MOST_DESCRIPTORS]
            left = len(made) - start - len(part)
            send(self._sock, [sock.fileno() for sock in part], say="made", ref=ref, left=left)

    def _lend(self, answer: dict[str, Any], sock: socket.socket) -> SharedSocket:
        handed = same_socket(sock)
        if handed is not None:  # by the predecessor of this process
            sock.close()
            lent = handed.lend(SharedSocket)
            lent.on_close(lambda: self._release(answer, None))
        else:
            own = Inherited(sock.detach(), "", claimable=False)
            counted = answer.get("counted")
            own.counted = counted if type(counted) is int else 0  # a process that has died has counted these
            keep([own])
            lent = own.lend(SharedSocket)
            lent.on_close(lambda: self._release(answer, own))
        return close_in_forks(lent, SharedSocket.close_in_fork)

    def _release(self, answer: dict[str, Any], own: Inherited | None) -> None:
        if own is not None:
            discard([own])
        self._tell(say="release", group=answer.get("group"))

    def _tell(self, **message: Any) -> None:
        with suppress(OSError):  # the supervising program has ended
            send(self._sock, **message)


_seat: Seat | None = None


def current() -> Seat | None:
    """Returns the seat of this program; None if it does not share sockets in this way."""
    return _seat


def steering_by(field: Field) -> Program | None:
    """Returns a program that gives all datagrams with the same bytes in `field` to one of the processes that share
    their ports; None if there is one process, or it is not known how many there are."""
    return compile_steering(field, _seat.processes) if _seat is not None and _seat.processes > 1 else None


def take_seat() -> Seat | None:
    """Takes the seat that the supervising program has prepared, if any, and returns it. Unsets the variable that
    announces it, so that programs started by this one do not use it."""
    global _seat
    number, _, processes = os.environ.pop(VARIABLE, "").partition("/")
    descriptor = decimal_of(number, MOST)
    if descriptor is not None and hasattr(socket, "AF_UNIX"):
        with suppress(OSError):  # no such descriptor, or not a socket
            sock = socket.socket(fileno=descriptor)
            if (sock.family, sock.type) == (socket.AF_UNIX, socket.SOCK_SEQPACKET):
                sock.set_inheritable(False)
                _seat = Seat(sock, decimal_of(processes, MOST) or 0)
            else:
                sock.detach()
    return _seat


def _leave_in_fork() -> None:
    global _seat
    _seat = None


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_leave_in_fork)
