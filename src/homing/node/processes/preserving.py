"""Preserved mailboxes: the messages that waited at a process that was killed or has ended, kept for its successor.

A killed process keeps them itself until it has ended (`set_aside`). Then its parent keeps them (`preserved_mailboxes`),
until a successor has started or it is certain that none will start.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...gen import PID, is_succeeded
from ..mailbox.preserved import PreservedMailbox

if TYPE_CHECKING:
    from .process import Process


def set_aside(process: Process) -> None:
    """Moves the queued messages of a process that is killed out of its lanes, so that a turn in progress finds none."""
    process.set_aside = PreservedMailbox(process)
    process.core.attempt(process.set_aside.collect)


def leave(process: Process, reason: Exception) -> Iterator[object]:
    """Passes the queued messages of a process that has ended to its parent, for a successor, or makes them dead
    letters; fails the calls that wait for it, except those whose requests are kept. Step by step."""
    calls = process.core.calls
    mailbox, process.set_aside = process.set_aside, None
    keeper = _keeper(process)
    if mailbox is None and (is_succeeded(reason) or (keeper and keeper.hooks.succeeds_orderly)):
        mailbox = PreservedMailbox(process)
    if mailbox is not None:
        mailbox.collect()
        if keeper is not None:
            kept = keeper.preserved_mailboxes or {}
            if keeper.preserved_mailboxes is None:
                keeper.preserved_mailboxes = kept
            keeper.preserved_mailboxes[process.id] = mailbox
            yield from calls.callee_gone(process, reason, mailbox.refs())
            return
        yield from mailbox.give_up()
    yield from calls.callee_gone(process, reason)


def _keeper(process: Process) -> Process | None:
    """Returns the parent, if it starts a successor that gets the queued messages."""
    parent = process.core.processes.get(process.parent) if process.options.preserve_mailbox else None
    return parent if parent is not None and parent.alive and parent.hooks.succeeds else None


def claim(parent: Process | None, previous: PID | None) -> PreservedMailbox | None:
    """Reserves the messages that waited at `previous` for the successor that is being started. Returns None if there
    are none."""
    kept = _kept(parent, previous)
    if kept is not None:
        kept.claimed = True
    return kept


def hand_over(parent: Process | None, previous: PID | None, successor: Process) -> None:
    """Moves the messages that waited at `previous` to the successor, which has started."""
    if parent is not None and parent.preserved_mailboxes and previous in parent.preserved_mailboxes:
        parent.preserved_mailboxes.pop(previous).hand_to(successor)


def keep_for_next(parent: Process | None, previous: PID | None, failed: Process) -> None:
    """Keeps the messages that came to a successor that could not start, for the next one."""
    if parent is not None and parent.preserved_mailboxes and failed.id in parent.preserved_mailboxes:
        mailbox = _kept(parent, previous)
        if mailbox is None:
            forget(parent, failed.id)
        else:
            mailbox.extend(parent.preserved_mailboxes.pop(failed.id))


def forget(parent: Process, child: PID) -> None:
    """Abandons the messages that waited at `child`, which gets no successor."""
    if parent.preserved_mailboxes is not None:
        mailbox = parent.preserved_mailboxes.pop(child, None)
        if mailbox is not None:
            parent.scheduler.run_in_portions(mailbox.give_up)


def forget_unclaimed(parent: Process) -> bool:
    """Abandons the messages of children that get no successor, as the node stops; not those of successors that are
    being started already. Returns True if there were any."""
    unclaimed = [child for child, mailbox in (parent.preserved_mailboxes or {}).items() if not mailbox.claimed]
    for child in unclaimed:
        forget(parent, child)
    return bool(unclaimed)


def _kept(parent: Process | None, previous: PID | None) -> PreservedMailbox | None:
    if parent is None or previous is None or parent.preserved_mailboxes is None:
        return None
    return parent.preserved_mailboxes.get(previous)
