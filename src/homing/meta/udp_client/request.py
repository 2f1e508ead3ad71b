"""One request of a UDP client."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Hashable
from typing import Any

from ...datagram import Address, MessageUDP, MessageUDPError
from ...datagram.address import plain
from ...gen import PID, Ref
from ...gen.copying import refuse_copy
from .options import Plan

_HEADERS = {2: 28, 4: 48}
"""Bytes of the headers of IP and UDP, by the fields of an address: of IPv4, of IPv6."""


class Request:
    """One request.

    number: requests are numbered as they are opened.
    waits: how many waits have begun. final: the last one has.
    attempts: how often it was sent. queued: it waits in the send queue.
    replies: those so far, if more than one is wanted; seen: the same, by peer and payload.
    """

    __slots__ = (
        "attempts",
        "deadline",
        "final",
        "key",
        "message",
        "number",
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

    timer: asyncio.TimerHandle

    __reduce__ = refuse_copy

    def __init__(self, sender: PID, ref: Ref, plan: Plan, message: MessageUDP, key: Hashable, now: float) -> None:
        self.sender = sender
        self.ref = ref
        self.plan = plan
        self.message = message
        self.key = key
        self.number = 0
        self.started = now
        self.deadline = None if plan.within is None else now + plan.within
        self.waits = self.attempts = 0
        self.final = self.queued = False
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
        return self.attempts <= self.plan.retries and len(self.replies) < self.plan.at_least

    def matches(self, message: MessageUDP) -> bool:
        """True if `message` is a reply to it, as far as its payload tells. Raises what `match` raises."""
        match = self.plan.match
        return match is None or bool(match(self.message.data, message))

    def is_met_by(self, report: MessageUDPError) -> bool:
        """True if an ICMP error is about it: one from the same peer, and if it says "too long", of this length."""
        to = self.message.addr
        if plain(report.addr)[:2] != plain(to)[:2]:
            return False
        if report.errno != errno.EMSGSIZE or report.mtu is None:
            return True
        return len(self.message.data) + _HEADERS[len(to)] > report.mtu
