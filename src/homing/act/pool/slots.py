"""Slots: the places of a pool's workers. A worker that ends has a successor in the same slot."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...gen import PID, ProcessBehavior
from ...node.mailbox.envelope import Exit
from ...node.mailbox.preserved import PreservedMailbox
from ...node.processes.process import Process

RETRY_FIRST, RETRY_MOST = 0.1, 5.0
"""Seconds until the next try to start a worker that could not be started: the first wait, doubled up to the longest."""


class Place(NamedTuple):
    """Where the workers of a slot are, if not on this node.

    node: the other node. number: of the slot among those of that node.
    behavior, args: of the process that stands for the worker here, and passes on what it gets.
    """

    node: str
    number: int
    behavior: type[ProcessBehavior]
    args: tuple[Any, ...]


class Slot:
    """One worker's place, with the counters of all workers that have had it.

    number: its place among those that get messages, which stays the same: the last added is removed first.
    worker: the current worker, or the last one.
    reason: why the worker before the current one has ended; None if there was none.
    leaving: True if it gets no more messages: its worker handles the queued ones and ends.
    dropped: messages for it that were dropped because it was full.
    timer: starts the next try. place: None for a worker of this node.
    """

    __slots__ = (
        "_handled",
        "_letters",
        "_retry",
        "dropped",
        "leaving",
        "number",
        "place",
        "pool",
        "reason",
        "restarts",
        "timer",
        "worker",
    )

    def __init__(self, pool: Process, worker: Process, number: int, place: Place | None = None) -> None:
        self.pool = pool
        self.place = place
        self.number = number
        self.worker = worker
        self.leaving = False
        self.dropped = 0
        self.timer: Any = None
        self.restarts = 0
        self.reason: Exception | None = None
        self._handled = 0
        self._letters = 0
        self._retry = RETRY_FIRST

    @property
    def pid(self) -> PID:
        """The PID of the worker."""
        return self.worker.id

    @property
    def preserved(self) -> PreservedMailbox | None:
        """The messages that wait for a successor, once the worker has ended."""
        return (self.pool.preserved_mailboxes or {}).get(self.pid)

    @property
    def waiting(self) -> int:
        """Messages that wait at the worker, or for its successor."""
        worker = self.worker
        return worker.waiting - self._asked_to_leave + len(worker.set_aside or ()) + len(self.preserved or ())

    @property
    def _asked_to_leave(self) -> bool:
        """True while an exit signal is the last entry queued at the worker. A worker that is ending may have none."""
        worker = self.worker
        if not self.leaving or worker.alive:
            return self.leaving and bool(worker.main or worker.ahead)
        return any(isinstance(entry, Exit) for entry in worker.main or ())

    @property
    def in_hand(self) -> int:
        """The worker's callbacks that await something, or block its thread."""
        return self.worker.in_flight

    @property
    def handled(self) -> int:
        """Messages taken from the mailbox by all workers of the slot."""
        return self._handled + self.worker.handled

    @property
    def letters(self) -> int:
        """Dead letters of all workers of the slot."""
        return self._letters + self.worker.letters

    def succeed(self, worker: Process) -> None:
        """Makes `worker` the worker of the slot."""
        self._handled, self._letters = self.handled, self.letters
        self.reason = self.worker.reason
        self.worker = worker
        self.restarts += 1
        self._retry = RETRY_FIRST

    def next_retry(self) -> float:
        """Returns the seconds until the next try."""
        seconds = self._retry
        self._retry = min(seconds * 2, RETRY_MOST)
        return seconds

    def inspect(self) -> dict[str, Any]:
        """Returns its part of the pool's inspection."""
        return {
            "running": self.worker.alive,
            "waiting": self.waiting,
            "in_hand": self.in_hand,
            "handled": self.handled,
            "dead_letters": self.letters,
            "dropped": self.dropped,
            "restarts": self.restarts,
            "reason": self.reason,
        }
