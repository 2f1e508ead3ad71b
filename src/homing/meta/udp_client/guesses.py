"""Replies that answer no request while requests are open: somebody may be guessing ids and ports (RFC 5452)."""

from __future__ import annotations

from collections.abc import Callable

WINDOW = 60.0
"""Seconds in which wrong guesses are counted for the alarm, which is raised once in that time at most. Not measured."""


class Guesses:
    """The wrong guesses at one client, at all its ports.

    limit: as `UDPClientOptions.guess_alarm`. is_open: returns True if a request is open.
    on_alarm: called, at most once in `WINDOW` seconds, when `limit` is reached.
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
        """Counts a datagram from a peer that answers no request."""
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
        """Returns True if a reply to a request cannot be trusted, because `limit` wrong guesses came while the request
        was open. before: `total` when the request was opened."""
        return self.limit is not None and self.total - before >= self.limit
