"""Batches of other nodes, on their way from a reader thread to the event loop: one wake-up of it for each burst."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic
from typing import NamedTuple

from ..engine import Peer
from .waking import open_waker

MOST_OF_ONE, MOST_OF_ALL = 8 << 20, 128 << 20
"""Bytes that wait for the loop, of one node and of all. A node has at most 2 MiB under way, and its signals: only one
that breaks the rules gets there. More is dropped; the numbers in the batches show it."""

_BESIDE = 256
"""Bytes that a batch takes beside its data, so that empty ones are not endless."""

_AT_ONCE, _SECONDS = 64, 0.002
"""Batches handed over in one turn of the loop, and the time after which no other is begun: the loop then polls its
sockets and timers. The time is the default of `NodeOptions.slice_seconds`. By number alone, 64 full batches of a flood
held the loop for 20 to 60 ms."""


class Arrival(NamedTuple):
    """A batch that has come: from whom, as its key says, in which lane, and its bytes."""

    peer: Peer
    lane: int
    data: bytes


class Inbox:
    """Carries arrivals from a thread to the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, deliver: Callable[[Arrival], None]) -> None:
        """deliver: called on the loop for each arrival."""
        self._loop = loop
        self._waker = open_waker(loop, self._drain)
        self._deliver = deliver
        self._arrivals: deque[Arrival] = deque()
        self._posted = False
        self._closed = False
        self._lock = threading.Lock()
        self._waiting: dict[Peer, int] = {}
        self._total = 0
        self.dropped = 0
        """Batches dropped because too much waited."""

    def read(self, arrivals: Iterable[Arrival | None]) -> None:
        """Takes arrivals until there are no more, in the calling thread. None: wakes the loop for those before it."""
        try:
            for arrival in arrivals:
                if arrival is None:
                    self._tell()
                elif self._admits(arrival):
                    self._arrivals.append(arrival)
        finally:
            self._tell()

    def _tell(self) -> None:
        if self._arrivals and not self._posted:
            self._posted = True
            self._waker.wake()

    def waits(self, peer: Peer) -> bool:
        """Returns True if batches of `peer` are not delivered yet."""
        with self._lock:
            return peer in self._waiting

    def close(self) -> None:
        """Delivers nothing more. On the loop."""
        self._closed = True
        self._waker.close()

    def _admits(self, arrival: Arrival) -> bool:
        size = len(arrival.data) + _BESIDE
        with self._lock:
            present = self._waiting.get(arrival.peer, 0)
            if self._closed or present + size > MOST_OF_ONE or self._total + size > MOST_OF_ALL:
                self.dropped += 1
                return False
            self._waiting[arrival.peer] = present + size
            self._total += size
        return True

    def _drain(self) -> None:
        self._posted = False  # before the look, so that nothing that comes now stays unseen
        end = monotonic() + _SECONDS
        for _ in range(min(len(self._arrivals), _AT_ONCE)):
            arrival = self._arrivals.popleft()
            self._release(arrival)
            if not self._closed:
                self._deliver(arrival)
            if monotonic() >= end:
                break
        if self._arrivals and not self._posted:
            self._posted = True
            self._loop.call_soon(self._drain)

    def _release(self, arrival: Arrival) -> None:
        with self._lock:
            size = len(arrival.data) + _BESIDE
            left = self._waiting[arrival.peer] - size
            self._total -= size
            if left:
                self._waiting[arrival.peer] = left
            else:
                del self._waiting[arrival.peer]
