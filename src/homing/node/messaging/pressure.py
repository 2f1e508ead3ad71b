"""Back-pressure from one process to the next: a process behind a socket does not run ahead of its receivers.

A process behind a socket is fed by a socket, a pool or a router, or by messages of such a process. If it has sent to a
process where `HIGH_WATER` messages wait, it takes nothing from its own main lane until that process has drained to
`LOW_WATER`. So its own mailbox fills, and its senders wait in turn: the pool, the server, and in the end the kernel.

No process is paused that would wait for itself: not one in a circle of processes that send to each other, and not one
whose answer a caller waits for. A running callback is never interrupted, however much it sends.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ...gen import PID

if TYPE_CHECKING:
    from ..scheduling.activity import Activity

HIGH_WATER = 1024
"""The number of messages that a UDP server lets wait at its receiver by default."""

LOW_WATER = 256
"""A quarter: the receiver has work while its senders resume."""


def hold_back(sender: Activity, target: Activity) -> None:
    """Pauses `sender`, which has just sent to `target`, if too many messages wait there."""
    if not isinstance(target.id, PID):
        return  # a meta-process with a socket has its own limits: `send_queue`
    high = _high_water(target)
    if len(target.main or ()) + target.outstanding < high:
        return
    if sender.paused or sender.forwards or (sender.pending and any(waiter.blocks for waiter in sender.pending)):
        return
    if not getattr(sender.options, "back_pressure", False):
        return
    other: Activity | None = target
    while other is not None:
        if other is sender:
            return
        other = other.held_by
    if sender.told_by is not target:  # otherwise it was resumed early, and an earlier callback is still registered
        # before the pause: if this fails, nothing would resume the sender
        target.when_drained(min(LOW_WATER, high // 2), partial(_drained, sender, target))
        sender.told_by = target
    sender.held_by = target
    sender.holds += 1
    sender.pause()


def hold_back_from(sender: Activity, to: Any) -> None:
    """Like `hold_back`, for a message sent to the address `to`."""
    try:
        target = sender.core.registry.routes.get(to)
    except Exception:
        return  # not an address, or of another kind
    if target is not None:
        target.fed = True
        hold_back(sender, target)


def _high_water(target: Activity) -> int:
    """Returns the number of messages waiting at a process above which its senders are paused."""
    if not target.limit:
        return HIGH_WATER
    if target.options.overflow != "raise":
        return target.limit + 1  # never reached: the process drops messages instead of pausing its senders
    return min(HIGH_WATER, (target.limit + 1) // 2)


def _drained(sender: Activity, target: Activity) -> None:
    if sender.told_by is target:
        sender.told_by = None
    if sender.held_by is target:
        let_go(sender)


def let_go(sender: Activity) -> None:
    """Resumes `sender`: its receiver has drained, or a caller waits for its answer."""
    sender.held_by = None
    sender.resume()
