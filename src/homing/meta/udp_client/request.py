"""One request of a UDP client."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Any

from ...datagram import Address, MessageUDP
from ...gen import PID, Ref
from .options import Plan


class Request:
    """One request.

    peer: where `message` goes, in the form in which a reply names it.
    number: requests are numbered as they are opened.
    due: when its wait is over, by the loop's clock.
    is_open: False once it has ended.
    heard: the peer has said that it has it, and will answer later.
    waits: how many waits have begun. final: the last one has.
    attempts: how often it was sent. queued: it waits in the send queue.
    replies: those so far, if more than one is wanted; seen: the same, by peer and payload.
    """

    __slots__ = (
        "attempts",
        "deadline",
        "due",
        "final",
        "heard",
        "is_open",
        "key",
        "message",
        "number",
        "peer",
        "plan",
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
        self.due = now
        self.final = self.queued = self.heard = False
        self.is_open = False
        self.replies: list[MessageUDP] = []
        self.seen: set[tuple[Address, Any]] = set()

    def wait(self, now: float) -> float:
        """Seconds until it is looked at again."""
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
        """True if replies are missing for which it may be sent again."""
        return not self.heard and self.attempts <= self.plan.retries and len(self.replies) < self.plan.at_least

    def matches(self, message: MessageUDP) -> object:
        """Returns what `match` says to `message`, as far as its payload tells: false if it is no reply to it, `HEARD`,
        or true. Raises what `match` raises."""
        match = self.plan.match
        return True if match is None else match(self.message.data, message)
