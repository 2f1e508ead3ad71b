"""The routes of a router at run time: their state and their counters."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from ...gen import PID, Alias
from ...node.processes.process import Process
from .options import RouteSpec
from .requests import RouteInfo, State

_RETRY_FIRST, _RETRY_MOST = 0.1, 5.0
"""Seconds until the process of a route is started again, if it could not be or has ended again soon: first, and doubled
up to this. Who has lived for as long as the latter is started again at once."""


class Undelivered:
    """A message of several routes, of which some have it; the others, `names`, are still to get it. It lies at the head
    of the router's main lane, so a successor of the router goes on where that has stopped."""

    __slots__ = ("message", "names", "sender")

    def __init__(self, names: tuple[str, ...], sender: PID | Alias, message: Any) -> None:
        self.names = names
        self.sender = sender
        self.message = message

    def letter(self) -> Any:
        """What a dead-letter process gets."""
        return self.message


class Tally:
    """What was forwarded, and what failed by the class of the error."""

    __slots__ = ("failed", "forwarded")

    def __init__(self) -> None:
        self.forwarded = 0
        self.failed: Counter[str] = Counter()


class Route(Tally):
    """A route at run time. `process` is that of an owned route, while there is one; `previous` was it before."""

    __slots__ = ("delay", "enabled", "previous", "process", "restarts", "since", "spec", "timer")

    def __init__(self, spec: RouteSpec) -> None:
        super().__init__()
        self.spec = spec
        self.process: Process | None = None
        self.previous: PID | None = None
        self.enabled = True
        self.restarts = 0
        self.since = 0.0  # by the loop's clock: it was started, or could not be
        self.delay = 0.0  # until it is started again
        self.timer: asyncio.TimerHandle | None = None  # starts it then

    def info(self) -> RouteInfo:
        spec, process = self.spec, self.process
        lacks = spec.behavior is not None and (process is None or not process.alive)
        state: State = "disabled" if not self.enabled else "restarting" if lacks else "enabled"
        return RouteInfo(spec.name, state, None if process is None or lacks else process.id, spec.target)

    def next_delay(self, now: float) -> float:
        """Seconds until the process is started again, now that it has ended or could not be started."""
        if now - self.since >= _RETRY_MOST:
            self.delay = 0.0
        delay = self.delay
        self.delay = min(max(2 * delay, _RETRY_FIRST), _RETRY_MOST)
        return delay
