"""The sockets of one port: of UDP one for each process, of TCP one for all together."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from ...address import format_address
from ..forks import close_in_forks
from .messages import Key, close_all

if TYPE_CHECKING:
    from .keeper import Place


class Group:
    """The sockets that the processes share at one address.

    Rule 1: the kernel numbers the sockets in the order of binding. They are bound in the order of their processes, and
    stay open while any process uses one: so the number of a socket is always that of its process. Without steering
    numbers do not matter: a socket that nobody is to read any more is closed, and its peers get another.
    Rule 2: of TCP there is one socket that listens, for all processes: connections wait there, not at a process, and
    whichever process accepts them first has them. So none is lost with a process.
    Rule 3: a group is in use while a process has a server there (`holders`), or is to have it again (`awaited`).

    number: identifies it in messages. key: the address that was asked for.
    members: by process; None: not bound yet, or its process has ended for good.
    stream: of TCP; then there is one member.
    steered: a program chooses the socket of a datagram, by number.
    awaited: the processes that had a server there when they died, and that have not asked again.
    maker: the process that binds the missing sockets at the moment. queue: those that wait for it, with the number of
        their question.
    """

    def __init__(
        self, number: int, key: Key, members: list[socket.socket | None], *, steered: bool = False, stream: bool = False
    ) -> None:
        self.number = number
        self.key = key
        self.members = [None if sock is None else _guarded(sock) for sock in members]
        self.stream = stream
        self.steered = steered
        self.holders: set[Place] = set()
        self.awaited: set[int] = set()
        self.maker: Place | None = None
        self.queue: list[tuple[Place, int]] = []

    def __str__(self) -> str:
        sample = self.sample
        return format_address(self.key[:2] if sample is None else sample.getsockname())

    @property
    def sample(self) -> socket.socket | None:
        """One of the sockets, if there is any."""
        return next((sock for sock in self.members if sock is not None), None)

    def of_process(self, process: int) -> socket.socket | None:
        """Returns the socket that a process uses; None if it is not bound."""
        return self.members[0 if self.stream else process]

    @property
    def missing(self) -> int:
        """The number of sockets that are not bound."""
        return self.members.count(None)

    @property
    def in_use(self) -> bool:
        """True while it must not be closed."""
        return bool(self.holders or self.awaited or self.queue) or self.maker is not None

    def fill(self, made: list[socket.socket]) -> None:
        """Adds sockets, in the order of their binding, in the places of those that are missing."""
        left = map(_guarded, made)
        self.members = [next(left, None) if sock is None else sock for sock in self.members]

    def drop(self, process: int) -> None:
        """Closes the socket of a process."""
        sock, self.members[process] = self.members[process], None
        if sock is not None:
            sock.close()

    def close(self) -> None:
        """Closes all sockets."""
        close_all(sock for sock in self.members if sock is not None)
        self.members = [None] * len(self.members)


def _guarded(sock: socket.socket) -> socket.socket:
    return close_in_forks(sock, socket.socket.close)
