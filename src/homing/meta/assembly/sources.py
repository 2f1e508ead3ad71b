"""How much each source of an assembler holds, and which one holds most."""

from __future__ import annotations

from collections import OrderedDict
from heapq import heapify, heappop, heappush
from typing import Any

CHUNK_OVERHEAD = 140
"""Bytes that a chunk takes beside its payload: the head of a `bytes` object, its number, its place in a dictionary that
has just grown. A test compares these sums with what Python allocates."""

MESSAGE_OVERHEAD = 1700
"""Bytes that an open message takes beside its chunks and the bytes of its key, if its source has no other: two objects,
their tables, and up to four entries in the heap."""


class Message:
    """A message that is not complete.

    parts: its chunks by number; None once the message is spoiled: it only waits for its deadline.
    size: bytes that it holds, overhead included.
    """

    __slots__ = ("base", "deadline", "key", "parts", "size", "source", "total")

    def __init__(self, key: tuple[Any, Any], source: Source, total: int, deadline: float, base: int) -> None:
        self.key = key
        self.source = source
        self.total = total
        self.deadline = deadline
        self.base = self.size = base
        self.parts: dict[int, bytes] | None = {}


class Source:
    """The open messages of one source, the oldest first, and the bytes that they hold."""

    __slots__ = ("addr", "change", "held", "open")

    def __init__(self, addr: Any) -> None:
        self.addr = addr
        self.open: OrderedDict[tuple[Any, Any], Message] = OrderedDict()
        self.held = 0
        self.change = 0


class Sources:
    """All sources with open messages.

    The share of a source is the part that it holds of `most_bytes`, or of `most_messages` if that is larger: its
    dominant share (Ghodsi et al., "Dominant Resource Fairness", NSDI 2011). So neither many tiny messages nor few huge
    ones pass for little. The source with the largest share is found with a heap, which gets an entry for each source
    that has changed since it was last asked; an entry that does not show a source's last change is skipped.
    """

    def __init__(self, most_messages: int, most_bytes: int) -> None:
        self._most_messages = most_messages
        self._most_bytes = most_bytes
        self._sources: dict[Any, Source] = {}
        self._heap: list[tuple[float, int, Source]] = []
        self._changes = 0
        self._changed: set[Source] = set()
        self.held = 0

    def __len__(self) -> int:
        return len(self._sources)

    def of(self, addr: Any) -> Source:
        """Returns the source at this address."""
        source = self._sources.get(addr)
        if source is None:
            source = self._sources[addr] = Source(addr)
        return source

    def open(self, message: Message) -> None:
        """Adds a message to its source."""
        message.source.open[message.key] = message
        self._change(message.source, message.size)

    def grow(self, message: Message, size: int) -> None:
        """Counts bytes that a message holds more, or less if `size` is negative."""
        message.size += size
        self._change(message.source, size)

    def close(self, message: Message) -> None:
        """Removes a message from its source."""
        source = message.source
        del source.open[message.key]
        if source.open:
            self._change(source, -message.size)
        else:
            self.held -= message.size
            source.held = source.change = 0  # its entries in the heap are void
            self._changed.discard(source)
            del self._sources[source.addr]
            self._tidy()

    def largest(self) -> Source:
        """Returns the source with the largest share; of equal ones, the one that has not changed for longest."""
        heap = self._heap
        for source in self._changed:
            heappush(heap, self._entry(source))
        self._changed.clear()
        self._tidy()
        while heap[0][1] != heap[0][2].change:
            heappop(heap)
        return heap[0][2]

    def clear(self) -> None:
        """Forgets all sources and their messages."""
        self._sources.clear()
        self._heap.clear()
        self._changed.clear()
        self.held = 0

    def _tidy(self) -> None:
        """Removes the void entries from the heap if they are the most of it."""
        if len(self._heap) > 4 * len(self._sources) + 64:
            self._heap[:] = [self._entry(each) for each in self._sources.values()]
            heapify(self._heap)

    def _change(self, source: Source, size: int) -> None:
        source.held += size
        self.held += size
        self._changes += 1
        source.change = self._changes
        self._changed.add(source)

    def _entry(self, source: Source) -> tuple[float, int, Source]:
        share = max(source.held / self._most_bytes, len(source.open) / self._most_messages)
        return -share, source.change, source
