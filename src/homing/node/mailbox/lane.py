# cython: boundscheck=False, wraparound=False
"""Lanes: the queues of a mailbox.

Where this module is interpreted, a lane is a `collections.deque`. Compiled, `Lane` takes its place, which does what is
asked of a lane here. It is faster for compiled callers, a third as large, and keeps an ordinary message as its sender
and itself, not as a tuple: the garbage collector would look again and again at each that waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, cast

_FIRST = 4
"""Entries for which there is room at first."""

_KEPT = 512
"""Entries for which there is still room once the lane is empty: 8 KB. A batch from a socket fits; made anew for each,
the room would take a sixth of the time of its messages."""


class Lane:
    """A first-in-first-out queue of entries, in a ring that grows. An entry that is a tuple is (sender, message)."""

    __slots__ = ("_count", "_head", "_ring", "_size", "sender")

    sender: Any
    """Of the message that `take` has given; None: that was an envelope."""

    def __init__(self) -> None:
        self._ring: list[Any] = [None] * (2 * _FIRST)
        self._size = _FIRST  # a power of two
        self._head = 0
        self._count = 0
        self.sender = None

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Any]:
        return iter(self._entries())

    def append(self, entry: Any) -> None:
        """Puts `entry` at the end."""
        if self._count == self._size:
            self._resize(2 * self._size)
        self._store((self._head + self._count) & (self._size - 1), entry)
        self._count += 1

    def appendleft(self, entry: Any) -> None:
        """Puts `entry` at the head."""
        if self._count == self._size:
            self._resize(2 * self._size)
        self._head = (self._head - 1) & (self._size - 1)
        self._store(self._head, entry)
        self._count += 1

    def popleft(self) -> Any:
        """Takes the entry at the head. Raises `IndexError` if there is none."""
        if self._count == 0:
            raise IndexError("pop from an empty lane")
        message = self.take()
        sender, self.sender = self.sender, None
        return message if sender is None else (sender, message)

    def take(self) -> Any:
        """As `popleft` from a lane that is not empty, but gives the message alone and leaves its `sender` here."""
        ring, at = self._ring, 2 * self._head
        self.sender, message = ring[at], ring[at + 1]
        ring[at] = ring[at + 1] = None
        self._head = (self._head + 1) & (self._size - 1)
        self._count -= 1
        if self._count == 0 and self._size > _KEPT:
            self.clear()
        return message

    def extend_from(self, sender: Any, messages: list[Any]) -> None:
        """Puts `messages` of one sender at the end, in order."""
        for message in messages:
            if self._count == self._size:
                self._resize(2 * self._size)
            at = 2 * ((self._head + self._count) & (self._size - 1))
            self._ring[at] = sender
            self._ring[at + 1] = message
            self._count += 1

    def extend(self, entries: Iterable[Any]) -> None:
        """Puts `entries` at the end, in order."""
        for entry in entries:
            self.append(entry)

    def extendleft(self, entries: Iterable[Any]) -> None:
        """Puts `entries` at the head, one after another."""
        for entry in entries:
            self.appendleft(entry)

    def clear(self) -> None:
        """Drops all entries, and the room for them."""
        self._count = self._head = 0
        self._size = _FIRST
        self._ring = [None] * (2 * _FIRST)

    def take_all(self) -> Lane:
        """Takes all entries out, as a lane of their own."""
        taken = Lane()
        taken._ring, taken._size, taken._head, taken._count = self._ring, self._size, self._head, self._count
        self.clear()
        return taken

    def _store(self, place: int, entry: Any) -> None:
        at = 2 * place
        if type(entry) is tuple:
            self._ring[at], self._ring[at + 1] = entry
        else:
            self._ring[at + 1] = entry

    def _resize(self, size: int) -> None:
        ring, start = self._ring, 2 * self._head
        self._ring = ring[start:] + ring[:start] + [None] * (2 * (size - self._size))
        self._head = 0
        self._size = size

    def _entries(self) -> list[Any]:
        ring, found = self._ring, []
        for number in range(self._count):
            at = 2 * ((self._head + number) & (self._size - 1))
            found.append(ring[at + 1] if ring[at] is None else (ring[at], ring[at + 1]))
        return found


def drop_oldest(lane: Any, sender: Any, count: int, depth: int) -> int:
    """Takes out the first `count` messages whose sender is the very object `sender`, if they are among the first
    `depth` entries. Gives how many that were."""
    kept = []
    dropped = 0
    for _ in range(min(depth, len(lane))):
        if dropped == count:
            break
        entry = lane.popleft()
        if (entry[0] if type(entry) is tuple else getattr(entry, "sender", None)) is sender:
            dropped += 1
        else:
            kept.append(entry)
    lane.extendleft(reversed(kept))
    return dropped


def take_all(lane: Any) -> Any:
    """Takes all entries out of `lane`, as a lane of their own."""
    if COMPILED:
        return lane.take_all()
    taken = lane.copy()
    lane.clear()
    return taken


COMPILED = not __file__.endswith(".py")


def make_lane() -> deque[Any]:
    """An empty lane."""
    return cast("deque[Any]", Lane()) if COMPILED else deque()
