"""Markers of losses as entries of a mailbox. One that still waits grows, so that however much is lost at one place, it
is one entry for each cause."""

from __future__ import annotations

from time import sleep
from typing import TYPE_CHECKING, Any

from ...datagram.loss import MessageUDPLoss, grow
from ...node.mailbox.envelope import Pending, SplitMessage, is_coroutine

if TYPE_CHECKING:
    from ...gen import PID, Alias
    from ...node.scheduling.activity import Activity


class LossEntry(SplitMessage):
    """A marker that grows until somebody looks at its message: the receiver, maybe on another thread, or a pool.

    origin: the sender, as it was given. `sender` is a copy: a search for the datagrams of this source compares the
        identity of that object, and so finds no markers.
    """

    __slots__ = ("_loss", "_sender", "_unclaimed", "origin", "sealed")

    def __init__(self, loss: MessageUDPLoss) -> None:
        self._loss = loss
        self._unclaimed = [None]
        self.sealed = False
        self.to: Any = None
        self.origin: Any = None
        self._sender: Any = None

    @property
    def sender(self) -> Any:
        """The address that the marker comes from."""
        return self._sender

    @sender.setter
    def sender(self, sender: PID | Alias) -> None:
        self.origin = sender
        self._sender = type(sender)(*sender)

    @property
    def cause(self) -> str:
        """The cause of the loss."""
        return self._loss.cause

    @property
    def message(self) -> MessageUDPLoss:
        """The marker, which does not change from now on."""
        while not self.sealed:
            try:
                self._unclaimed.pop()  # atomic, also between threads
                self.sealed = True
            except IndexError:
                sleep(0)  # it grows at this moment
        return self._loss

    def handed_on(self) -> Any:
        return (self._sender, self.message)

    def grow(self, loss: MessageUDPLoss) -> bool:
        """Adds another loss of the same cause at the same place. Returns False if the message was looked at."""
        try:
            self._unclaimed.pop()
        except IndexError:
            return False
        try:
            grow(self._loss, loss.count, loss.since, loss.until)
        finally:
            self._unclaimed.append(None)
        return True

    def handle(self, activity: Activity) -> Pending:
        behavior: Any = activity.behavior
        sender: PID | Alias = self._sender
        if self.to is None:
            result = (activity.handler or behavior.handle_message)(sender, self.message)
        elif isinstance(self.to, str):
            result = behavior.handle_message_name(self.to, sender, self.message)
        else:
            result = behavior.handle_message_alias(self.to, sender, self.message)
        return result if is_coroutine(result) else None
