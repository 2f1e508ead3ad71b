"""The order of messages with the same key, in a process whose callbacks run side by side: one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from ...gen.copying import refuse_copy
from ...gen.foreign import safe_key
from ..mailbox.envelope import Publication, Request, Response, SplitMessage
from ..mailbox.lane import sender_of
from ..scheduling.slices import queue_up

if TYPE_CHECKING:
    from ..mailbox.mailbox import Entry
    from .process import Process

PARKED = object()
"""Stands for an entry that waits for another one of its key."""

_BATCHES = object()
"""With "source", the key of batches of datagrams: each may be of many sources."""


class Parked:
    """An entry that waits for another one of its key."""

    __slots__ = ("entry", "key")

    def __init__(self, entry: Entry, key: Hashable) -> None:
        self.entry = entry
        self.key = key


class KeyOrder:
    """The keys of the messages of `process` that are being handled, and the messages that wait for these.

    due: parked messages that are next. The key stays taken for each.
    key_of: returns the key of an entry, None for an entry without order; None if no entry has one.
    """

    __slots__ = ("_parked", "_process", "_taken", "due", "key_of")

    __reduce__ = refuse_copy

    def __init__(self, process: Process, key: Any) -> None:
        self._process = process
        self._taken: dict[Hashable, deque[Parked]] = {}
        self._parked: dict[Parked, None] = {}  # in the order of arrival
        self.due: deque[Parked] = deque()
        self.key_of: Callable[[Entry], Any] | None = None
        if key is not None:
            self.key_of = self._source if isinstance(key, str) else _ByFunction(key)

    def __len__(self) -> int:
        return len(self._parked)

    def enter(self, entry: Entry) -> Any:
        """Returns the key of an entry that may begin, which is taken until `over`, or None if it has none. Otherwise
        parks the entry and returns `PARKED`. Raises what the program's key function raises."""
        key = None if self.key_of is None else self.key_of(entry)
        if key is None:
            return None
        key = safe_key(key)
        first: deque[Parked] = deque()
        parked = Parked(entry, key)  # made first, as that may run a finalizer
        behind = self._taken.get(key)
        if behind is None:
            self._taken[key] = first
            return key
        behind.append(parked)
        self._parked[parked] = None  # last: unless it is here, it does not count
        self._process.outstanding += 1
        return PARKED

    def take_due(self) -> Parked:
        """Removes and returns the first entry that is due; its key stays taken until `over`."""
        parked = self.due.popleft()
        del self._parked[parked]
        self._process.outstanding -= 1
        return parked

    def over(self, key: Hashable) -> None:
        """Makes the next entry with `key` due."""
        behind = self._taken.get(key)
        while behind:
            if behind[0] in self._parked:  # otherwise it was dropped
                queue_up(self.due, behind[0])
                behind.popleft()
                return
            behind.popleft()
        self._taken.pop(key, None)

    def entries(self) -> list[Entry]:
        """Returns the parked entries in the order of arrival."""
        return [parked.entry for parked in self._parked]

    def clear(self) -> None:
        """Forgets all parked entries."""
        self._process.outstanding -= len(self._parked)
        self._parked.clear()
        self._taken.clear()
        self.due.clear()

    def take_oldest(self, may_go: Callable[[Entry], bool]) -> Entry | None:
        """Removes and returns the parked entry that has waited longest of those that may be dropped, or None."""
        due = set(self.due)
        for parked in self._parked:
            if parked not in due and may_go(parked.entry):
                self._remove(parked)
                return parked.entry
        return None

    def drop(self, sender: Any, count: int) -> int:
        """Drops the oldest parked messages from `sender`, the same object: at most `count`. Returns how many."""
        due = set(self.due)
        oldest = [parked for parked in self._parked if parked not in due and sender_of(parked.entry) is sender][:count]
        for parked in oldest:
            self._remove(parked)
        return len(oldest)

    def _remove(self, parked: Parked) -> None:
        del self._parked[parked]
        self._process.outstanding -= 1

    def _source(self, entry: Entry) -> Any:
        """Returns the source of a message: the peer of a datagram, otherwise the sender."""
        if type(entry) is tuple:
            return self._process.hooks.source(*entry)
        if isinstance(entry, SplitMessage):
            return self._process.hooks.source(entry.sender, entry.message)
        if isinstance(entry, Request):
            return entry.sender
        if isinstance(entry, Response):
            return entry.callee
        if isinstance(entry, Publication):
            return entry.event.event
        return None if getattr(entry, "batch", None) is None else _BATCHES


class _ByFunction:
    """Applies the program's key function to what the callback will get."""

    __slots__ = ("_key",)

    def __init__(self, key: Callable[[Any], Any]) -> None:
        self._key = key

    def __call__(self, entry: Entry) -> Any:
        if type(entry) is tuple:
            return self._key(entry[1])
        if isinstance(entry, Request):
            return self._key(entry.request)
        if isinstance(entry, Response):  # the label is the program's own; the answer may be anything, and an exception
            return None if entry.label is None else self._key(entry.label)
        if isinstance(entry, SplitMessage):
            return self._key(entry.message)
        if isinstance(entry, Publication):
            return self._key(entry.event)
        batch = getattr(entry, "batch", None)
        return None if batch is None else self._key(batch)
