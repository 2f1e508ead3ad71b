"""The datagram as a message, and the lease on its buffer where that comes from a pool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..datagram import Address
from ..gen import Alias


class Lease:
    """A pooled buffer on loan to a datagram and the answers made from it. It goes back to the pool once: when
    released, when an answer has been sent, or when nobody holds any of these messages any more."""

    __slots__ = ("_buffer", "_put", "view")

    def __init__(self, buffer: Any, length: int, put: Callable[[Any], None]) -> None:
        self._buffer = buffer
        self._put = put
        view = memoryview(buffer)
        self.view = (view if view.format == "B" and view.ndim == 1 else view.cast("B"))[:length]

    @property
    def released(self) -> bool:
        """True once the buffer has gone back."""
        return self._buffer is None

    def release(self) -> None:
        """Gives the buffer back. From then on the view raises `ValueError`. A second time does nothing."""
        buffer, self._buffer = self._buffer, None
        if buffer is None:
            return
        release_view(self.view)
        self._put(buffer)

    def release_after(self, data: Any) -> None:
        """As `release`, after an answer of `data` was sent, which may be a part of the buffer: then it ends with it."""
        if not self.released and is_view_of(data, self.view.obj):
            release_view(data)
        self.release()

    def __del__(self) -> None:
        if getattr(self, "_put", None) is not None:
            self.release()


def release_view(view: memoryview) -> None:
    """Lets `view` raise from now on."""
    try:
        view.release()
    except BufferError:
        pass  # something (a numpy array, say) still points into it: the pool must not lend it out, see BufferPool


def is_view_of(data: Any, buffer: Any) -> bool:
    """True if `data` is a memoryview of `buffer`, or of a part of it, that was not released."""
    try:
        return isinstance(data, memoryview) and data.obj is buffer
    except ValueError:
        return False


class MessageUDP:
    """One datagram, received or to be sent.

    id: alias of the UDP server that received it, to which an answer is sent. Ignored in sending.
    addr: the peer, as the socket module writes it: (host, port), for IPv6 (host, port, flowinfo, scope_id).
    data: the payload. `bytes`; with a buffer pool a writable `memoryview` of the received length.
    truncated: the datagram was longer than the buffer; `data` is its beginning.
    """

    __slots__ = ("_lease", "addr", "data", "id", "truncated")
    __match_args__ = ("id", "addr", "data")

    id: Alias

    def __init__(
        self, id: Alias | None, addr: Address, data: Any, truncated: bool = False, lease: Lease | None = None
    ) -> None:
        self.id = id  # type: ignore[assignment] # None only where a user made the message: received ones have it
        self.addr = addr
        self.data = data
        self.truncated = truncated
        self._lease = lease

    def __repr__(self) -> str:
        if self._lease is not None and self._lease.released:
            size = "buffer released"
        else:
            try:
                size = f"{len(self.data)} bytes"
            except (TypeError, ValueError):
                size = f"{type(self.data).__name__}, no bytes"
        return f"MessageUDP({self.id}, {self.addr}, {size}{', truncated' if self.truncated else ''})"

    def reply(self, data: Any) -> MessageUDP:
        """The answer to this datagram: `data` to where it came from. Send it to `message.id`.

        With a buffer pool the answer takes over this datagram's buffer: it goes back to the pool when the answer
        has been sent, so `data` may be a part of it.
        """
        return MessageUDP(self.id, self.addr, data, False, self._lease)

    def release(self) -> None:
        """Gives a pooled buffer back now. From then on using `data` raises `ValueError`. Without a pool: does
        nothing."""
        if self._lease is not None:
            self._lease.release()
