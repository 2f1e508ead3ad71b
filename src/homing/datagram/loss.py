"""The message that stands where datagrams are missing."""

from __future__ import annotations

from typing import Any

from ..gen.foreign import safe_repr
from ..gen.options import check_integer


class MessageUDPLoss:
    """Stands in a mailbox where datagrams of a UDP server are missing: behind the last one that came before them, and
    before the next one (`UDPServerOptions.loss_markers`). Losses of different causes at one place, and losses that
    occur while the receiver is already at that place, come as several messages.

    count: number of the missing datagrams. Trains that the kernel has joined (`gro`) and dropped count as one each.
    cause: why they are missing, as in `Ledger.dropped`: "kernel", "receiver_full", "receiver_oldest", "no_receiver",
        "rate_limit", "expired", "codel" or "unfair".
    since, until: the time within which they were lost, in nanoseconds since 1970. For the kernel's losses, with
        `receive_timestamp`: when the kernel received the datagrams before and after them; without it, and at the end of
        a burst: since the socket was last seen empty, until it was read.
    id: alias of the UDP server.
    """

    __slots__ = ("_cause", "_count", "_id", "_since", "_until")
    _short_repr = True  # see `gen.messages.has_short_repr`
    __match_args__ = ("count", "cause", "since", "until")

    def __init__(self, count: int, cause: str, since: int, until: int, id: Any = None) -> None:
        self._count = check_integer("count", count, 1)
        self._cause = cause
        self._since = since
        self._until = until
        self._id = id

    @property
    def count(self) -> int:
        """Number of the missing datagrams."""
        return self._count

    @property
    def cause(self) -> str:
        """Why they are missing."""
        return self._cause

    @property
    def since(self) -> int:
        """Nanoseconds since 1970 after which they were lost."""
        return self._since

    @property
    def until(self) -> int:
        """Nanoseconds since 1970 before which they were lost."""
        return self._until

    @property
    def id(self) -> Any:
        """Alias of the UDP server."""
        return self._id

    def __reduce__(self) -> tuple[Any, ...]:
        return MessageUDPLoss, (self._count, self._cause, self._since, self._until, self._id)

    def __eq__(self, other: object) -> bool:
        return self.__reduce__() == other.__reduce__() if type(other) is MessageUDPLoss else NotImplemented

    def __hash__(self) -> int:
        return hash(self.__reduce__())

    def __repr__(self) -> str:
        fields = f"{self._count}, {safe_repr(self._cause)}, {self._since}, {self._until}"
        return f"MessageUDPLoss({fields}, id={self._id})"


def grow(message: MessageUDPLoss, count: int, since: int, until: int) -> None:
    """Adds `count` datagrams that are missing at the same place, for the same cause."""
    message._count += count
    message._since = min(message._since, since)
    message._until = max(message._until, until)
