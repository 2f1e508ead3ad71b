# cython: boundscheck=False, wraparound=False, nonecheck=False
"""Lanes: the queues of a mailbox.

Interpreted, a lane is a `collections.deque`. Compiled, it is a `Lane`, which has the methods used here. It is faster
for compiled callers, a third as large, and stores an ordinary message as two references, sender and message, not as a
tuple: the garbage collector would scan each queued tuple again and again.
"""

from __future__ import annotations

from _thread import get_ident
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from operator import setitem
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

from ...gen.copying import refuse_copy

if TYPE_CHECKING:
    set_item: Callable[[list[Any], int, Any], None]

_FIRST = 4
"""Room for entries at first."""

_KEPT = 512
"""Room for entries that is kept when the lane becomes empty: 8 KB. A batch from a socket fits; allocating the room for
each batch would take a sixth of the time of its messages."""


_NO_ROOM: list[Any] = []
"""The ring of a lane without room; it always stays empty."""


class Lane:
    """A first-in-first-out queue of entries, in a ring that grows. An entry that is a tuple is (sender, message).

    Allocating room may collect garbage and so run finalizers, which may use this very lane: append to it, take from it,
    clear it. So each method first allocates, then reads the lane's state again, and then changes it without a point at
    which the user's code can run. A lane that was not initialized is an empty one.
    """

    __slots__ = ("_count", "_head", "_ring", "_size", "sender")

    sender: Any
    """The sender of the message that `take` returned; None: it returned an envelope."""

    __reduce__ = refuse_copy

    def __init__(self) -> None:
        self._ring: list[Any] = _NO_ROOM
        self._size = 0  # or a power of two
        self._head = 0
        self._count = 0
        self.sender = None

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Any]:
        return iter(self._entries())

    def append(self, entry: Any) -> None:
        """Adds `entry` at the end."""
        if type(entry) is tuple:
            sender, message = entry
        else:
            sender, message = None, entry
        self.put(sender, message)

    def put(self, sender: Any, message: Any) -> None:
        """Adds `message` of `sender` at the end: `append((sender, message))` without the tuple."""
        while self._count == self._size:
            self._grow()
        at = 2 * ((self._head + self._count) & (self._size - 1))
        self._ring[at] = sender
        self._ring[at + 1] = message
        self._count += 1

    def appendleft(self, entry: Any) -> None:
        """Adds `entry` at the head."""
        if type(entry) is tuple:
            sender, message = entry
        else:
            sender, message = None, entry
        while self._count == self._size:
            self._grow()
        self._head = (self._head - 1) & (self._size - 1)
        at = 2 * self._head
        self._ring[at] = sender
        self._ring[at + 1] = message
        self._count += 1

    def popleft(self) -> Any:
        """Removes and returns the entry at the head. Raises `IndexError` if the lane is empty."""
        message = self.take()
        sender, self.sender = self.sender, None
        if sender is None:
            return message
        try:
            return (sender, message)
        except MemoryError:  # otherwise the message would be lost
            return (sender, message)

    def take(self) -> Any:
        """Like `popleft`, but returns the message alone and stores its sender in `sender`."""
        if self._count == 0:
            raise IndexError("pop from an empty lane")
        ring, at = self._ring, 2 * self._head
        sender, message = ring[at], ring[at + 1]
        ring[at] = ring[at + 1] = None
        self._head = (self._head + 1) & (self._size - 1)
        self._count -= 1
        if self._count == 0 and self._size > _KEPT:
            self.clear()
        self.sender = sender
        return message

    def extend_from(self, sender: Any, messages: list[Any]) -> None:
        """Adds `messages` of one sender at the end, in order."""
        while self._size - self._count < len(messages):
            self._grow(self._count + len(messages))
        ring, at, end = self._ring, 2 * (self._head + self._count), 2 * self._size  # from here on no foreign code runs
        for number in range(len(messages)):  # interpreted, an iterator of the list would be an allocation
            if at >= end:
                at -= end
            set_item(ring, at, sender)
            set_item(ring, at + 1, messages[number])
            at += 2
        self._count += len(messages)

    def extend(self, entries: Iterable[Any]) -> None:
        """Adds `entries` at the end, in order."""
        for entry in entries:
            self.append(entry)

    def extendleft(self, entries: Iterable[Any]) -> None:
        """Adds `entries` at the head, one after another."""
        for entry in entries:
            self.appendleft(entry)

    def clear(self) -> None:
        """Removes all entries, and their room."""
        ring = self._ring
        self._ring = _NO_ROOM
        self._size = self._head = self._count = 0
        del ring  # only now, as the entries may have finalizers

    def take_all(self) -> Lane:
        """Moves all entries into a new lane and returns it."""
        taken = Lane()  # from here on no code of a user can run
        taken._ring, taken._size, taken._head, taken._count = self._ring, self._size, self._head, self._count
        self._ring = _NO_ROOM
        self._size = self._head = self._count = 0
        return taken

    def drop_oldest(self, sender: Any, count: int, depth: int) -> int:
        """See the function of that name. The entries that stay move within the ring, which needs no memory."""
        found: list[Any] = [None] * max(0, min(count, depth, self._count))  # holds the dropped messages until the end
        dropped = end = 0
        while dropped < len(found) and end < min(depth, self._count):
            at = 2 * ((self._head + end) & (self._size - 1))
            message = self._ring[at + 1]
            owner = self._ring[at]
            if owner is None:
                owner = getattr(message, "sender", None)
            if owner is sender:
                found[dropped] = message
                dropped += 1
            end += 1
        ring, left, to = self._ring, dropped, end
        while end > 0:  # moves the entries that stay to the end of those looked at, beginning with the last
            end -= 1
            at = 2 * ((self._head + end) & (self._size - 1))
            if left and ring[at + 1] is found[left - 1] and (ring[at] is sender or ring[at] is None):
                left -= 1
                continue
            to -= 1
            into = 2 * ((self._head + to) & (self._size - 1))
            ring[into], ring[into + 1] = ring[at], ring[at + 1]
        for number in range(dropped):
            at = 2 * ((self._head + number) & (self._size - 1))
            ring[at] = ring[at + 1] = None
        self._head = (self._head + dropped) & (self._size - 1)
        self._count -= dropped
        if self._count == 0:
            self._head = 0
            if self._size > _KEPT:
                self.clear()
        return dropped

    def _grow(self, least: int = 0) -> None:
        """Makes room for twice as many entries, and at least for `least`, unless a finalizer has made room during the
        allocation."""
        size = 2 * self._size or _FIRST
        while size < least:
            size *= 2
        try:
            fresh: list[Any] = [None] * (2 * size)
        except MemoryError:  # if the entry could not be queued, its process, say, would never run again
            fresh = [None] * (2 * size)
        if self._size >= size or (self._count < self._size and self._size >= least):
            return
        ring, start, end = self._ring, 2 * self._head, 2 * self._size
        for at in range(start, end):
            fresh[at - start] = ring[at]
        for at in range(start):
            fresh[end - start + at] = ring[at]
        self._ring = fresh
        self._head = 0
        self._size = size

    def _entries(self) -> list[Any]:
        entries: list[Any] = []
        number = 0
        while number < self._count:  # the count may change while the tuples are made
            at = 2 * ((self._head + number) & (self._size - 1))
            sender, message = self._ring[at], self._ring[at + 1]
            entries.append(message if sender is None else (sender, message))
            number += 1
        return entries


