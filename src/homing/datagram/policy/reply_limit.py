"""Limits the datagrams sent to each destination, so that a server cannot be made to flood a victim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...gen.copying import refuse_copy
from ..errors import ReplyLimited
from ..failures import Failures
from ..message import MessageUDP
from .guard import Guard
from .limiter import Limiter
from .limits import RateLimit, ReplyGuard
from .networks import number_of


class ReplyLimit:
    """Limits the datagrams that one socket sends to each destination, by a `RateLimit` and a `ReplyGuard`.

    limiter, guard: the two limits, with their counters.
    """

    __slots__ = ("_shorten", "guard", "limiter")

    __reduce__ = refuse_copy

    def __init__(self) -> None:
        self.limiter = Limiter()
        self.guard = Guard()
        self._shorten: Callable[[Any], Any] | None = None

    def apply(self, limit: RateLimit | None, guard: ReplyGuard | None = None) -> None:
        """Applies these limits from now on; None: no limit."""
        self.limiter.apply(limit)
        self.guard.apply(guard)
        self._shorten = None if limit is None else limit.shorten

    @property
    def active(self) -> bool:
        """False if every datagram passes."""
        return self.limiter.active or self.guard.active

    @property
    def refused(self) -> int:
        """Number of datagrams that were not sent."""
        return self.limiter.limited + self.guard.refused

    def look_at_clock(self) -> None:
        """Reads the clock. Call it before `pass_on`, once for all datagrams that are sent together."""
        if self.limiter.active:
            self.limiter.look_at_clock()

    def pass_on(self, message: MessageUDP) -> MessageUDP:
        """Returns the datagram to send: `message`, or its shortened form if the limiter lets it slip.

        Raises `ReplyLimited`, or what `shorten` raises: the datagram is then not sent.
        """
        if not self.guard.admits(message):
            raise ReplyLimited(message.addr)
        number = _number(message.addr) if self.limiter.active else None
        if number is None:
            return message  # for an invalid address, the backend raises the error
        slipped = self.limiter.slipped
        if not self.limiter.admit(number[0], number[1], number[2], 1):
            raise ReplyLimited(message.addr)
        if self._shorten is None or self.limiter.slipped == slipped:
            return message
        return MessageUDP(message.id, message.addr, self._shorten(message.data), False, message._lease, message.info)

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
