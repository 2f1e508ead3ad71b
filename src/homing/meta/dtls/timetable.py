"""When the handshakes of a socket are due: one timer of the loop serves all of them."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

from .session import Session

LEAST = 0.001
"""Seconds between two calls, so that a clock that stands still does not block the loop."""


class Timetable:
    """The sessions whose flights may have to be sent again, by time; and the one timer.

    tick: called when it is time. It calls `plan` for the next time.
    """

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick
        self._heap: list[tuple[float, int, Session]] = []
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None
        self._when = 0.0

    def add(self, session: Session) -> None:
        """Notes the time at which a session is due."""
        if session.due is not None:
            self._number += 1
            heapq.heappush(self._heap, (session.due, self._number, session))

    def due(self, now: float) -> list[Session]:
        """Returns the sessions that are due, and forgets them."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            when, _, session = heapq.heappop(self._heap)
            if session.due == when:
                found.append(session)
        return found

    @property
    def next(self) -> float | None:
        """When the next session is due; None: none is."""
        while self._heap and self._heap[0][2].due != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def plan(self, loop: asyncio.AbstractEventLoop | None, when: float | None) -> None:
        """Calls `tick` at `when`, unless it will be called before; None: not."""
        if when is None or loop is None:
            return
        if self._timer is not None:
            if self._when <= when:
                return
            self._timer.cancel()
        self._when = when
        self._timer = loop.call_later(max(LEAST, when - loop.time()), self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._tick()

    def close(self) -> None:
        """Stops the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._heap.clear()
