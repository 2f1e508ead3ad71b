"""Replies that answer nothing while requests are open: somebody may be guessing ids and ports (RFC 5452)."""

from __future__ import annotations

from collections.abc import Callable

WINDOW = 60.0
"""Seconds in which so many wrong guesses raise the alarm: it is logged once a minute at most. Not measured."""


class Guesses:
    """The wrong guesses at one client, whatever port they came to.

    limit: as `UDPClientOptions.guess_alarm`. is_open: tells whether a request is open.
    on_alarm: called, at most once in `WINDOW` seconds, when there are as many.
    total: wrong guesses so far. alarms: times that the alarm was raised.
    """

    def __init__(self, limit: int | None, is_open: Callable[[], bool], on_alarm: Callable[[], None]) -> None:
        self.limit = limit
        self.total = self.alarms = 0
        self._is_open = is_open
        self._on_alarm = on_alarm
        self._since = float("-inf")
        self._before = 0
        self._raised = False

    def count(self, now: float) -> None:
        """A datagram came from a peer that answers nothing."""
        if not self._is_open():
            return
        if now - self._since > WINDOW:
            self._since, self._before, self._raised = now, self.total, False
        self.total += 1
        if self.limit is not None and not self._raised and self.total - self._before >= self.limit:
            self._raised = True
            self.alarms += 1
            self._on_alarm()

    def suspects(self, before: int) -> bool:
        """True if a reply to a request cannot be trusted: it was open while as many wrong ones came. before: `total`
        when it was opened."""
        return self.limit is not None and self.total - before >= self.limit
