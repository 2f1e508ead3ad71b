"""The way of a client's frames: to the requests that they answer, and otherwise to the receiver."""

from __future__ import annotations

from typing import Any

from ...gen import Target
from ...node.processes.meta_process import MetaRunner
from ..tcp.counters import Counters
from ..tcp.inflow import Inflow
from ..tcp.limits import TCPOptions
from .requests import Requests


class Replies(Inflow):
    """Takes the replies out of the frames before the rest is delivered."""

    __slots__ = ("_requests",)

    def __init__(
        self, process: MetaRunner, to: Target, options: TCPOptions, counters: Counters, requests: Requests
    ) -> None:
        super().__init__(process, to, options, counters)
        self._requests = requests

    def _put(self, messages: list[Any]) -> None:
        before = self._requests.answered
        rest = self._requests.take(messages)
        self._counters.delivered += self._requests.answered - before
        if rest:
            super()._put(rest)
