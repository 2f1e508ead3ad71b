"""One request of a UDP client."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from ...datagram import Address, MessageUDP
from ...gen import PID, Ref
from ...gen.copying import refuse_copy
from .options import Plan
from .request_ids import Ids

if TYPE_CHECKING:
    from .questions import Question


class Request:
    """One request.

    peer: the destination, in the form in which the source of a reply is given.
    number: requests are numbered in the order in which they are opened.
    due: when the wait is over, by the loop's clock.
    is_open: False once the request has ended.
    guesses: number of wrong guesses that had come to the client when the request was opened.
    heard: the peer has confirmed the request, and promised a later answer.
    waits: number of waits begun. final: the last wait has begun.
    attempts: how often the request was sent. queued: it waits in the send queue.
    replies: the replies so far, if several are collected; seen: the same, by peer and payload.
    began: when the present wait has begun.
    ids: draws ids, and `own_id` is the caller's own; None if requests have the ids of their callers.
    question: the question that it may share with other requests; None if it may not.
    """

    __slots__ = (
        "attempts",
        "began",
        "deadline",
        "due",
        "final",
        "guesses",
        "heard",
        "ids",
        "is_open",
        "key",
        "message",
        "number",
        "own_id",
        "peer",
        "plan",
        "question",
        "queued",
        "ref",
        "replies",
        "seen",
        "sender",
        "started",
        "timer",
        "waits",
    )

    timer: asyncio.Handle

    __reduce__ = refuse_copy

    def __init__(
        self, sender: PID, ref: Ref, plan: Plan, message: MessageUDP, peer: Address, key: Hashable, now: float
    ) -> None:
        self.sender = sender
        self.ref = ref
        self.plan = plan
        self.message = message
        self.peer = peer
        self.key = key
        self.number = 0
        self.started = now
        self.deadline = None if plan.within is None else now + plan.within
        self.waits = self.attempts = 0
        self.due = self.began = now
        self.ids: Ids | None = None
        self.own_id: Any = b""
        self.question: Question | None = None
        self.guesses = 0
        self.final = self.queued = self.heard = False
        self.is_open = False
        self.replies: list[MessageUDP] = []
        self.seen: set[tuple[Address, Any]] = set()

    def wait(self, now: float) -> float:
        """Begins a wait. Returns its length in seconds."""
        plan = self.plan
        left = None if self.deadline is None else max(0.0, self.deadline - now)
        if self.waits > plan.retries and left is not None:
            self.final = True
            return left
        seconds = plan.seconds(self.waits)
        self.waits += 1
        self.final = self.waits > plan.retries if left is None else seconds >= left
        return min(seconds, left) if left is not None else seconds

    @property
    def lacks(self) -> bool:
        """True if replies are missing and the request may be sent again."""
        return not self.heard and self.attempts <= self.plan.retries and len(self.replies) < self.plan.at_least

    def matches(self, message: MessageUDP) -> object:
        """Returns the result of `match` for `message`: false if it is no reply to this request, `HEARD`, or true.
        Without a `match` any datagram is a reply. Raises what `match` raises."""
        match = self.plan.match
        return True if match is None else match(self.message.data, message)

    def confirms(self, message: MessageUDP) -> object:
        """As `matches`, but `match` sees the caller's own id."""
        match = self.plan.match
        return True if match is None else match(self.restored(self.message).data, self.restored(message))

    def sharing(self) -> tuple[Request, ...]:
        """Returns the open requests that share the question of this one, which is among them."""
        return (self,) if self.question is None else tuple(self.question.members)

    @property
    def is_first(self) -> bool:
        """True if this request represents its question among the open requests."""
        return self.question is None or self.question.first is self

    @property
    def is_covered(self) -> bool:
        """True if the question was sent during the present wait, for another request."""
        return self.question is not None and self.question.sent > self.began

    def restored(self, message: MessageUDP) -> MessageUDP:
        """Returns `message`, a datagram to or from the peer, with the caller's own id."""
        if self.ids is None:
            return message
        data = self.ids.write(message.data, self.own_id)
        return MessageUDP(message.id, message.addr, data, message.truncated, None, message.info)
