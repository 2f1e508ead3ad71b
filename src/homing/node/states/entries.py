"""The keeper's own entries in the mailbox of its process. They end no silence (`Actor.idle_timeout`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..mailbox.envelope import Invoke, Pending

if TYPE_CHECKING:
    from ..scheduling.activity import Activity


class _Own(Invoke):
    __slots__ = ()

    def handle(self, activity: Activity) -> Pending:
        if activity.idle is not None:
            activity.idle.uncounted += 1
        return super().handle(activity)


class Due(_Own):
    """Dumps the state because it is time."""

    __slots__ = ()


class Hold(Due):
    """Dumps the state behind all messages that wait, and holds the process after it."""

    __slots__ = ()


class Load(_Own):
    """Loads a state that comes from the OS process before this one."""

    __slots__ = ()
