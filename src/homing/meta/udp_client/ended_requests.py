"""The last requests that have ended: a reply that comes late, or twice, is counted as such."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import TYPE_CHECKING

from ...datagram import Address, MessageUDP
from ...datagram.address import is_from, unscoped
from ...gen.copying import refuse_copy

if TYPE_CHECKING:
    from .request import Request

SCANNED = 64
"""Most requests without a key that are remembered: each reply that belongs to no open request is compared with all."""

LATE_SECONDS = 30.0
"""Seconds after the end of a request without a key or a `match`, in which a datagram counts as a late reply to it. A
datagram that comes later was mostly sent without a request."""


class Ended:
    """A request without a key that has ended.

    until: when late replies are no longer expected, by the loop's clock.
    left: replies that may still come: one for each time that the request was sent.
    """

    __slots__ = ("answer", "left", "request", "until")

    __reduce__ = refuse_copy

    def __init__(self, request: Request, answer: MessageUDP | None, now: float) -> None:
        self.request = request
        self.answer = answer
        self.until = now + LATE_SECONDS
        self.left = request.attempts - (answer is not None)

    def explains(self, message: MessageUDP, now: float) -> bool:
        """Returns True if `message` is one more reply to this request. Without a `match` that is a guess: the datagram
        equals an earlier reply, or no more replies have come than the request was sent."""
        if self.request.plan.match is not None:
            try:
                return bool(self.request.matches(message))
            except BaseException:
                return False  # `match` failed the request while it was open, or raises for this datagram only
        if now > self.until:
            return False
        if self.answer is not None and self.answer.data == message.data:
            return True
        if (message.addr, message.data) in self.request.seen:
            return True
        self.left -= 1
        return self.left >= 0


class Memory:
    """The last requests that have ended: at most `limit` requests with a key, and, in `others`, those without.

    per_peer: keys differ only among the requests to one peer.
    """

    __slots__ = ("_keyed", "_limit", "_per_peer", "others")

    __reduce__ = refuse_copy

    def __init__(self, limit: int, *, per_peer: bool) -> None:
        self._limit = limit
        self._per_peer = per_peer
        self._keyed: OrderedDict[Hashable, bool] = OrderedDict()
        self.others: deque[Ended] = deque(maxlen=min(limit, SCANNED))

    def __bool__(self) -> bool:
        return bool(self._keyed or self.others)

    def keep(self, request: Request, answer: MessageUDP | None, now: float) -> None:
        """Remembers `request`, which has ended with that answer or without any."""
        if not request.plan.keyed:
            self.others.append(Ended(request, answer, now))
        elif self._limit:
            place = (request.peer, request.key) if self._per_peer else request.key
            self._keyed.pop(place, None)
            self._keyed[place] = answer is not None
            if len(self._keyed) > self._limit:
                self._keyed.popitem(last=False)

    def keeps(self, peer: Address, key: Hashable) -> bool:
        """Returns True if an ended request to `peer` with that key is remembered."""
        return ((peer, key) if self._per_peer else key) in self._keyed

    def find(self, key: Hashable, message: MessageUDP, now: float) -> bool | None:
        """Finds the ended request that `message` belongs to. Returns True if that request was answered, False if it was
        not, None if there is no such request."""
        if key is not None:
            answered = self._keyed.get((message.addr, key) if self._per_peer else key)
            if answered is None and self._per_peer:
                answered = self._keyed.get((unscoped(message.addr), key))
            if answered is not None:
                return answered
        for ended in tuple(reversed(self.others)):  # a copy: `match` is the user's code, and may end other requests
            if self._per_peer and not is_from(message.addr, ended.request.peer):
                continue
            if ended.explains(message, now):
                return ended.answer is not None
        return None
