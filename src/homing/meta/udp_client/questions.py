"""Questions that several requests share (`UDPClientOptions.coalesce`): one datagram asks for all.

Rule 1: each request has its own timer, and ends by itself when its time is over or its caller gives up. The others
continue: the first of them represents the question among the open requests.
Rule 2: when the wait of a request is over, the question is sent again, unless it was sent during that wait for another
request. So callers with equal settings cause no more datagrams than one of them.
Rule 3: a question takes further requests for as long as one request may take. Otherwise requests for what is never
answered would keep the same id open without end, and with it the time that an attacker has to guess it.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from ...gen.copying import refuse_copy
from .options import Plan
from .request import Request

if TYPE_CHECKING:
    from .requests import Requests


class Question:
    """A question, and the open requests that share it.

    owner: sends it. members: the requests, in the order in which they came. place: the peer and the user's key.
    since: when it was first sent; sent: when it was last sent, both by the loop's clock.
    """

    __slots__ = ("_open", "members", "owner", "place", "sent", "since")

    __reduce__ = refuse_copy

    def __init__(
        self, owner: Requests, first: Request, place: Hashable, now: float, open: dict[Hashable, Question]
    ) -> None:
        self.owner = owner
        self.members: dict[Request, None] = {first: None}
        self.place = place
        self.since = self.sent = now
        self._open = open

    @property
    def first(self) -> Request:
        """The request that represents the question among the open requests."""
        return next(iter(self.members))

    def join(self, request: Request) -> None:
        """`request` waits for the answer as well."""
        first = self.first
        self.members[request] = None  # first, because there may be no memory for it
        request.question = self
        request.key, request.message, request.attempts = first.key, first.message, 1
        request.guesses, request.heard = first.guesses, first.heard

    def leave(self, request: Request) -> Request | None:
        """`request` has ended. Returns the request that represents the question now; None if none is left."""
        del self.members[request]
        first = next(iter(self.members), None)
        if first is None:
            if self._open.get(self.place) is self:
                del self._open[self.place]
        elif first.number > request.number:
            first.number = request.number  # the question's own: `request` was the first
        return first

    def transmitted(self, now: float) -> None:
        """The question was sent again, or put into the send queue."""
        self.sent = now
        for request in self.members:
            request.attempts += 1


class Questions:
    """The questions of one client, at all its ports, that further requests may share."""

    __slots__ = ("_open", "_seconds")

    def __init__(self, plan: Plan) -> None:
        self._open: dict[Hashable, Question] = {}
        self._seconds = sum(plan.waits)

    def find(self, place: Hashable, now: float) -> Question | None:
        """Returns the question that a further request for `place` shares; None if there is none."""
        question = self._open.get(place)
        return question if question is not None and now - question.since < self._seconds else None

    def add(self, owner: Requests, first: Request, place: Hashable, now: float) -> None:
        """`first` asks a question that further requests may share."""
        first.question = self._open[place] = Question(owner, first, place, now, self._open)