def drop_oldest(lane: Any, sender: Any, count: int, depth: int) -> int:
    """Removes the first `count` messages whose sender is the very object `sender`, if they are among the first `depth`
    entries. Returns how many it removed. Raises `MemoryError` only before it removes anything."""
    if COMPILED:
        return lane.drop_oldest(sender, count, depth)  # type: ignore[no-any-return]
    taken: list[Any] = [None] * min(depth, len(lane))
    kept: list[Any] = []
    number = 0
    while number < min(len(taken), len(lane)) and number - len(kept) < count:
        if sender_of(lane[number]) is not sender:
            kept.append(lane[number])
        number += 1
    for at in range(number):
        taken[at] = lane.popleft()
    for entry in reversed(kept):
        put_back(lane, entry)
    return number - len(kept)  # `taken` is released only now, as the entries may have finalizers


def sender_of(entry: Any) -> Any:
    """Returns the sender of an entry; for an envelope, only if it has one."""
    return entry[0] if type(entry) is tuple else getattr(entry, "sender", None)


def put_back(lane: Any, entry: Any) -> None:
    """Adds `entry` at the head of `lane`. Retries once if there is no memory."""
    try:
        lane.appendleft(entry)
    except MemoryError:
        lane.appendleft(entry)


def take_all(lane: Any) -> Any:
    """Moves all entries of `lane` into a new lane and returns it."""
    if COMPILED:
        return lane.take_all()
    taken: deque[Any] = deque()
    while lane:
        taken.append(lane.popleft())
    return taken


COMPILED = not __file__.endswith(".py")

STAND_INS: dict[str, Any] = {
    "clock": perf_counter,
    "filled": bool,
    "set_item": setitem,
    "thread_ident": get_ident,
}
"""Interpreted, the globals of a module that stand for the C functions which its .pxd file names."""

if not COMPILED:
    globals().update(STAND_INS)


def make_lane() -> deque[Any]:
    """Returns an empty lane."""
    return cast("deque[Any]", Lane()) if COMPILED else deque()
