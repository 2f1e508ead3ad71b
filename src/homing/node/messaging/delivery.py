"""Delivery: turns an address into a mailbox and puts the message there. All messages pass through it, except on the
short ways of `Actor.send` and of `flow`, which do the same for the common case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...gen import (
    PID,
    Alias,
    BadOption,
    ClusterName,
    MessagePriority,
    ProcessID,
    Ref,
    Target,
)
from ...gen.copying import refuse_copy
from ..mailbox.envelope import Request, SplitMessage, Tick
from ..mailbox.overflow import message_overflows, request_overflows

if TYPE_CHECKING:
    from ..scheduling.activity import Activity
    from ..scheduling.scheduler import Scheduler
    from .publishing import Publishing
    from .registry import Registry

_NORMAL = MessagePriority.NORMAL


def split_address(target: Activity, to: Target) -> str | Alias | None:
    """Returns the name or alias in `to`, if `target` has `split_handle`; otherwise None."""
    if not target.split or isinstance(to, PID):
        return None
    return to.name if isinstance(to, (ProcessID, ClusterName)) else to


class Delivery:
    """Sends on one node."""

    __slots__ = ("_late", "_publishing", "_registry", "_scheduler")

    __reduce__ = refuse_copy

    def __init__(self, registry: Registry, scheduler: Scheduler, publishing: Publishing) -> None:
        self._registry = registry
        self._scheduler = scheduler
        self._publishing = publishing
        self._late = publishing.late

    def send(self, sender: PID | Alias, to: Target, message: Any, priority: MessagePriority = _NORMAL) -> None:
        """Puts `message` into the mailbox behind `to`; for a full mailbox see `overflow`.

        Raises the errors of `Registry.missing`, `MailboxFull`, `BadOption` for a wrong priority, and those of
        `Scheduler.require_thread`.
        """
        self._scheduler.require_thread()
        target = self._registry.find(to)
        if self._late and priority == _NORMAL:
            self._publishing.catch_up(sender, target)
        address = split_address(target, to)
        entry: Any = (sender, message) if address is None else SplitMessage(address, sender, message)
        if not target.put(entry, checked(priority), target.limit):
            message_overflows(target, to, sender, message, entry, priority)
        elif not target.scheduled:
            self._scheduler.schedule(target)

    def tick(self, to: Target, tick: Tick) -> None:
        """Like `send`, for a message from a timer, which stays one object wherever it is queued."""
        target = self._registry.find(to)
        if self._late:
            self._publishing.catch_up(tick.sender, target)
        tick.to = split_address(target, to)
        if not target.put(tick, _NORMAL, target.limit):
            message_overflows(target, to, tick.sender, tick.message, tick, _NORMAL)
        elif not target.scheduled:
            self._scheduler.schedule(target)

    def request(
        self, sender: PID, target: Activity, to: Target, ref: Ref, request: Any, priority: MessagePriority
    ) -> None:
        """Puts a request into the mailbox of `target`. Raises `MailboxFull`; a request has no fallback."""
        entry = Request(sender, ref, request, split_address(target, to))
        if not target.put(entry, checked(priority), target.limit):
            request_overflows(target, to, entry, priority)
        elif not target.scheduled:
            self._scheduler.schedule(target)


def checked(priority: object) -> MessagePriority:
    """Returns `priority` if it is a `MessagePriority`. Raises `BadOption` otherwise."""
    if isinstance(priority, MessagePriority):
        return priority
    raise BadOption("priority", priority, "give a gen.MessagePriority")
