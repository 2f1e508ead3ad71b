"""Leases: a pool's buffer goes to a datagram and back to the pool exactly once, even if the pool is faulty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...gen.foreign import is_a, safe_repr
from .buffer_pool import Buffers, writable_bytes


class Lease:
    """A pooled buffer on loan to a datagram and the answers made from it. The buffer goes back to the pool once: when
    it is released, when an answer has been sent, or when nothing refers to any of these messages any more."""

    __slots__ = ("_buffer", "_put", "view")

    def __init__(self, buffer: Any, length: int, put: Callable[[Any], None]) -> None:
        self._buffer = buffer
        self._put = put
        view = memoryview(buffer)
        self.view = view[:length] if type(buffer) is bytearray else view.cast("B")[:length]

    @property
    def released(self) -> bool:
        """True once the buffer was returned to the pool."""
        return self._buffer is None

    def release(self) -> None:
        """Returns the buffer to the pool. From then on the view raises `ValueError`. A second call does nothing."""
        buffer, self._buffer = self._buffer, None
        if buffer is None:
            return
        release_view(self.view)
        self._put(buffer)

    def release_after(self, data: Any) -> None:
        """As `release`, after the answer `data` was sent. If `data` is a view of the buffer, it is released as well."""
        if not self.released and is_view_of(data, self._exporter()):
            release_view(data)
        self.release()

    def _exporter(self) -> object:
        """Returns the object that owns the memory."""
        try:
            return self.view.obj
        except ValueError:  # the program itself has released the view
            return memoryview(self._buffer).obj

    def __del__(self) -> None:
        if getattr(self, "_put", None) is not None:
            self.release()


def release_view(view: memoryview) -> None:
    """Releases `view`, so that it raises `ValueError` from now on."""
    try:
        view.release()
    except BufferError:
        pass  # an object (a numpy array, say) still points into the buffer: the pool must not lend it, see BufferPool


def is_view_of(data: Any, buffer: Any) -> bool:
    """Returns True if `data` is a memoryview of `buffer`, or of a part of it, that was not released."""
    try:
        return type(data) is memoryview and data.obj is buffer
    except ValueError:
        return False


class BufferLeases:
    """The buffers of one server's pool that datagrams have on loan. A faulty pool loses no datagram: its failures are
    counted and logged.

    errors: times that the pool raised, or returned an object that is no writable buffer, or a buffer that is on loan.
    """

    def __init__(self, pool: Buffers, fresh_size: int, warn: Callable[..., None]) -> None:
        self._pool = pool
        self._fresh_size = fresh_size
        self._warn = warn
        self._lent: set[int] = set()  # the ids of the pool's buffers that datagrams have
        self._size = 0
        self.errors = 0

    def succeed(self, other: BufferLeases) -> None:
        """Takes over the counter of `other`, and the buffers that it has lent."""
        self._lent = other._lent
        self.errors += other.errors

    def get(self) -> Any:
        """Returns a buffer of the pool, or a fresh one if the pool fails."""
        try:
            buffer = self._pool.get()
        except Exception as error:
            self._failed("get", error)
            return bytearray(self._fresh_size)
        size = len(buffer) if type(buffer) is bytearray else writable_bytes(buffer)
        if size and id(buffer) not in self._lent:
            self._lent.add(id(buffer))
            self._size = size
            return buffer
        self._failed("get", f"returned {type(buffer).__name__} that is no writable buffer, or is in use")
        return bytearray(self._fresh_size)

    def put(self, buffer: Any) -> None:
        """Returns a datagram's buffer to the pool, unless it is a fresh one that replaced a buffer of the pool."""
        if id(buffer) in self._lent:
            self._lent.discard(id(buffer))
            self._give_back(buffer)

    def put_sent(self, data: Any) -> None:
        """Returns a buffer that a user took from the pool and sent: the whole buffer, even if only a part was sent.
        Does not return a buffer on loan to a datagram, which goes back with that datagram, nor a buffer shorter than
        the pool's, which would cut the next long datagram."""
        try:
            whole: Any = data.obj if type(data) is memoryview else data
        except ValueError:
            return  # released already
        if type(whole) is not bytearray and not is_a(whole, bytearray):
            return
        if id(whole) in self._lent or bytearray.__len__(whole) < self._size:
            return
        if type(data) is memoryview:
            release_view(data)
        self._give_back(whole)

    def _give_back(self, buffer: Any) -> None:
        try:
            self._pool.put(buffer)
        except Exception as error:
            self._failed("put", error)

    def _failed(self, what: str, error: object) -> None:
        self.errors += 1
        self._warn(f"pool {what}", f"buffer_pool.{what} failed: %s", safe_repr(error))
