"""What happens to what finds a mailbox full: `ProcessOptions.overflow` and `fallback`, `MetaOptions.overflow`.

What the runtime itself puts into a mailbox (exit signals, what links and monitors bring, inspections) is never refused
and never gives way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...gen import PID, Alias, MailboxFull, MessageFallback, MessagePriority, Target
from ...gen.foreign import is_a
from .envelope import Request, SplitMessage, is_message, is_taken_back
from .preserved import BROUGHT

if TYPE_CHECKING:
    from ..scheduling.activity import Activity
    from .mailbox import Entry


def message_overflows(
    target: Activity, to: Target, sender: PID | Alias, message: Any, entry: Entry, priority: int
) -> None:
    """`entry`, which is `message` on its way to `to`, has found its lane full. Raises `MailboxFull` if it gets nowhere
    and the sender is to know."""
    if _gives_way(target, priority):
        _put(target, entry, priority)
    elif not _fell_back(target, to, sender, message):
        if target.options.overflow == "raise":
            raise MailboxFull(to, target.limit)
        target.dropped_newest += 1


def request_overflows(target: Activity, to: Target, entry: Request, priority: int) -> None:
    """As `message_overflows`, of a request: it has no fallback, and its caller is told in any case."""
    if not publication_overflows(target, entry, priority):
        raise MailboxFull(to, target.limit)


def publication_overflows(target: Activity, entry: Entry, priority: int = MessagePriority.NORMAL) -> bool:
    """As `message_overflows`, of what has no sender to be told. False: it has not got in."""
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
    """With "drop_oldest": takes the oldest out of the lane, if anything there may go."""
    if target.options.overflow != "drop_oldest":
        return False
    oldest = target.take_oldest(priority, may_go)
    if oldest is None:
        return False
    if is_taken_back(oldest):
        pass  # nobody's loss
    elif isinstance(oldest, Request):
        target.core.calls.fail(oldest.ref, MailboxFull(target.id, target.limit))
        target.dropped_oldest += 1
    elif not _oldest_fell_back(target, oldest):
        target.dropped_oldest += 1
    if target.paused and isinstance(target.id, PID):
        target.resume()  # a pool may have waited to find room for that very message
    return True


def may_go(entry: Entry) -> bool:
    """True of what may be dropped to make room: what somebody has sent, not the runtime."""
    return is_taken_back(entry) or (is_message(entry) and not (type(entry) is tuple and is_a(entry[1], BROUGHT)))


def _oldest_fell_back(target: Activity, entry: Entry) -> bool:
    if type(entry) is tuple:
        return _fell_back(target, target.id, *entry)
    to = getattr(entry, "to", None) or target.id
    return isinstance(entry, SplitMessage) and _fell_back(target, to, entry.sender, entry.message)


def _fell_back(target: Activity, to: Target, sender: PID | Alias, message: Any) -> bool:
    """True if the fallback process has taken it."""
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
