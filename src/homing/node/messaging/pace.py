"""The pace of a receiver: how many messages it handles in a time, and so how many may wait there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ...gen.copying import refuse_copy

if TYPE_CHECKING:
    from ..scheduling.activity import Activity

LEAST = 8
"""The fewest messages that may wait, however slow the receiver is. A pause of the reading and what follows costs some
10 us: nothing beside the milliseconds that so slow a receiver takes for that many messages."""


class Pace:
    """Adapts a high-water mark to what a receiver handles in `seconds`.

    The time for a message is measured from one look to the next one. If the receiver was never without a message
    between them, it is the time that has passed, and includes what the receiver has waited for. Otherwise it is less
    than that, and at least the time for which the receiver has run.

    high: the mark is never above this. mark: the mark now.
    """

    __slots__ = (
        "_handled",
        "_loop",
        "_per_message",
        "_queued",
        "_running",
        "_since",
        "_target",
        "high",
        "mark",
        "seconds",
    )

    __reduce__ = refuse_copy

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, high: int) -> None:
        self._loop = loop
        self.seconds = seconds
        self.high = self.mark = high
        self._target: Activity | None = None  # of which the following was noted at the last look
        self._handled = self._queued = 0
        self._running = self._since = 0.0
        self._per_message = 0.0  # seconds; 0: not known

    def look(self, target: Activity, queued: int) -> int:
        """Returns the mark now that `queued` messages wait in the main lane of `target`."""
        done = target.handled - self._handled
        ran = target.running_time - self._running
        same = target is self._target
        if same and done == 0 and self._queued > 0:
            return self.mark
        if queued > 0 or self.mark < self.high or ran * self.high > self.seconds * done:
            now = self._loop.time()
            if same and done > 0:
                self._measure(done, ran, now - self._since)
            self._since = now
        else:  # a quick receiver without a message: this costs a few instructions
            self._since = 0.0
        self._target = target
        self._handled, self._queued, self._running = target.handled, queued, target.running_time
        return self.mark

    def _measure(self, done: int, ran: float, passed: float) -> None:
        """Adapts the mark. done: messages that were handled. ran, passed: seconds since the last look."""
        if done <= self._queued:
            self._set(passed / done)
        elif ran * self.mark > self.seconds * done:
            self._set(ran / done)
        elif passed * self.mark < self.seconds * done:
            self._per_message = 0.0
            self.mark = min(self.high, 2 * self.mark, int(self.seconds * done / passed) if passed > 0 else self.high)

    def _set(self, seconds: float) -> None:
        """Sets the mark by the seconds that a message took just now. A single stall moves it by a part only."""
        before = self._per_message
        self._per_message = seconds if before == 0.0 else (3.0 * before + seconds) / 4.0
        if self._per_message * self.high <= self.seconds:
            self.mark = self.high
        else:
            self.mark = min(self.high, max(LEAST, int(self.seconds / self._per_message)))
