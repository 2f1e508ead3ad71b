"""The forwarder: takes the main lane of an activity in bulk, instead of a callback for each message."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from ...gen.copying import refuse_copy

if TYPE_CHECKING:
    from .activity import Activity


class Forwarder:
    """Base of what takes the main lane of a pool, a router, a UDP server or a UDP client.

    sends_now: True if `send_now` may do anything. takes_now: the same for `take_now`.
    """

    __slots__ = ("sends_now", "takes_now")

    sends_now: bool
    takes_now: bool

    __reduce__ = refuse_copy

    def __init__(self) -> None:
        self.sends_now = False
        self.takes_now = False

    def take_main(self, main: deque[Any]) -> int:
        """Takes entries from a main lane that is not empty. Returns how many."""
        return 0

    def send_now(self, sender: Activity, target: Activity, message: Any) -> bool:
        """Forwards `message` of `sender` at once, without the mailbox of `target`, whose forwarder this is. Returns
        False if it has done nothing: then the message goes through the mailbox."""
        return False

    def take_now(self, messages: list[Any]) -> int:
        """Takes messages of a source at once, while its activity sleeps and nothing waits in the main lane. Returns how
        many, from the first on; the others go through the mailbox."""
        return 0
