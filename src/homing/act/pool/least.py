"""The worker with the least to do, in a pool of any size.

Of up to `LOOKED_AT` workers, all are looked at for each message; of more, the next so many. If none of these is idle,
one that is comes from a record: a worker tells when its mailbox is empty, as it does for flow control. If none is idle
at all, the least of those that were looked at is as good as the least of all: with so many to choose from, their loads
hardly differ.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from functools import partial
from typing import Any

from ...gen import ProcessState
from ...node.messaging.distribution import distribute, least_loaded
from ...node.processes.process import Process

LOOKED_AT = 64
"""With so many workers a message takes about 2 us, all told."""

_SLEEP = ProcessState.SLEEP


class Least:
    """A route to the worker with the least to do.

    Each worker stands in the record of those that are idle, by its number, or is to tell when it has drained. One that
    stands there is looked at when it is needed: it may have had a message from elsewhere since, or have ended.
    """

    keyed = False
    stuck = -1
    stretch = 64

    def __init__(self) -> None:
        self._last = -1  # the last worker that got a message
        self._size = 0  # workers that were there the last time
        self._idle: OrderedDict[int, None] = OrderedDict()

    def distribute(self, main: deque[Any], workers: list[Process], most: int) -> int:
        """Hands on what is at the head of `main`, `most` at most, while there is room. Returns how many."""
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
        """Hands on one message. Returns how many, which is 0 if there is no room, or if it is no message."""
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
        """The number of the worker that is to get the next message. -1: all are full."""
        start = (self._last + 1) % len(workers)
        place = least_loaded(workers[start : start + LOOKED_AT], -1)
        if place >= 0 and _is_idle(workers[start + place]):
            return start + place
        while self._idle:
            number = next(iter(self._idle))
            if number >= len(workers):
                del self._idle[number]  # it has been removed
            elif _is_idle(workers[number]):
                return number
            else:
                self._leave_record(number, workers[number])
        return start + place if place >= 0 else least_loaded(workers, self._last)

    def _leave_record(self, number: int, worker: Process) -> None:
        del self._idle[number]
        worker.when_drained(0, partial(self._drained, number, worker))

    def _drained(self, number: int, worker: Process) -> None:
        """Its mailbox is empty, or it has ended: then its successor may be idle."""
        if worker.alive and not _is_idle(worker):
            worker.when_drained(0, partial(self._drained, number, worker))  # once more when its callback is over
        else:
            self._idle[number] = None

    def resize(self, size: int) -> None:
        """There are `size` workers now."""


def _is_idle(worker: Process) -> bool:
    return worker.alive and worker.state is _SLEEP and not worker.main and not worker.ahead
