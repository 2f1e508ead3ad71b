"""Slots: the places of a pool's workers. A worker that ends has a successor in the same slot."""

from __future__ import annotations

from typing import Any

from ...gen import PID
from ...node.mailbox.envelope import Exit
from ...node.mailbox.preserved import PreservedMailbox
from ...node.processes.process import Process

RETRY_FIRST, RETRY_MOST = 0.1, 5.0
"""Seconds until a worker that could not be started is tried again: first, and doubled up to this."""


class Slot:
    """One worker's place, and its account over all who have had it.

    number: its place among those that get messages, which stays the same: the last added leaves first.
    worker: who has it now, or had it last.
    leaving: it gets no more messages: whoever has it works off what waits there and ends.
    dropped: messages for it that were dropped because it was full.
    timer: starts the next try.
    """

    __slots__ = (
        "_handled",
        "_letters",
        "_retry",
        "dropped",
        "leaving",
        "number",
        "pool",
        "restarts",
        "timer",
        "worker",
    )

    def __init__(self, pool: Process, worker: Process, number: int) -> None:
        self.pool = pool
        self.number = number
        self.worker = worker
        self.leaving = False
        self.dropped = 0
        self.timer: Any = None
        self.restarts = 0
        self._handled = 0
        self._letters = 0
        self._retry = RETRY_FIRST

    @property
    def pid(self) -> PID:
        """The worker's."""
        return self.worker.id

    @property
    def preserved(self) -> PreservedMailbox | None:
        """What waits for a successor, once the worker has ended."""
        return (self.pool.preserved_mailboxes or {}).get(self.pid)

    @property
    def waiting(self) -> int:
        """Messages that wait at the worker, or for its successor."""
        worker = self.worker
        return worker.waiting - self._asked_to_leave + len(worker.set_aside or ()) + len(self.preserved or ())

    @property
    def _asked_to_leave(self) -> bool:
        """True while an exit signal is the last that waits at the worker. One that is ending may not have got any."""
        worker = self.worker
        if not self.leaving or worker.alive:
            return self.leaving and bool(worker.main or worker.ahead)
        return any(isinstance(entry, Exit) for entry in worker.main or ())

    @property
    def in_hand(self) -> int:
        """1 while a callback of the worker waits for something, or blocks its thread; else 0."""
        return int(self.worker.hand is not None)

    @property
    def handled(self) -> int:
        """Messages taken from the mailbox."""
        return self._handled + self.worker.handled

    @property
    def letters(self) -> int:
        """Dead letters."""
        return self._letters + self.worker.letters

    def succeed(self, worker: Process) -> None:
        """`worker` has the slot from now on."""
        self._handled, self._letters = self.handled, self.letters
        self.worker = worker
        self.restarts += 1
        self._retry = RETRY_FIRST

    def next_retry(self) -> float:
        """Seconds until the next try."""
        seconds = self._retry
        self._retry = min(seconds * 2, RETRY_MOST)
        return seconds

    def inspect(self) -> dict[str, Any]:
        """Its part of the pool's inspection."""
        return {
            "running": self.worker.alive,
            "waiting": self.waiting,
            "in_hand": self.in_hand,
            "handled": self.handled,
            "dead_letters": self.letters,
            "dropped": self.dropped,
            "restarts": self.restarts,
        }
