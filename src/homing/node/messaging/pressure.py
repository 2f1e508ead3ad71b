"""Back-pressure from one process to the next: who works behind a socket does not run ahead of whom it sends to.

A process behind a socket is one that a socket, a pool or a router feeds, or that such a process sends to. If it has
sent to a process of which `HIGH_WATER` messages wait, it leaves its own main lane alone until that one has drained to
`LOW_WATER`. So its own mailbox fills, and whoever feeds it waits: the pool, the server, and in the end the kernel.

Nothing that waits for itself is held: not in a circle of processes that send to each other, and not a process whose
answer somebody waits for. What one callback sends is never cut short.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ...gen import PID

if TYPE_CHECKING:
    from ..scheduling.activity import Activity

HIGH_WATER = 1024
"""As many as a UDP server lets wait at its receiver by default."""

LOW_WATER = 256
"""A quarter: the receiver has work while its senders are woken."""


def hold_back(sender: Activity, target: Activity) -> None:
    """Holds `sender`, which has just sent to `target`, if too many messages wait there."""
    if not isinstance(target.id, PID):
        return  # a socket has its own limits: `send_queue`
    high = _high_water(target)
    if len(target.main or ()) < high:
        return
    if sender.paused or sender.forwards or sender.pending:
        return
    if not getattr(sender.options, "back_pressure", False):
        return
    other: Activity | None = target
    while other is not None:
        if other is sender:
            return
        other = other.held_by
    if sender.told_by is not target:  # else it was let go since, and is still to be told
        # first: if that fails, nobody would let it go
        target.when_drained(min(LOW_WATER, high // 2), partial(_drained, sender, target))
        sender.told_by = target
    sender.held_by = target
    sender.holds += 1
    sender.pause()


def hold_back_from(sender: Activity, to: Any) -> None:
    """As `hold_back`, of what was sent to the address `to`."""
    try:
        target = sender.core.registry.routes.get(to)
    except Exception:
        return  # no address, or one of another kind
    if target is not None:
        target.fed = True
        hold_back(sender, target)


def _high_water(target: Activity) -> int:
    """So many messages wait at a process to hold back those that send to it."""
    if not target.limit:
        return HIGH_WATER
    if target.options.overflow != "raise":
        return target.limit + 1  # more than this never wait: the process has said what is dropped instead
    return min(HIGH_WATER, (target.limit + 1) // 2)


def _drained(sender: Activity, target: Activity) -> None:
    if sender.told_by is target:
        sender.told_by = None
    if sender.held_by is target:
        let_go(sender)


def let_go(sender: Activity) -> None:
    """Takes from the main lane again: the receiver has drained, or somebody waits for an answer from here."""
    sender.held_by = None
    sender.resume()
