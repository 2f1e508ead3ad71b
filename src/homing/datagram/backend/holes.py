"""Holes: where datagrams are missing in the order in which a socket has received them.

Linux stores with each datagram how many the socket had dropped before it (SO_RXQ_OVFL, socket(7)), which gives the
place of a loss between two datagrams. Those that were dropped behind the last datagram have none to be stored with:
SO_MEMINFO tells their number. They are behind the last datagram only if the socket was found empty after that number
was read, so it is read before the socket is, and again afterwards.
"""

from __future__ import annotations

import socket
import sys
from collections import deque
from time import time_ns
from typing import NamedTuple

from ..sockets.kernel import kernel_drops
from .ancillary import SO_RXQ_OVFL

_WORD = 0xFFFF_FFFF
"""The kernel counts in 32 bits."""

_HALF = 1 << 31


class Hole(NamedTuple):
    """`missing` datagrams are missing before the datagram of the number `place`. The other fields are those of
    `MessageUDPLoss`."""

    place: int
    missing: int
    cause: str
    since: int
    until: int


class Holes:
    """The holes that a backend finds in the datagrams of its socket. Datagrams are numbered in the order of arrival.

    place: the number of the next datagram that becomes a message.
    handed: number of datagrams handed out so far.
    unsettled: True if datagrams may have been dropped behind the last one that was read: read again, to see.
    known: False if another program reads from the socket, or has until now: then the count begins with the first
        datagram that was dropped from now on.
    """

    def __init__(self, sock: socket.socket, waiting: int, *, known: bool = True) -> None:
        self._sock = sock
        self.place = waiting
        self.handed = 0
        self.unsettled = False
        self._found: deque[Hole] = deque()
        if sys.platform == "linux":
            try:
                sock.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
            except OSError:
                pass  # only the ends of bursts are found then
        self._drops = kernel_drops(sock) if known else None
        self._looked: int | None = self._drops
        self._before = -1  # when the kernel received the last datagram
        self._empty = self._began = time_ns()

    # --- for the backend ----------------------------------------------------------------------------------

    def look(self) -> None:
        """Call it before each read of the socket."""
        self._looked = kernel_drops(self._sock)
        self._began = time_ns()
        self.unsettled = True

    def reached(self, drops: int, timestamp: int) -> None:
        """A datagram was read before which the kernel had dropped `drops` (0: none, or not known).

        timestamp: when the kernel received it; -1: not known.
        """
        if drops:
            self._dropped(drops, timestamp)
        if timestamp >= 0:
            self._before = timestamp

    def emptied(self) -> None:
        """The read has found the socket empty."""
        if self._looked is not None:
            self._dropped(self._looked, -1)
        self._before, self._empty = -1, self._began  # later ones came after the read has begun
        now = kernel_drops(self._sock)
        self.unsettled = now is not None and self._drops is not None and (now - self._drops) & _WORD != 0

    def limited(self, count: int) -> None:
        """The next `count` datagrams are above their source's rate."""
        now = time_ns()
        self._add(count, "rate_limit", min(self._began, now), now)

    def lost(self, count: int) -> None:
        """The last `count` datagrams were lost before they became messages."""
        self.place -= count
        now = time_ns()
        self._add(count, "no_receiver", now, now)

    def _dropped(self, drops: int, timestamp: int) -> None:
        drops &= _WORD
        count = 0 if self._drops is None else (drops - self._drops) & _WORD
        if count >= _HALF:
            return  # the datagram came before those that were already found missing
        self._drops = drops
        if count:
            since, until = self._empty if self._before < 0 else self._before, time_ns() if timestamp < 0 else timestamp
            self._add(count, "kernel", min(since, until), until)  # the clock may have been set back

    def _add(self, count: int, cause: str, since: int, until: int) -> None:
        last = self._found[-1] if self._found else None
        if last is not None and (last.place, last.cause) == (self.place, cause):
            self._found[-1] = last._replace(missing=last.missing + count, until=max(last.until, until))
        else:
            self._found.append(Hole(self.place, count, cause, since, until))

    # --- for the reader -----------------------------------------------------------------------------------

    def take(self, count: int) -> list[Hole]:
        """Returns the holes before, between and behind the next `count` datagrams, which are handed out now. `place` of
        each is the number of those among them that come before it."""
        first, self.handed = self.handed, self.handed + count
        found = []
        while self._found and self._found[0].place <= self.handed:
            hole = self._found.popleft()
            found.append(hole._replace(place=max(0, hole.place - first)))
        return found
