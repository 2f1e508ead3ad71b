"""The way of a client's frames: to the requests that they answer, and otherwise to the receiver."""

from __future__ import annotations

from typing import Any

from ...gen import Target
from ...node.processes.meta_process import MetaRunner
from ..tcp.counters import Counters
from ..tcp.inflow import SHARE, Inflow, sizes
from ..tcp.limits import TCPOptions
from .requests import Requests

_MOST_HELD = 1024
"""The most messages held for a receiver that awaits an answer, if its `high_water` is less."""


class Replies(Inflow):
    """Takes the replies out of the frames before the rest is delivered. While the receiver's mailbox is full, it reads
    on as long as a request is open: the receiver itself may await the answer. The other frames are held,
    within bounds."""

    __slots__ = ("_most_bytes", "_most_held", "_requests")

    def __init__(
        self, process: MetaRunner, to: Target, options: TCPOptions, counters: Counters, requests: Requests
    ) -> None:
        super().__init__(process, to, options, counters)
        self._requests = requests
        self._most_held = max(options.high_water, _MOST_HELD)
        self._most_bytes = options.high_water_bytes

    def put_messages(self) -> None:
        super().put_messages()
        while self._queue and len(self._requests) and self._may_hold_more():
            connection = self._queue.popleft()
            connection.queued = False
            self._held += self._without_replies(connection.take(SHARE))
            self.requeue(connection)

    def _may_hold_more(self) -> bool:
        return len(self._held) < self._most_held and sizes(self._held)[0] < self._most_bytes

    def _put(self, messages: list[Any]) -> None:
        rest = self._without_replies(messages)
        if rest:
            super()._put(rest)

    def _without_replies(self, messages: list[Any]) -> list[Any]:
        before = self._requests.answered
        rest = self._requests.take(messages)
        self._counters.delivered += self._requests.answered - before
        return rest
