"""The short way of sending, which most messages take: to a process that has no limit and has had a message before."""

from __future__ import annotations

from typing import Any

from ...gen import Target
from ..mailbox.lane import COMPILED

_COMPILED = COMPILED


def send(behavior: Any, to: Target, message: Any) -> None:
    """Puts `message` into the mailbox behind `to`: a PID, a registered name, an alias, or `ProcessID(name, node)`.

    Never waits. Raises `ProcessUnknown`, `ProcessTerminated`, `NameUnknown`, `AliasUnknown`, `MetaTerminated`,
    `NodeUnknown`, `MailboxFull`, and `BadOption` if `to` is no address.
    """
    process = behavior._process
    try:
        target = process.routes.get(to)
    except TypeError:
        target = None  # it cannot be hashed, so it is no address
    if target is None or target.guarded:
        process.core.delivery.send(process.sender, to, message)
    else:
        lane = target.main
        if _COMPILED:
            lane.put(process.sender, message)
        else:
            lane.append((process.sender, message))
        if lane is not target.main:
            target.settle(lane)  # it has ended while this was put into its mailbox
        if not target.scheduled:
            process.scheduler.schedule(target)
    process.messages_out += 1
