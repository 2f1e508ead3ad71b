"""The last requests that have ended, so that a reply that comes late, or twice, is counted as such."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import TYPE_CHECKING

from ...datagram import MessageUDP
from ...datagram.address import is_from, unscoped
from ...gen.copying import refuse_copy

if TYPE_CHECKING:
    from .request import Request

SCANNED = 64
"""Requests without a key that are remembered at most: each reply that belongs to no open one is compared with all."""

LATE_SECONDS = 30.0
"""Without a key or a `match`, what comes later than this is no reply to a request that has ended: mostly it is known to
be none, as that peer sends something unasked."""


class Ended:
    """A request without a key that has ended.

    until: by the loop's clock.
    left: replies that may still come: one for each time that it was sent.
    """

    __slots__ = ("answer", "left", "request", "until")

    __reduce__ = refuse_copy

    def __init__(self, request: Request, answer: MessageUDP | None, now: float) -> None:
        self.request = request
        self.answer = answer
        self.until = now + LATE_SECONDS
        self.left = request.attempts - (answer is not None)

    def explains(self, message: MessageUDP, now: float) -> bool:
        """True if `message` is one more reply to it. Without a `match` nobody can tell: then it is one that has come
        before, or there are no more of them than times that the request was sent."""
        if self.request.plan.match is not None:
            try:
                return bool(self.request.matches(message))
            except BaseException:
                return False  # it has failed by that while it was open, or not at all
        if now > self.until:
            return False
        if self.answer is not None and self.answer.data == message.data:
            return True
        if (message.addr, message.data) in self.request.seen:
            return True
        self.left -= 1
        return self.left >= 0


class Memory:
    """The last requests that have ended, of those with a key `limit` at most; `others`: those without.

    per_peer: keys are different for one peer only.
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
        """`request` has ended, with that answer or without any."""
        if not request.plan.keyed:
            self.others.append(Ended(request, answer, now))
        elif self._limit:
            place = (request.peer, request.key) if self._per_peer else request.key
            self._keyed.pop(place, None)
            self._keyed[place] = answer is not None
            if len(self._keyed) > self._limit:
                self._keyed.popitem(last=False)

    def find(self, key: Hashable, message: MessageUDP, now: float) -> bool | None:
        """Returns True if the ended request that `message` belongs to was answered, False if it was not; None: it
        belongs to none."""
        if key is not None:
            answered = self._keyed.get((message.addr, key) if self._per_peer else key)
            if answered is None and self._per_peer:
                answered = self._keyed.get((unscoped(message.addr), key))
            if answered is not None:
                return answered
        for ended in tuple(reversed(self.others)):  # `match` is the program's, and may end others
            if self._per_peer and not is_from(message.addr, ended.request.peer):
                continue
            if ended.explains(message, now):
                return ended.answer is not None
        return None
