"""The policies for an entry whose lane is full: `ProcessOptions.overflow` and `fallback`, `MetaOptions.overflow`.

Entries of the runtime itself (exit signals, messages of links and monitors, inspections) are never refused and never
dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...gen import PID, Alias, MailboxFull, MessageFallback, MessagePriority, Target
from ...gen.foreign import is_a
from .envelope import Request, Response, SplitMessage, is_message, is_taken_back
from .preserved import BROUGHT

if TYPE_CHECKING:
    from ..scheduling.activity import Activity
    from .mailbox import Entry


def message_overflows(
    target: Activity, to: Target, sender: PID | Alias, message: Any, entry: Entry, priority: int
) -> None:
    """Handles `entry`, which is `message` sent to `to`, when its lane is full. Raises `MailboxFull` if the message goes
    nowhere and `overflow` is "raise"."""
    if _gives_way(target, priority):
        _put(target, entry, priority)
    elif not _fell_back(target, to, sender, message):
        if target.options.overflow == "raise":
            raise MailboxFull(to, target.limit)
        target.dropped_newest += 1


def request_overflows(target: Activity, to: Target, entry: Request, priority: int) -> None:
    """Like `message_overflows`, for a request: it has no fallback, and its caller always gets an error."""
    if not publication_overflows(target, entry, priority):
        raise MailboxFull(to, target.limit)


def publication_overflows(target: Activity, entry: Entry, priority: int = MessagePriority.NORMAL) -> bool:
    """Like `message_overflows`, for an entry without a sender to notify. Returns False if it was not delivered."""
    if _gives_way(target, priority):
        _put(target, entry, priority)
        return True
    if target.options.overflow != "raise":
        target.dropped_newest += 1
    return False


def _put(target: Activity, entry: Entry, priority: int) -> None:
    target.put(entry, priority)
    if not target.scheduled:
        target.scheduler.schedule(target)


def _gives_way(target: Activity, priority: int) -> bool:
    """With "drop_oldest", drops the oldest entry of the lane that may be dropped. Returns False if nothing was."""
    if target.options.overflow != "drop_oldest":
        return False
    oldest = target.take_oldest(priority, may_go)
    if oldest is None:
        return False
    if is_taken_back(oldest):
        pass  # a cancelled timer message is not counted
    elif isinstance(oldest, Request):
        target.core.calls.fail(oldest.ref, MailboxFull(target.id, target.limit))
        target.dropped_oldest += 1
    elif not _oldest_fell_back(target, oldest):
        target.dropped_oldest += 1
    if target.paused and isinstance(target.id, PID):
        target.resume()  # a pool may have paused because of that very message
    return True


def may_go(entry: Entry) -> bool:
    """Returns True for an entry that may be dropped to make room: a message that was sent, not one of the runtime, nor
    a response, of which exactly one comes."""
    if isinstance(entry, Response):
        return False
    return is_taken_back(entry) or (is_message(entry) and not (type(entry) is tuple and is_a(entry[1], BROUGHT)))


def _oldest_fell_back(target: Activity, entry: Entry) -> bool:
    if type(entry) is tuple:
        return _fell_back(target, target.id, *entry)
    to = getattr(entry, "to", None) or target.id
    return isinstance(entry, SplitMessage) and _fell_back(target, to, entry.sender, entry.message)


def _fell_back(target: Activity, to: Target, sender: PID | Alias, message: Any) -> bool:
    """Returns True if the fallback process has accepted the message."""
    fallback = getattr(target.options, "fallback", None)
    other = None if fallback is None else target.core.registry.routes.get(fallback.name)
    if fallback is None or other is None or other is target or not isinstance(target.id, PID):
        return False
    entry = (sender, MessageFallback(target.id, fallback.tag, to, message))
    if not other.put(entry, MessagePriority.NORMAL, other.limit):
        return False
    if not other.scheduled:
        other.scheduler.schedule(other)
    return True
