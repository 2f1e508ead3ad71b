"""Batches of other nodes, on their way from a reader thread to the event loop: one wake-up of it for each burst."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

from ..engine import Peer

MOST_OF_ONE, MOST_OF_ALL = 8 << 20, 128 << 20
"""Bytes that wait for the loop, of one node and of all. A node has at most 2 MiB under way, and its signals: only one
that breaks the rules gets there. More is dropped; the numbers in the batches show it."""

_BESIDE = 256
"""Bytes that a batch takes beside its data, so that empty ones are not endless."""

_AT_ONCE = 64
"""Batches handed over in one turn of the loop: others have their turn in between, a few milliseconds later."""


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
        """Takes arrivals until there are no more, in the calling thread. None: one that is not to be delivered."""
        for arrival in arrivals:
            if arrival is not None and self._admits(arrival):
                self._arrivals.append(arrival)
                if not self._posted:
                    self._posted = True
                    self._wake()

    def close(self) -> None:
        """Delivers nothing more. On the loop."""
        self._closed = True

    def _wake(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is there to deliver to
            self._loop.call_soon_threadsafe(self._drain)

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
        for _ in range(min(len(self._arrivals), _AT_ONCE)):
            arrival = self._arrivals.popleft()
            self._release(arrival)
            if not self._closed:
                self._deliver(arrival)
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
