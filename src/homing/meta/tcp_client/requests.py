"""Requests over one connection: the first frame that comes answers the first request, and so on."""

from __future__ import annotations

from collections import deque
from typing import Any

from ...gen import CallTimeout, Ref, TooManyRequests
from ...node.processes.meta_process import MetaRunner
from ..tcp.messages import MessageTCP


class Requests:
    """The requests that wait for their answers.

    A request whose caller has given up keeps its place, as its answer still comes: it is then dropped.
    """

    def __init__(self, process: MetaRunner, most: int, seconds: float) -> None:
        self._process = process
        self._most = most
        self._seconds = seconds
        self._open: deque[tuple[Ref, float]] = deque()
        self.answered = 0

    def __len__(self) -> int:
        return len(self._open)

    def refuse_if_full(self) -> None:
        """Raises `TooManyRequests` if there is no place for one more."""
        if len(self._open) >= self._most:
            raise TooManyRequests(self._most)

    def add(self, ref: Ref) -> None:
        """Notes a request that was sent."""
        self._open.append((ref, self._process.loop.time() + self._seconds))

    def take(self, messages: list[Any]) -> list[Any]:
        """Answers requests with the frames among `messages`, in order. Returns the other messages."""
        rest: list[Any] = []
        for message in messages:
            if type(message) is MessageTCP and self._open:
                ref, _ = self._open.popleft()
                self.answered += 1
                self._process.send_response(self._process.parent, ref, message)
            else:
                rest.append(message)
        return rest

    def overdue(self, now: float) -> bool:
        """Returns True if the first request has waited too long."""
        return bool(self._open) and now >= self._open[0][1]

    def fail(self, error: Exception | None = None) -> None:
        """Fails all requests: with `error`, or because they took too long."""
        requests, self._open = self._open, deque()
        for ref, _ in requests:
            reason = CallTimeout(self._process.id, self._seconds) if error is None else error
            self._process.send_response_error(self._process.parent, ref, reason)
