"""Queues of datagrams, one for each source, that are served in turn: deficit round robin (Shreedhar and Varghese,
"Efficient fair queueing using deficit round robin", 1995).

Rule 1: a datagram costs its length and `HEADERS` bytes. In its turn, a source may spend `QUANTUM` and what it had left.
Rule 2: a source whose queue is empty is forgotten, with what it had left.
Rule 3: a drop costs the source whose queue is full; if all together have too much, the one that has most, or about: its
cost has as many binary digits as that of the largest.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from time import time_ns
from typing import Any

from ...datagram import MessageUDP
from ...datagram.backend.holes import Hole

HEADERS = 64
"""Bytes: the shortest frame of Ethernet. Empty datagrams cost something too."""

QUANTUM = 1536
"""Bytes: about the longest frame of Ethernet, so that nearly each datagram is served in the first turn."""

LOSERS = 64
"""Most sources of which the losses are counted."""

CAUSE = "unfair"


class Gap:
    """Dropped datagrams, in the queue that they are missing in."""

    __slots__ = ("count", "since", "until")

    def __init__(self) -> None:
        self.count, self.since = 0, time_ns()

    def grow(self) -> None:
        """Counts one more."""
        self.count += 1
        self.until = time_ns()

    def at(self, place: int) -> Hole:
        """Returns it as a hole before the datagram at `place`."""
        return Hole(place, self.count, CAUSE, self.since, self.until)


class SourceQueue:
    """The datagrams of one source, and the gaps between them. begun: its turn has begun. deficit: bytes left of it."""

    __slots__ = ("begun", "cost", "count", "deficit", "entries")

    def __init__(self) -> None:
        self.entries: deque[Any] = deque()
        self.count = self.cost = self.deficit = 0
        self.begun = False


class FairQueues:
    """The queues.

    waiting: datagrams in all queues. dropped: datagrams that were dropped. losers: how many by source, of those that
        have lost most; each may be too low by `dropped / LOSERS`.
    most, queue, most_cost, oldest, marks: the limits: sources, datagrams of each, bytes of all; drop the oldest
        of a queue that is full, not the newest; keep gaps.
    told: called with each datagram that is dropped, and whether it had waited.
    """

    def __init__(self, told: Callable[[MessageUDP, bool], None]) -> None:
        self._told = told
        self.waiting = self.dropped = self.cost = 0
        self.most = self.queue = self.most_cost = 1
        self.oldest = self.marks = False
        self.losers: dict[Hashable, int] = {}
        self._queues: OrderedDict[Hashable, SourceQueue] = OrderedDict()  # the first one's turn is next
        self._sizes: dict[int, OrderedDict[Hashable, None]] = {}  # sources by the binary digits of their cost
        self._loose: Gap | None = None

    def __len__(self) -> int:
        """The number of sources of which datagrams wait."""
        return len(self._queues)

    def limit(self, *, queue: int, most: int, most_cost: int, oldest: bool, marks: bool) -> None:
        """Sets the limits. Datagrams above them are dropped when others come."""
        self.queue, self.most, self.most_cost, self.oldest, self.marks = queue, most, most_cost, oldest, marks

    def add(self, key: Hashable, message: MessageUDP) -> None:
        """Puts a datagram into the queue of `key`, or drops it or others."""
        queue = self._queues.get(key)
        while queue is None and len(self._queues) >= self.most:
            if not self._evict():
                self._drop(key, message, self._loosely(), waited=False)
                return
        if queue is None:
            queue = SourceQueue()
        while queue.count >= self.queue:
            if not self.oldest:
                self._drop(key, message, self._last(queue), waited=False)
                return
            self._drop_first(key, queue)
        if queue.count == 0:
            self._queues[key] = queue
        queue.entries.append(message)
        queue.count += 1
        self.waiting += 1
        self._charge(key, queue, HEADERS + len(message.data))
        while self.cost > self.most_cost:
            largest = self._largest()
            self._shorten(largest, self._queues[largest])

    def take(self, count: int, octets: int) -> tuple[list[MessageUDP], list[Hole]]:
        """Returns up to `count` datagrams, in turn, the last of which may exceed `octets`; and the gaps among them."""
        taken: list[MessageUDP] = []
        holes: list[Hole] = []
        if self._loose is not None:
            holes.append(self._loose.at(0))
            self._loose = None
        while self._queues and len(taken) < count and octets > 0:
            key = next(iter(self._queues))
            queue = self._queues[key]
            if not queue.begun:
                queue.begun = True
                queue.deficit += QUANTUM
            self._emit(queue, len(taken), holes)
            message = queue.entries[0]
            cost = HEADERS + len(message.data)
            if cost > queue.deficit:
                queue.begun = False
                self._queues.move_to_end(key)
                continue
            taken.append(message)
            queue.deficit -= cost
            octets -= cost - HEADERS
            queue.entries.popleft()
            self._emit(queue, len(taken), holes)
            self._forget(key, queue, cost)
        return taken, holes

    def clear(self) -> int:
        """Releases all datagrams. Returns how many there were."""
        count = self.waiting
        for queue in self._queues.values():
            for entry in queue.entries:
                if type(entry) is not Gap:
                    entry.release()
        self._queues.clear()
        self._sizes.clear()
        self.waiting = self.cost = 0
        return count

    # --- dropping -----------------------------------------------------------------------------------------

    def _drop(self, key: Hashable, message: MessageUDP, gap: Gap | None, *, waited: bool) -> None:
        self.dropped += 1
        if gap is not None:
            gap.grow()
        self._blame(key)
        self._told(message, waited)
        message.release()

    def _blame(self, key: Hashable) -> None:
        """Counts a loss of `key` (Misra and Gries, "Finding repeated elements", 1982)."""
        losers = self.losers
        if key in losers:
            losers[key] += 1
        elif len(losers) < LOSERS:
            losers[key] = 1
        else:
            self.losers = {other: count - 1 for other, count in losers.items() if count > 1}

    def _evict(self) -> bool:
        """Drops all datagrams of the source that has most bytes. Returns False if it has only one datagram."""
        largest = self._largest()
        queue = self._queues[largest]
        if queue.count == 1:
            return False
        gap = self._loosely()
        entries, queue.entries = queue.entries, deque()
        for entry in entries:
            if type(entry) is not Gap:
                self._drop(largest, entry, gap, waited=True)
            elif gap is not None:
                gap.count += entry.count
        self.waiting -= queue.count - 1
        queue.count = 1
        self._forget(largest, queue, queue.cost)
        return True

    def _shorten(self, key: Hashable, queue: SourceQueue) -> None:
        """Drops the oldest or the newest datagram of a source."""
        if self.oldest or queue.count == 1:
            self._drop_first(key, queue)
            return
        gap: Gap | None = None
        if type(queue.entries[-1]) is Gap:
            gap = queue.entries.pop()
        message = queue.entries.pop()
        if self.marks:
            if queue.entries and type(queue.entries[-1]) is Gap:
                before, gap = gap, queue.entries.pop()
                gap.count += 0 if before is None else before.count
            queue.entries.append(gap or Gap())
            gap = queue.entries[-1]
        self._drop(key, message, gap, waited=True)
        self._forget(key, queue, HEADERS + len(message.data))

    def _drop_first(self, key: Hashable, queue: SourceQueue) -> None:
        gap: Gap | None = None
        if type(queue.entries[0]) is Gap:
            gap = queue.entries.popleft()
        message = queue.entries.popleft()
        if self.marks:
            gap = gap or Gap()
            queue.entries.appendleft(gap)
        self._drop(key, message, gap, waited=True)
        self._forget(key, queue, HEADERS + len(message.data))

    def _last(self, queue: SourceQueue) -> Gap | None:
        """Returns the gap behind the last datagram of a queue."""
        if not self.marks:
            return None
        if type(queue.entries[-1]) is not Gap:
            queue.entries.append(Gap())
        gap: Gap = queue.entries[-1]
        return gap

    def _loosely(self) -> Gap | None:
        """Returns the gap for sources that have no queue."""
        if self.marks and self._loose is None:
            self._loose = Gap()
        return self._loose

    def _emit(self, queue: SourceQueue, place: int, holes: list[Hole]) -> None:
        while queue.entries and type(queue.entries[0]) is Gap:
            holes.append(queue.entries.popleft().at(place))

    # --- accounts -----------------------------------------------------------------------------------------

    def _forget(self, key: Hashable, queue: SourceQueue, cost: int) -> None:
        """Takes a datagram of this `cost`, which has left the queue, out of the accounts."""
        self.waiting -= 1
        queue.count -= 1
        self._charge(key, queue, -cost)
        if queue.count == 0:
            loose = self._loosely() if queue.entries else None
            for gap in queue.entries:
                if loose is not None:
                    loose.count += gap.count
                    loose.until = gap.until
            queue.entries.clear()
            queue.begun, queue.deficit = False, 0
            del self._queues[key]

    def _charge(self, key: Hashable, queue: SourceQueue, cost: int) -> None:
        before = queue.cost.bit_length()
        self.cost += cost
        queue.cost += cost
        after = queue.cost.bit_length()
        if before == after:
            return
        if before:
            sources = self._sizes[before]
            del sources[key]
            if not sources:
                del self._sizes[before]
        if after:
            self._sizes.setdefault(after, OrderedDict())[key] = None

    def _largest(self) -> Hashable:
        return next(iter(self._sizes[max(self._sizes)]))
