"""Limits the datagrams sent to each destination, so that a server cannot be made to flood a victim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...gen.copying import refuse_copy
from ..errors import AmplificationLimited, ReplyLimited
from ..failures import Failures
from ..message import MessageUDP
from .budget import Budget
from .guard import Guard
from .limiter import Limiter
from .limits import Amplification, RateLimit, ReplyGuard
from .networks import number_of


class ReplyLimit:
    """Limits the datagrams that one socket sends to each destination, by a `RateLimit`, a `ReplyGuard` and an
    `Amplification`. All that the socket sends passes here, however it came to be sent.

    limiter, guard, budget: the three limits, with their counters.
    """

    __slots__ = ("_shorten", "budget", "guard", "limiter")

    __reduce__ = refuse_copy

    def __init__(self) -> None:
        self.limiter = Limiter()
        self.guard = Guard()
        self.budget = Budget()
        self._shorten: Callable[[Any], Any] | None = None

    def apply(
        self, limit: RateLimit | None, guard: ReplyGuard | None = None, amplification: Amplification | None = None
    ) -> None:
        """Applies these limits from now on; None: no limit."""
        self.limiter.apply(limit)
        self.guard.apply(guard)
        self.budget.apply(amplification)
        self.guard.counts_bytes = amplification is None or amplification.dry_run
        self._shorten = None if limit is None else limit.shorten

    @property
    def active(self) -> bool:
        """False if every datagram passes."""
        return self.limiter.active or self.guard.active or self.budget.active

    @property
    def refused(self) -> int:
        """Number of datagrams that limiter and guard have not let pass."""
        return self.limiter.limited + self.guard.refused

    def look_at_clock(self) -> None:
        """Reads the clock. Call it before `pass_on`, once for all datagrams that are sent together."""
        if self.limiter.active:
            self.limiter.look_at_clock()

    def pass_on(self, message: MessageUDP) -> MessageUDP:
        """Returns the datagram to send: `message`, or its shortened form if the limiter lets it slip, or if only the
        shortened one is within the budget.

        Raises `ReplyLimited`, or what `shorten` raises: the datagram is then not sent.
        """
        if not self.guard.admits(message):
            raise ReplyLimited(message.addr)
        if self.limiter.active:
            message = self._within_rate(message)
        if self.budget.active:
            message = self._within_budget(message)
        return message

    def _within_rate(self, message: MessageUDP) -> MessageUDP:
        number = _number(message.addr)
        if number is None:
            return message  # for an invalid address, the backend raises the error
        slipped = self.limiter.slipped
        if not self.limiter.admit(number[0], number[1], number[2], 1):
            raise ReplyLimited(message.addr)
        if self._shorten is None or self.limiter.slipped == slipped:
            return message
        return _shortened(message, self._shorten)

    def _within_budget(self, message: MessageUDP) -> MessageUDP:
        budget = self.budget
        if budget.takes(message):
            return message
        if budget.shorten is not None:
            shorter = _shortened(message, budget.shorten)
            if budget.takes(shorter):
                budget.shortened += 1
                return shorter
        if budget.refuses(message):
            raise AmplificationLimited(message.addr)
        return message

    def divide(self, messages: list[MessageUDP], failures: Failures) -> tuple[list[MessageUDP], list[int]]:
        """Returns the datagrams to send and their numbers in `messages`; adds the others to `failures`."""
        passed: list[MessageUDP] = []
        numbers: list[int] = []
        self.look_at_clock()
        for index, message in enumerate(messages):
            try:
                passed.append(self.pass_on(message))
                numbers.append(index)
            except Exception as error:
                failures.append((index, error))
        return passed, numbers


def _number(address: Any) -> tuple[bool, int, int] | None:
    try:
        return number_of(address[0])
    except (TypeError, IndexError):
        return None


def _shortened(message: MessageUDP, shorten: Callable[[Any], Any]) -> MessageUDP:
    return MessageUDP(message.id, message.addr, shorten(message.data), False, message._lease, message.info)
