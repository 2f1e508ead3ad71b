"""Notices of nodes: the event of the cluster, and the processes that monitor a node."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from ..act import Actor
from ..gen import Event

if TYPE_CHECKING:
    from ..node.core import Core
    from ..node.processes.process import Process

EVENT = "cluster"
"""The name of the event of the cluster."""

LEAVING = "this node has left"
"""Why all links of a node end that leaves: nothing that its log should tell of each."""

LEFT = "it has left the cluster"
"""Why the link to a node ends that has said that it leaves."""


class Notices(Actor):
    """The process that owns the event."""

    def init(self) -> None:
        self._token = self.register_event(EVENT)

    def publish(self, notice: Any) -> None:
        """Publishes a notice."""
        self.send_event(EVENT, self._token, notice)

    def handle_message(self, sender: Any, message: Any) -> None:
        """Ignores what anybody sends."""

    @property
    def event(self) -> Event:
        """The event."""
        return Event(EVENT, self.node)


class InOrder:
    """Runs works step by step, between the turns of processes, each after those before it: so the notices of a node
    come after all that its end has caused, however much that is."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._works: deque[Iterator[object]] = deque()
        self._working = False

    def add(self, work: Iterator[object]) -> None:
        """Runs `work` after those before it; its first steps now, if there are none."""
        self._works.append(work)
        if not self._working:
            self._working = True
            self._core.scheduler.run_in_portions(self._run)

    def _run(self) -> Iterator[object]:
        while self._works:
            yield from self._core.attempt_steps(iter, self._works[0])
            self._works.popleft()
        self._working = False


class Watchers:
    """The processes that monitor nodes, by the name of the node, in the order in which they began."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._by_name: dict[str, dict[Process, None]] = {}

    def add(self, process: Process, name: str) -> bool:
        """Adds a process. Returns False if it monitored that node already."""
        watchers = self._by_name.setdefault(name, {})
        if process in watchers:
            return False
        watchers[process] = None
        process.when_ended(partial(self._ended, process, name))
        return True

    def remove(self, process: Process, name: str) -> bool:
        """Removes a process. Returns False if it did not monitor that node."""
        watchers = self._by_name.get(name, {})
        if process not in watchers:
            return False
        del watchers[process]
        if not watchers:
            del self._by_name[name]
        return True

    def _ended(self, process: Process, name: str) -> None:
        self.remove(process, name)

    def tell(self, name: str, notice: Any) -> Iterator[object]:
        """Sends a notice to all that monitor that node, step by step."""
        for process in tuple(self._by_name.get(name, ())):
            process.put_runtime((self._core.pid, notice), 1)
            yield None


def log_up(core: Core, cluster: str, name: str) -> None:
    """Logs that a node is up."""
    _log(core, logging.INFO, "node %r of the cluster %r is up", name, cluster)


def log_down(core: Core, cluster: str, name: str, cause: str) -> None:
    """Logs that a node is down, and why: an orderly end as information, anything else as a warning."""
    if cause == LEFT:
        _log(core, logging.INFO, "node %r of the cluster %r has left", name, cluster)
    elif cause != LEAVING:
        _log(core, logging.WARNING, "node %r of the cluster %r is down: %s", name, cluster, cause)


def _log(core: Core, level: int, text: str, *args: object) -> None:
    core.bounded_log.write(core.loop.time(), core.log, level, text, args)  # a node may come and go all the time
