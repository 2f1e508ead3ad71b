"""The datagram as a message. Compiled with `message.pxd`, it is made in C by the native backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .address import Address


class MessageUDP:
    """One datagram, received or to be sent.

    id: alias of the UDP server that received it, to which an answer is sent. Ignored in sending.
    addr: the peer, as the socket module writes it: (host, port), for IPv6 (host, port, flowinfo, scope_id).
    data: the payload. `bytes`; with a buffer pool a writable `memoryview` of the received length.
    truncated: the datagram was longer than the buffer; `data` is its beginning.
    """

    __slots__ = ("_lease", "addr", "data", "id", "truncated")
    __match_args__ = ("id", "addr", "data")

    def __init__(self, id: Any, addr: Address, data: Any, truncated: bool = False, lease: Any = None) -> None:
        self.id = id
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
