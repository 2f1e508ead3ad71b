"""What was sent to a UDP server's alias, on its way out of the mailbox."""

from __future__ import annotations

from collections import deque
from typing import Any

from ..datagram import MessageUDP


def take_datagrams(main: deque[Any], limit: int) -> list[MessageUDP]:
    """Takes the datagrams at the head of a main lane out of it, up to the first entry that is none, `limit` at most."""
    messages: list[MessageUDP] = []
    while main and len(messages) < limit:
        entry = main.popleft()
        if type(entry) is not tuple or not isinstance(entry[1], MessageUDP):
            main.appendleft(entry)
            break
        messages.append(entry[1])
    return messages


def any_leased(messages: list[MessageUDP]) -> bool:
    """True if one of them holds a pooled buffer."""
    for message in messages:  # noqa: SIM110 - compiled, a plain loop is three times as fast
        if message._lease is not None:
            return True
    return False
