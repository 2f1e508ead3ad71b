"""Processes that receive log records.

Records that a receiver logs while it handles records go to the ordinary handlers only, never to a receiver.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from ...gen import PID, NodeTerminated
from ...gen.foreign import same
from ..mailbox.envelope import LogEntry

if TYPE_CHECKING:
    from ..core import Core


class Receiver(logging.Handler):
    """Delivers the node's log records to the log lane of a process, for its `handle_log`."""

    def __init__(self, core: Core, pid: PID, level: int) -> None:
        super().__init__(level)
        self._core = core
        self.pid = pid

    def emit(self, record: logging.LogRecord) -> None:
        node, pid = getattr(record, "node", self._core.name), getattr(record, "pid", None)
        if not same(node, self._core.name) or (type(pid) is PID and pid in self._core.log_receivers):
            return
        if threading.get_ident() == self._core.thread:
            self._put(record)
        else:
            try:
                self._core.from_thread(self._put, record)
            except NodeTerminated:
                pass  # the loop was closed before the node was stopped: the receiver cannot run any more

    def _put(self, record: logging.LogRecord) -> None:
        target = self._core.registry.routes.get(self.pid)
        if target is None:
            return  # the receiver is ending
        target.put_log(LogEntry(record))
        if not target.scheduled:
            self._core.scheduler.schedule(target)
