"""Freshness: which datagrams are too old to be delivered, wherever they have waited, and which are replaced by newer
ones while they wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from threading import Lock
from time import time_ns
from types import CoroutineType
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from ...datagram import DatagramBatch, Endpoint, MessageUDP, MessageUDPLoss, PacketInfo
from ...datagram.batch import keep
from ...gen.foreign import safe_key, safe_repr, same
from .codel import Control
from .fresh_entry import FreshEntry
from .shape import PLAIN, Shape

if TYPE_CHECKING:
    from ...gen import Alias


class FreshCounters:
    """Counters of a reader.

    expired: datagrams older than `max_age`. conflated: those replaced by newer ones with the same key.
    controlled: those dropped by `codel`.
    key_errors: times that the key function failed; the datagrams were delivered.
    withdrawn: those among all that were dropped here which were counted as delivered before.
    unfair: datagrams dropped by `fair`. fair_errors: times that its function failed. left: datagrams that waited for
        their turn when the socket was closed.
    """

    __slots__ = ("conflated", "controlled", "expired", "fair_errors", "key_errors", "left", "unfair", "withdrawn")

    def __init__(self) -> None:
        self.expired = self.withdrawn = self.conflated = self.controlled = self.key_errors = 0
        self.unfair = self.fair_errors = self.left = 0


class Freshness:
    """Decides on each datagram of one reader twice: when it was read, and when its turn in the mailbox has come."""

    __slots__ = (
        "_control",
        "_endpoint",
        "_id",
        "_lock",
        "_loop",
        "_virtual",
        "_waiting",
        "_warn",
        "counters",
        "grown",
        "shape",
    )

    def __init__(
        self,
        id: Alias,
        loop: asyncio.AbstractEventLoop,
        shape: Shape,
        counters: FreshCounters,
        warn: Callable[..., None],
        endpoint: Endpoint,
    ) -> None:
        self._id = id
        self._loop = loop
        self._endpoint = endpoint
        self._control: Control | None = None
        self._warn = warn
        # Weak: an entry that nobody will handle any more, as its receiver has ended, takes no newer datagram.
        self._waiting: WeakValueDictionary[Any, FreshEntry] = WeakValueDictionary()
        self.grown = 0  # bytes by which datagrams that wait have become longer
        self._virtual = getattr(loop, "time_is_virtual", False)  # then the packets' times are those of the loop
        self.shape = PLAIN
        self.counters = counters
        self._lock = Lock()  # workers on threads of their own count too
        self.adjust(shape)

    def adjust(self, shape: Shape) -> None:
        """Does as `shape` asks from now on, also with what waits."""
        before, self.shape = self.shape, shape
        if shape.codel != before.codel:
            self._control = None if shape.codel is None else Control(shape.codel)
        if not same(shape.conflate, before.conflate):
            self.forget()

    def forget(self) -> None:
        """Lets no newer datagram take the place of one that waits now: it would go to another receiver."""
        self._waiting = WeakValueDictionary()

    def moment(self) -> tuple[int, float]:
        """Returns this moment, in nanoseconds since 1970 and by the clock of the event loop."""
        now = self._loop.time()
        return round(now * 1e9) if self._virtual else time_ns(), now

    def _came(self, info: PacketInfo | None, moment: tuple[int, float]) -> float:
        """Returns when the kernel received a datagram that was read at this `moment`, by the clock of the event loop.
        Where the system does not report it: when it was read. If the system's clock was set back since: likewise."""
        stamp = None if info is None else info.timestamp
        return moment[1] if stamp is None else moment[1] - max(0, moment[0] - stamp) / 1e9

    def entry(self, message: MessageUDP, moment: tuple[int, float]) -> FreshEntry | str:
        """Returns the entry for a datagram that was just read; "expired" if it is too old, "conflated" if it has taken
        the place of one that waits."""
        arrived = self._came(message.info, moment)
        if self._is_old(arrived, moment[1]):
            self._count(1, withdrawn=0)
            self._tell(message, "expired", waited=False)
            message.release()
            return "expired"
        key = None if self.shape.conflate is None else self._key(self.shape.conflate, message)
        if key is not None and self._replaces(key, message, arrived):
            return "conflated"
        entry = FreshEntry(message, arrived, self)
        if key is not None:
            self._waiting[key] = entry
        return entry

    def absorbs(self, message: MessageUDP, moment: tuple[int, float]) -> bool:
        """Returns True if a datagram for which the mailbox has no room has taken the place of one that waits."""
        if self.shape.conflate is None:
            return False
        key = self._key(self.shape.conflate, message)
        return key is not None and self._replaces(key, message, self._came(message.info, moment))

    def _key(self, function: Callable[[MessageUDP], Hashable], message: MessageUDP) -> Any:
        """Returns the key of a datagram; None if it has none, or the program's function fails."""
        try:
            key = function(message)
            if type(key) is CoroutineType:
                key.close()
                raise TypeError("it returned a coroutine; make it a plain def")
            return None if key is None else (safe_key(key),)
        except Exception as error:
            self.counters.key_errors += 1
            self._warn("conflate", "conflate failed, the datagram is delivered: %s", safe_repr(error))
            return None

    def _replaces(self, key: Any, message: MessageUDP, arrived: float) -> bool:
        waiting = self._waiting.get(key)
        before = None if waiting is None else waiting.replace(message, arrived)
        if before is None:
            return False
        self.counters.conflated += 1
        self.grown += max(0, len(message.data) - len(before.data))
        self._tell(before, "conflated")
        before.release()
        return True

    def _is_old(self, arrived: float, now: float) -> bool:
        most = self.shape.max_age
        return most is not None and now - arrived > most

    def taken(self, entry: FreshEntry, behind: object) -> MessageUDP | MessageUDPLoss | None:
        """Returns the message for the handler whose turn has come: the datagram, a marker in its place, or None.

        behind: the lane in which others wait behind it, or nothing.
        """
        message = entry.take()
        now = self._loop.time()
        if self._is_old(entry.arrived, now):
            return self._withdraw(message, "expired")
        control = self._control
        if control is not None:
            with self._lock:
                drops = control.drops(now - entry.arrived, now, not behind)
            if drops:
                return self._withdraw(message, "codel")
        return message

    def _withdraw(self, message: MessageUDP, cause: str) -> MessageUDPLoss | None:
        if cause == "expired":
            self._count(1, withdrawn=1)
        else:
            with self._lock:
                self.counters.controlled += 1
                self.counters.withdrawn += 1
        if _runs_here(self._loop):
            self._tell(message, cause)
        message.release()
        return self._marker(1, cause) if self.shape.loss_markers else None

    def sift(self, batch: DatagramBatch) -> None:
        """Removes the datagrams that have expired from a batch whose turn has come."""
        moment = self.moment()

        def is_fresh(info: PacketInfo) -> bool:
            return not self._is_old(self._came(info, moment), moment[1])

        gone = keep(batch, is_fresh, self._marker if self.shape.loss_markers else None)
        self._count(gone, withdrawn=gone)

    def _tell(self, message: MessageUDP, cause: str, *, waited: bool = True) -> None:
        """Lets a tap record that a datagram was dropped."""
        ear = self._endpoint.ear
        if ear is not None:
            ear.dropped(message, cause, waited=waited)

    def _count(self, expired: int, *, withdrawn: int) -> None:
        with self._lock:
            self.counters.expired += expired
            self.counters.withdrawn += withdrawn

    def _marker(self, count: int, cause: str = "expired") -> MessageUDPLoss:
        until = time_ns()
        return MessageUDPLoss(count, cause, until, until, self._id)


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    """Returns False on another thread than the loop's."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
