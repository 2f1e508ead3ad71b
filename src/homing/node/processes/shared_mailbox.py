"""The mailbox of a process whose callbacks run side by side: counts messages in flight, keeps the order of keys."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeGuard

from ...gen import PID, MailboxInfo, ProcessOptions, ProcessState
from ..mailbox.lane import COMPILED, STAND_INS
from .key_order import PARKED, KeyOrder
from .process import Process

if TYPE_CHECKING:
    from ..core import Core
    from ..mailbox.mailbox import Entry
    from ..scheduling.activity import Activity

    filled: Callable[[deque[Any] | None], TypeGuard[deque[Any]]]

if not COMPILED:
    globals().update(STAND_INS)

_ZOMBIE, _TERMINATED = ProcessState.ZOMBIE, ProcessState.TERMINATED


class SharedMailbox(Process):
    """A process from whose mailbox several callbacks take their messages.

    order: keeps the order of messages with the same key. taken_key: the key of the last entry taken; None: no key.
    """

    __slots__ = ("_orders", "order", "taken_key")

    def __init__(
        self, core: Core, parent: PID, leader: PID, env: Mapping[str, Any], split: bool, options: ProcessOptions
    ) -> None:
        super().__init__(core, parent, leader, env, split, options)
        self.order = KeyOrder(self, options.concurrency_key)
        self._orders = options.concurrency_key is not None
        self.taken_key: Any = None

    @property
    def in_flight(self) -> int:
        return self.outstanding - len(self.order)

    @property
    def waiting(self) -> int:
        return super().waiting + len(self.order)

    def mailbox_info(self) -> MailboxInfo:
        info = super().mailbox_info()
        return replace(info, main=info.main + len(self.order))

    @property
    def runnable(self) -> bool:
        return self._has_more()

    def _has_more(self) -> bool:
        if filled(self.urgent) or filled(self.system) or filled(self.logs):
            return True
        return not self.paused and (filled(self.main) or (self._orders and bool(self.order.due)))

    def resume(self) -> None:
        if self.paused:
            self.paused = False
            if self._has_more() and not self.scheduled:
                self.scheduler.schedule(self)

    def put(self, entry: Entry, priority: int, limit: int = 0) -> bool:
        """Like `Mailbox.put`. Messages that are outstanding count as queued in the main lane."""
        if priority == 0 and limit and limit <= self.outstanding + (len(self.main) if self.main else 0):
            return False
        return Process.put(self, entry, priority, limit)

    def take_oldest(self, priority: int, may_go: Callable[[Entry], bool]) -> Entry | None:
        oldest = self.order.take_oldest(may_go) if priority == 0 else None
        return super().take_oldest(priority, may_go) if oldest is None else oldest

    def drop_parked(self, sender: Any, count: int) -> int:
        return self.order.drop(sender, count)

    def take_entry(self, place: Activity) -> Entry | None:
        """Removes and returns the next entry, whose callback is to begin in `place`, and sets `taken_key`. Returns None
        if there is none that may begin, `PARKED` if one has to wait for another of its key."""
        self.taken_key = None
        if self.state is _ZOMBIE or self.state is _TERMINATED:
            return None
        if filled(self.urgent):
            lane = self.urgent
        elif filled(self.system):
            lane = self.system
        elif self._orders and not self.paused and self.order.due:
            parked = self.order.take_due()
            self.taken_key = parked.key
            return parked.entry
        elif filled(self.main) and not self.paused:
            lane = self.main
        elif filled(self.logs):
            lane = self.logs
        else:
            return None
        entry = lane.popleft()
        if not self._orders:
            return entry
        place.hand = entry  # the key function may raise
        key = self.order.enter(entry)
        place.hand = None
        if key is PARKED:
            return PARKED
        self.taken_key = key
        return entry

    def _put_back_parked(self) -> None:
        """Puts the messages that wait for their keys back at the head of the main lane, as they have not begun."""
        parked = self.order.entries()
        if parked:
            self.put_first("main", parked)
            self.order.clear()
