"""The worker with the fewest messages, in a pool of any size.

For each message, all workers of a pool of up to `LOOKED_AT` are looked at; in a larger pool, the next `LOOKED_AT`.
If none of these is idle, an idle worker comes from a record, which workers enter when their mailbox is empty (as for
flow control). If no worker is idle, the least loaded of those looked at is good enough, as loads hardly differ then.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from functools import partial
from typing import Any

from ...gen import ProcessState
from ...node.messaging.distribution import distribute, least_loaded
from ...node.processes.process import Process

LOOKED_AT = 64
"""Workers looked at for each message, which takes about 2 us in total."""

_SLEEP = ProcessState.SLEEP


class Least:
    """A route to the least loaded worker.

    Each worker, by its number, is in the record of idle workers, or enters the record when it has drained. Whether it
    is still idle is checked when it is needed: it may have had a message from elsewhere since, or have ended.
    """

    keyed = False
    stuck = -1
    stretch = 64

    def __init__(self) -> None:
        self._last = -1  # the last worker that got a message
        self._size = 0  # number of workers at the last call
        self._idle: OrderedDict[int, None] = OrderedDict()

    def distribute(self, main: deque[Any], workers: list[Process], most: int) -> int:
        """Distributes at most `most` messages from the head of `main` while there is room. Returns how many."""
        if len(workers) <= LOOKED_AT:
            count, self._last = distribute(main, workers, self._last, most, True)
            return count
        for number in range(self._size, len(workers)):
            self._idle[number] = None
        self._size = len(workers)
        count = 0
        while count < most and main and self._hand_on(main, workers):
            count += 1
        return count

    def _hand_on(self, main: deque[Any], workers: list[Process]) -> int:
        """Distributes one message. Returns 1, or 0 if there is no room or the head of `main` is not a message."""
        number = self._next(workers)
        if number < 0:
            return 0
        count, _ = distribute(main, [workers[number]], -1, 1, False)
        if count:
            self._last = number
            if number in self._idle:
                self._leave_record(number, workers[number])
        return count

    def _next(self, workers: list[Process]) -> int:
        """Returns the number of the worker that is to get the next message, -1 if all are full."""
        start = (self._last + 1) % len(workers)
        place = least_loaded(workers[start : start + LOOKED_AT], -1)
        if place >= 0 and _is_idle(workers[start + place]):
            return start + place
        while self._idle:
            number = next(iter(self._idle))
            if number >= len(workers):
                del self._idle[number]  # the worker has been removed
            elif _is_idle(workers[number]):
                return number
            else:
                self._leave_record(number, workers[number])
        return start + place if place >= 0 else least_loaded(workers, self._last)

    def _leave_record(self, number: int, worker: Process) -> None:
        del self._idle[number]
        worker.when_drained(0, partial(self._drained, number, worker))

    def _drained(self, number: int, worker: Process) -> None:
        """Records a worker whose mailbox is empty; also one that has ended, as its successor may be idle."""
        if worker.alive and not _is_idle(worker):
            worker.when_drained(0, partial(self._drained, number, worker))  # called again when its callback is over
        else:
            self._idle[number] = None

    def resize(self, size: int, identities: list[str] | None = None) -> None:
        """Does nothing: `distribute` looks at the number of workers itself."""


def _is_idle(worker: Process) -> bool:
    return worker.alive and worker.state is _SLEEP and not worker.main and not worker.ahead
