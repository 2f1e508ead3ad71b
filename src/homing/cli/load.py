"""Load for the demo: a meta-process whose blocking `start`, in a thread of its own, sends packets through a real socket
and checks the answers."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import Any

from .. import gen

_REPORT = 0.5
"""Seconds between two reports."""

_WAIT = 0.002
"""Seconds to wait for an answer while no packet is due."""

_BURST = 64
"""Most packets sent before answers are read: a rate too high for this machine then shows in the number of packets sent.
"""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """The packets sent, the right answers and the wrong answers so far, and the last round trips in seconds."""

    sent: int
    answered: int
    wrong: int
    round_trips: tuple[float, ...]


class LoadGenerator(gen.MetaBehavior):
    """Sends `rate` packets per second, in turn to each of `targets`; each answer must end with its question.

    Sends a `LoadReport` to its parent twice a second.
    """

    def __init__(self, targets: list[tuple[str, int]], rate: int) -> None:
        self._targets = targets
        self._rate = rate
        self._stopped = False
        family = socket.AF_INET6 if ":" in targets[0][0] else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._asked: dict[bytes, float] = {}
        self._sent = self._answered = self._wrong = 0
        self._round_trips: list[float] = []

    def start(self) -> None:
        """Blocks: runs in a thread until `terminate` closes the socket."""
        begin = reported = time.monotonic()
        while not self._stopped:
            now = time.monotonic()
            due = int((now - begin) * self._rate) - self._sent
            try:
                for _ in range(min(due, _BURST)):
                    self._ask()
                self._socket.settimeout(_WAIT if due < _BURST else 0)
                self._hear()
            except OSError:
                if not self._stopped:
                    raise
                return
            if now - reported >= _REPORT:
                reported = now
                self._report()

    def _ask(self) -> None:
        question = f"{self._sent:012d}".encode()
        self._asked[question] = time.monotonic()
        self._socket.sendto(question, self._targets[self._sent % len(self._targets)])
        self._sent += 1

    def _hear(self) -> None:
        """Reads the answers that have come. Waits a moment if there are none."""
        for _ in range(2 * _BURST):
            try:
                answer = self._socket.recv(2048)
            except (TimeoutError, BlockingIOError):
                return
            asked = self._asked.pop(answer[-12:], None)
            if asked is None:
                self._wrong += 1
            else:
                self._answered += 1
                self._round_trips.append(time.monotonic() - asked)

    def _report(self) -> None:
        while len(self._asked) > 100_000:  # bounds the memory: an answer to a forgotten packet counts as wrong
            del self._asked[next(iter(self._asked))]
        report = LoadReport(self._sent, self._answered, self._wrong, tuple(self._round_trips[-2000:]))
        self._round_trips.clear()
        self.process.send(self.process.parent, report)

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        """Ignores messages."""

    def terminate(self, reason: Exception) -> None:
        """Makes `start` return."""
        self._stopped = True
        self._socket.close()
