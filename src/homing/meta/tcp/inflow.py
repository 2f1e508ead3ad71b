"""The way of frames into a mailbox: as many as it has room for, from each connection in turn."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from ...gen import Target
from ...node.processes.meta_process import MetaRunner
from ...node.scheduling.source import Source
from .messages import MessageTCP

if TYPE_CHECKING:
    from .connection import Connection
    from .counters import Counters
    from .limits import TCPOptions

SHARE = 64
"""The most frames that one connection delivers before the next has its turn."""


class Inflow(Source):
    """The way of the frames of some connections to one receiver. Nothing is dropped while the receiver is slow: its
    connections are not read, so that their peers have to wait."""

    __slots__ = ("_counters", "_held", "_inlet", "_process", "_queue")

    def __init__(self, process: MetaRunner, to: Target, options: TCPOptions, counters: Counters) -> None:
        high, low, most_bytes = options.high_water, options.low, options.high_water_bytes
        self._process = process
        self._inlet = process.inlet(to, high, low, self.go_on, "pause", most_bytes)
        self._counters = counters
        self._queue: deque[Connection] = deque()
        self._held: list[Any] = []  # messages that the receiver did not take, as it ended at that moment

    @property
    def receiver(self) -> Target:
        """The address that messages go to."""
        return self._inlet.receiver

    @property
    def waiting_for(self) -> str:
        """The reason why nothing is delivered: "mailbox" (full), "receiver" (there is none), or ""."""
        return self._inlet.waiting_for

    @property
    def waiting(self) -> int:
        """The number of frames that were taken from a stream and not delivered."""
        return _frames(self._held)

    def redirect(self, to: Target) -> None:
        """Delivers to `to` from now on."""
        self._inlet.redirect(to)
        self.go_on()

    def add(self, connection: Connection) -> None:
        """Delivers what `connection` has, now or as soon as there is room."""
        if not connection.queued:
            connection.queued = True
            self._queue.append(connection)
        self.go_on()

    def go_on(self) -> None:
        """Delivers what waits, and runs the receiver at once."""
        if self._process.alive:
            self._process.scheduler.run_with(self)

    def put_messages(self) -> None:
        """Delivers while there is room."""
        queue = self._queue
        while queue or self._held:
            room = self._inlet.room()
            if room <= 0:
                return
            if self._held:
                held, self._held = self._held, []
                self._put(held[:room])
                self._held += held[room:]
                continue
            connection = queue.popleft()
            connection.queued = False
            messages = connection.take(min(room, SHARE))
            if messages:
                self._put(messages)
            self.requeue(connection)

    def requeue(self, connection: Connection) -> None:
        """Lets a connection that had its turn wait for the next one, if it has more; otherwise it is read again."""
        if connection.pending and not connection.queued:
            connection.queued = True
            self._queue.append(connection)
        connection.settle()

    def _put(self, messages: list[Any]) -> None:
        octets, longest = sizes(messages)
        taken = self._inlet.put(messages, octets, longest)
        self._counters.delivered += _frames(messages[:taken])
        if taken < len(messages):
            self._held = messages[taken:] + self._held

    def close(self) -> int:
        """Stops delivering. Returns how many frames are lost."""
        self._inlet.close()
        self._queue.clear()
        lost, self._held = _frames(self._held), []
        return lost


def _frames(messages: list[Any]) -> int:
    return sum(type(message) is MessageTCP for message in messages)


def sizes(messages: list[Any]) -> tuple[int, int]:
    """Returns the total length of the frames among `messages`, and the longest; data other than bytes counts as 64."""
    octets = longest = 0
    for message in messages:
        data = message.data if type(message) is MessageTCP else b""
        length = len(data) if type(data) is bytes else 64
        octets += length
        if length > longest:
            longest = length
    return octets, longest
