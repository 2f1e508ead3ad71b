"""The methods of an actor for other nodes, beside those for sending. Each function here is a method of `Actor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..gen import Target
from ..gen.options import check_name, check_seconds

if TYPE_CHECKING:
    from ..node.elsewhere import Elsewhere
    from .actor import Actor


def _elsewhere(self: Actor) -> Elsewhere:
    return self._here.core.other_nodes()


async def send_important(self: Actor, to: Target, message: Any, timeout: float = 5.0) -> None:
    """Sends `message` to a process of another node and returns when it lies in the mailbox there, as in Ergo.

    timeout: seconds. Raises `CallTimeout`, what a local `send` would raise (`NameUnknown`, `ProcessTerminated`,
    `MailboxFull` ...), and `NodeDown`: then the message may have arrived. A `gen.Once` can be sent again: the message
    in it is delivered once.
    """
    seconds = check_seconds("timeout", timeout)
    await _elsewhere(self).send_important(self.pid, to, message, seconds)
    self._process.messages_out += 1


def monitor_node(self: Actor, name: str) -> bool:
    """Has this process notified, in `handle_message`, each time that node comes up or goes down: `gen.MessageNodeUp`,
    `gen.MessageNodeDown`. Returns False if it was already. Raises `NotAllowed` if this node is in no cluster."""
    check_name("name", name)
    self._here.require_alive()
    return _elsewhere(self).monitor_node(self._process, name)


def demonitor_node(self: Actor, name: str) -> bool:
    """Ends `monitor_node`. Returns False if there was none."""
    check_name("name", name)
    return _elsewhere(self).demonitor_node(self._process, name)
