"""A datagram in a mailbox that may still be dropped there: it is looked at once more when its turn has come."""

from __future__ import annotations

from time import sleep
from typing import TYPE_CHECKING, Any

from ...datagram import MessageUDP
from ...node.mailbox.envelope import Pending, SplitMessage, is_coroutine

if TYPE_CHECKING:
    from ...node.scheduling.activity import Activity
    from .freshness import Freshness


class FreshEntry(SplitMessage):
    """A datagram of a server with `max_age` or `conflate`. It stays one object wherever pools put it. As long as its
    turn has not come, a newer datagram may take its place.

    arrived: when the kernel received it, by the clock of the event loop.
    """

    __slots__ = ("__weakref__", "_datagram", "_freshness", "_unclaimed", "arrived")

    def __init__(self, message: MessageUDP, arrived: float, freshness: Freshness) -> None:
        self.to: Any = None
        self.sender: Any = None
        self.arrived = arrived
        self._datagram = message
        self._unclaimed = [None]
        self._freshness = freshness

    @property
    def message(self) -> MessageUDP:
        """The datagram."""
        return self._datagram

    def replace(self, message: MessageUDP, arrived: float) -> MessageUDP | None:
        """Puts a newer datagram in the place of the present one, and returns that; None if its turn has come."""
        try:
            self._unclaimed.pop()  # atomic, also between threads
        except IndexError:
            return None
        before, self._datagram, self.arrived = self._datagram, message, arrived
        self._unclaimed.append(None)
        return before

    def take(self) -> MessageUDP:
        """Returns the datagram, whose turn has come."""
        while True:
            try:
                self._unclaimed.pop()
                return self._datagram
            except IndexError:
                sleep(0)  # it is replaced at this moment

    def handed_on(self) -> Any:
        self.to = None
        return self

    def handle(self, activity: Activity) -> Pending:
        message: Any = self._freshness.taken(self, getattr(activity, "main", True))  # a thread's has none
        if message is None:
            return None
        behavior: Any = activity.behavior
        if self.to is None:
            result = (activity.handler or behavior.handle_message)(self.sender, message)
        elif isinstance(self.to, str):
            result = behavior.handle_message_name(self.to, self.sender, message)
        else:
            result = behavior.handle_message_alias(self.to, self.sender, message)
        return result if is_coroutine(result) else None
