"""The way of frames into a mailbox: as many as it has room for, from each connection in turn."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from ...gen import Target
from ...node.processes.meta_process import MetaRunner
from ...node.scheduling.source import Source
from .messages import MessageTCP, frame_of

if TYPE_CHECKING:
    from .connection import Connection
    from .counters import Counters
    from .hub import Hub
    from .limits import TCPOptions

SHARE = 64
"""The most frames that one connection delivers before the next has its turn."""


class Inflow(Source):
    """The way of the frames of some connections to one receiver. Nothing is dropped while the receiver is slow: its
    connections are not read, so that their peers have to wait.

    A frame that comes alone, while the receiver sleeps and nothing waits there, is handed over past the mailbox.
    """

    __slots__ = ("_counters", "_held", "_hub", "_inlet", "_process", "_queue", "_scheduler", "_straight")

    def __init__(self, process: MetaRunner, to: Target, options: TCPOptions, counters: Counters) -> None:
        high, low, most_bytes = options.high_water, options.low, options.high_water_bytes
        self._process = process
        self._scheduler = process.scheduler
        self._hub: Hub | None = None  # of its connections
        self._straight = type(self) is Inflow  # else the frames are looked at on their way
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
        self._hub = connection.hub
        self.go_on()

    def go_on(self) -> None:
        """Delivers what waits, and runs the receiver at once."""
        if not self._process.alive:
            return
        if self._hub is None:
            self._scheduler.run_with(self)
        else:
            self._hub.run(self)

    def gives(self, hub: Hub) -> bool:
        """Returns True if the next frame of `hub` may be given alone, as far as is known before it was looked at."""
        if not self._straight or self._scheduler.armed or hub.collects or hub.limiter.active:
            return False
        return not self._queue and not self._held and self._process.alive

    def give(self, connection: Connection, frame: bytes) -> bool:
        """Hands over the only frame that has come, and runs the receiver with it: past the mailbox, in which nothing
        waits. Returns False if it has done nothing."""
        scheduler, inlet, counters, hub = self._scheduler, self._inlet, self._counters, connection.hub
        message = frame_of(hub.alias, connection.addr, frame, connection.number, connection.info)
        receiver = inlet.lone_receiver()
        if receiver is None:
            return False
        connection.begun = 0.0
        connection.asked += 1
        counters.received += 1
        counters.delivered += 1  # first, as the receiver may look at the counters
        inlet.count(1)
        receiver.fed = True
        scheduler.taken = False
        hub.collects = True
        try:
            scheduler.run_lone(receiver, inlet.sender, message)
        finally:
            hub.collects = False
            if not scheduler.taken:  # the receiver has ended, or something failed: it takes the ordinary way
                counters.delivered -= 1
                inlet.count(-1)
                self._held.append(message)
            hub.flush()
        if self._held:
            self._hub = hub
            self.go_on()
        return True

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
        if connection.has_more() and not connection.queued:
            connection.queued = True
            self._queue.append(connection)
        connection.settle()

    def _put(self, messages: list[Any]) -> None:
        octets, longest = sizes(messages)
        taken = self._inlet.put(messages, octets, longest)
        if taken < len(messages):
            self._held = messages[taken:] + self._held
            messages = messages[:taken]
        self._counters.delivered += _frames(messages)

    def close(self) -> int:
        """Stops delivering. Returns how many frames are lost."""
        self._inlet.close()
        self._queue.clear()
        lost, self._held = _frames(self._held), []
        return lost


def _frames(messages: list[Any]) -> int:
    count = 0
    for message in messages:
        count += type(message) is MessageTCP
    return count


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
