"""Connections whose peer has ended its side, as `nc -N` does: when this side may be closed, so that no answer is lost.

Rule 1: while frames wait to be delivered, it stays open.
Rule 2: it is closed at once when each frame has an answer, and the receiver (with all workers that it forwards to) has
        nothing in hand: then no further answer can come from there.
Rule 3: while a frame has no answer and the receiver is at work, it stays open, up to `idle_timeout`. So it does while
        the connection's own process is at work.
Rule 4: otherwise it is closed after `half_close_timeout` without an answer: one may come from elsewhere.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ...gen import ProcessState
from ...node.messaging.distribution import idle

if TYPE_CHECKING:
    from .connection import Connection
    from .hub import Hub

_AGAIN = 0.001
"""Seconds until the next look while answers wait in the server's own mailbox."""

_OVER = (ProcessState.ZOMBIE, ProcessState.TERMINATED)


class HalfClosed:
    """The half-closed connections of one server."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._all: set[Connection] = set()
        self._watched: set[Any] = set()  # receivers that are at work, and that say when they are not

    def is_done(self, connection: Connection) -> bool:
        """Returns True if nothing more is to be expected for a connection whose frames were all delivered. Otherwise it
        is settled again when that may have changed."""
        if connection.answered < connection.asked:
            self._watch(connection)  # so that the time of rule 4 begins when the receiver is idle
            return False
        return not self._watch(connection)

    def is_overdue(self, connection: Connection, now: float) -> bool:
        """Returns True if it has waited long enough for an answer. Called from time to time."""
        options = self._hub.options
        own = connection.inflow is not self._hub.inflow
        if (own or connection.answered < connection.asked) and self._watch(connection):
            return options.idle_timeout is not None and now - connection.last >= options.idle_timeout
        return now - connection.last >= options.half_close_timeout

    def _watch(self, connection: Connection) -> bool:
        """Returns True if the receiver is at work, or answers of it wait; the connection is settled again later."""
        process = self._hub.process
        if process is None:
            return False
        self._all.add(connection)
        inflow, routes = connection.inflow, process.core.registry.routes
        receiver: Any = None if inflow is None else routes.get(inflow.receiver)
        if receiver is not None and receiver.state not in _OVER:
            if receiver in self._watched:
                return True
            if not idle([receiver], partial(self._again, receiver)):
                self._watched.add(receiver)
                return True
        if process.main:
            process.loop.call_later(_AGAIN, self._settle_all)
            return True
        return False

    def _again(self, receiver: Any) -> None:
        """Called once when a receiver may be idle."""
        self._watched.discard(receiver)
        process = self._hub.process
        if process is not None:
            process.loop.call_soon(self._settle_all)

    def _settle_all(self) -> None:
        found, self._all = self._all, set()
        for connection in found:
            if connection.end is None and not connection.lost:
                connection.settle()
