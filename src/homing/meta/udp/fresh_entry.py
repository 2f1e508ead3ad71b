"""A datagram in a mailbox that may still be dropped there: it is looked at once more when its turn has come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...datagram import MessageUDP
from ...node.mailbox.envelope import Pending, SplitMessage, is_coroutine

if TYPE_CHECKING:
    from ...node.scheduling.activity import Activity
    from .freshness import Freshness


class FreshEntry(SplitMessage):
    """A datagram of a server with `max_age`. It stays one object wherever pools put it.

    arrived: when the kernel received it, by the clock of the event loop.
    """

    __slots__ = ("_freshness", "arrived")

    def __init__(self, message: MessageUDP, arrived: float, freshness: Freshness) -> None:
        super().__init__(None, None, message)  # type: ignore[arg-type] # the sender is set when it is put
        self.arrived = arrived
        self._freshness = freshness

    def handed_on(self) -> Any:
        self.to = None
        return self

    def handle(self, activity: Activity) -> Pending:
        message: Any = self._freshness.taken(self)
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
