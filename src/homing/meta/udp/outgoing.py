"""Takes datagrams that were sent to the alias of a UDP server or client out of its mailbox."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from ...datagram import Address, MessageUDP
from ...datagram.address import is_same
from ...gen.foreign import is_a
from ...node.mailbox.lane import COMPILED, STAND_INS

if TYPE_CHECKING:
    filled: Callable[[deque[Any]], bool]

if not COMPILED:
    globals().update(STAND_INS)

Note: TypeAlias = Callable[[MessageUDP, Any], None]
"""Called with a datagram and the process that sends it."""


def is_datagram(thing: Any) -> bool:
    """Returns True for a `MessageUDP`. Looks at the type alone, as `foreign.is_a` does."""
    return type(thing) is MessageUDP or issubclass(type(thing), MessageUDP)


def take_datagrams(main: deque[Any], limit: int) -> list[MessageUDP]:
    """Takes the datagrams at the head of a main lane out of it, up to the first other entry, `limit` at most."""
    messages: list[MessageUDP] = []
    while filled(main) and len(messages) < limit:
        if COMPILED:  # a compiled lane needs no tuple for a plain message
            message = main.take()  # type: ignore[attr-defined]
            sender = main.sender  # type: ignore[attr-defined]
        else:
            entry = main.popleft()
            sender, message = entry if type(entry) is tuple else (None, entry)
        if sender is None or not is_datagram(message):
            main.appendleft(message if sender is None else (sender, message))
            break
        messages.append(message)
    return messages


def take_noted(note: Note, main: deque[Any], limit: int) -> list[MessageUDP]:
    """As `take_datagrams`. Calls `note` with each datagram and its sender."""
    messages: list[MessageUDP] = []
    while main and len(messages) < limit:
        entry = main.popleft()
        if type(entry) is not tuple or not is_datagram(entry[1]):
            main.appendleft(entry)
            break
        note(entry[1], entry[0])
        messages.append(entry[1])
    return messages


def any_leased(messages: list[MessageUDP]) -> bool:
    """Returns True if one of `messages` holds a pooled buffer."""
    for message in messages:  # noqa: SIM110 - compiled, a plain loop is three times as fast
        if message._lease is not None:
            return True
    return False


def take_payloads(main: deque[Any], limit: int, peer: Address, only: bool) -> list[MessageUDP]:
    """As `take_datagrams`, for a client: bare payloads, and datagrams without an address, go to `peer`. only: stop at a
    datagram to another address as well."""
    messages: list[MessageUDP] = []
    while main and len(messages) < limit:
        entry = main.popleft()
        message = readdressed(entry[1], peer) if type(entry) is tuple else None
        if message is None or (only and message.addr is not peer and not is_same(message.addr, peer)):
            main.appendleft(entry)
            break
        messages.append(message)
    return messages


def readdressed(thing: Any, peer: Address) -> MessageUDP | None:
    """Returns `thing` as a datagram: a bare payload, or a `MessageUDP` without an address, is addressed to `peer`.
    Returns None if it is no datagram."""
    if type(thing) is bytes or is_a(thing, (bytes, bytearray, memoryview)):
        return MessageUDP(None, peer, thing)
    if not is_datagram(thing):
        return None
    message: MessageUDP = thing
    if message.addr is None:
        return MessageUDP(None, peer, message.data, False, message._lease, message.info)
    return message
