"""Fairness: the datagrams of a reader that wait for their turn, outside the receiver's mailbox."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from ...datagram import Endpoint, MessageUDP
from ...gen.foreign import inner_key, safe_repr
from .fair import Fair, address_key, key_of, label_of, same_by
from .fair_queues import FairQueues

if TYPE_CHECKING:
    from ...datagram.backend.holes import Hole
    from .freshness import FreshCounters
    from .shape import Shape

_SHOWN = 10
"""Most sources in an inspection."""


class Fairness:
    """The queues of one reader, until it asks for other keys. Then they are emptied before anything is read.

    retired: the shape that follows when the queues are empty; nothing is added any more. None: they continue.
    """

    def __init__(self, fair: Fair, endpoint: Endpoint, counters: FreshCounters, warn: Callable[..., None]) -> None:
        self._fair = fair
        self._endpoint = endpoint
        self._counters = counters
        self._warn = warn
        self._queues = FairQueues(self._dropped)
        self.retired: tuple[Shape | None, int] | None = None

    def adjust(self, shape: Shape | None, most_bytes: int) -> None:
        """Does as `shape` asks from now on, as soon as it can. most_bytes: the bytes of all that wait."""
        fair = None if shape is None else shape.fair
        if shape is None or fair is None or not same_by(fair.by, self._fair.by):
            self.retired = shape, most_bytes
            return
        self.retired, self._fair = None, fair
        limits = {"queue": fair.queue, "most": fair.most, "most_cost": most_bytes}
        self._queues.limit(oldest=shape.oldest, marks=shape.loss_markers, **limits)

    @property
    def waiting(self) -> int:
        """The number of datagrams that wait here."""
        return self._queues.waiting

    def add(self, messages: list[MessageUDP]) -> int:
        """Puts datagrams that were read into the queues. Returns how many were lost, as there was no memory."""
        lost = 0
        for message in messages:
            try:
                self._queues.add(self._key(message), message)
            except MemoryError:
                lost += 1
        return lost

    def _key(self, message: MessageUDP) -> Hashable:
        try:
            return key_of(self._fair.by, message)
        except Exception as error:
            self._counters.fair_errors += 1
            self._warn("fair", "fair.by failed, the datagram waits in the queue of its address: %s", safe_repr(error))
            return address_key(message)

    def _dropped(self, message: MessageUDP, waited: bool) -> None:
        self._counters.unfair += 1
        ear = self._endpoint.ear
        if ear is not None:
            ear.dropped(message, "unfair", waited=waited)

    def take(self, room: int, octets: int) -> tuple[list[MessageUDP], list[Hole]]:
        """Returns the datagrams whose turn it is, at most `room`, and the holes among them."""
        return self._queues.take(room, octets)

    def clear(self) -> int:
        """Releases all datagrams, as the socket is closed. Returns how many there were."""
        return self._queues.clear()

    def facts(self) -> dict[str, Any]:
        """Returns the number of sources of which datagrams wait, and the losses of those that have lost most."""
        losers = sorted(self._queues.losers.items(), key=lambda loser: -loser[1])[:_SHOWN]
        by = self._fair.by
        return {
            "fair_sources": len(self._queues),
            "unfair_sources": {label_of(by, key) or safe_repr(inner_key(key)): lost for key, lost in losers},
        }
