"""A pool of receive buffers, and the methods that a user's own pool needs."""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol, runtime_checkable

from ...gen.options import check_integer


@runtime_checkable
class Buffers(Protocol):
    """A pool of buffers, such as `BufferPool`."""

    def get(self) -> Any:
        """Returns a writable buffer."""

    def put(self, buffer: Any) -> None:
        """Takes a buffer back."""


MOST_BYTES = 1 << 24
"""Bytes of one buffer at most: 256 times the longest datagram."""


class BufferPool:
    """Buffers of `size` bytes, of which at most `capacity` idle ones are kept.

    `get` always returns a buffer, a new one if none is idle; the memory in use is bounded by the datagrams that wait in
    mailboxes. Safe to use from several threads. A buffer to which a view (a slice, a numpy array) still points when it
    comes back is not lent again; a new one takes its place (`replaced`), so that no view ever shows another datagram.
    """

    def __init__(self, size: int = 65535, capacity: int = 1024) -> None:
        self.size = check_integer("size", size, 1, MOST_BYTES)
        self.capacity = check_integer("capacity", capacity, 1)
        self._idle: deque[bytearray] = deque(maxlen=self.capacity)
        self._lent: dict[int, bytearray] = {}
        self.allocated = 0
        self.replaced = 0
        self.foreign = 0

    def __repr__(self) -> str:
        return f"BufferPool(size={self.size}, capacity={self.capacity}, idle={self.idle}, lent={self.lent})"

    @property
    def idle(self) -> int:
        """Number of buffers that wait to be lent."""
        return len(self._idle)

    @property
    def lent(self) -> int:
        """Number of buffers on loan: 0 once every message has been handled."""
        return len(self._lent)

    def get(self) -> bytearray:
        """Returns a writable buffer of `size` bytes. It still has its former content."""
        try:
            buffer = self._idle.pop()
        except IndexError:
            buffer = bytearray(self.size)
            self.allocated += 1
        self._lent[id(buffer)] = buffer
        return buffer

    def put(self, buffer: Any) -> None:
        """Takes a buffer back (or a memoryview of it). A buffer that this pool has not lent is counted (`foreign`), not
        kept."""
        if type(buffer) is memoryview:
            buffer = buffer.obj
        if self._lent.pop(id(buffer), None) is None:
            self.foreign += 1
            return
        try:
            buffer.append(0)  # a bytearray with views on it refuses to change its size
            buffer.pop()
        except BufferError:
            self.replaced += 1
            buffer = bytearray(self.size)
        self._idle.append(buffer)


def writable_bytes(thing: Any) -> int:
    """Returns the length of `thing` in bytes; 0 if it is no writable contiguous buffer."""
    try:
        with memoryview(thing) as view, view.cast("B") as flat:
            return 0 if flat.readonly else flat.nbytes
    except Exception:  # TypeError mostly; and a class may have a `__buffer__` of its own
        return 0
