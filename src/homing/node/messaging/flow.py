"""Flow control: how a source (a socket) puts messages in bulk into a mailbox, and waits while that is full.

The receiver is looked up anew for each batch, so it may die and come back under the same name meanwhile. While nobody
is there, or its main lane is at the high water mark, the source waits; it is called when there is room again. A source
that would rather drop something is not made to wait for room, and says so by `overflow`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from typing import TYPE_CHECKING, Any

from ...gen import PID, Alias, ProcessID, Target
from ...gen.behavior import takes_batches
from ..mailbox.envelope import SplitMessage
from ..mailbox.lane import COMPILED, drop_oldest
from .delivery import split_address

if TYPE_CHECKING:
    from ..core import Core
    from ..scheduling.activity import Activity


class Inlet:
    """One source's way into one receiver's mailbox.

    ready: called once after `room()` gave 0, when it may be above 0 again.
    overflow: "pause": the source waits while the mailbox is full. Else it does not: `room` is 0 as long as that lasts,
        and `waiting_for` empty.
    """

    __slots__ = (
        "_core",
        "_high",
        "_kind",
        "_low",
        "_marks",
        "_owner",
        "_ready",
        "_resume",
        "_sender",
        "_takes_batches",
        "_to",
        "_waiting_for",
        "_waits",
    )

    def __init__(
        self,
        core: Core,
        owner: Activity,
        to: Target,
        high: int,
        low: int,
        ready: Callable[[], None],
        overflow: str = "pause",
    ) -> None:
        self._core = core
        self._owner = owner
        self._to = to.name if isinstance(to, ProcessID) and to.node == core.name else to
        self._high = high
        self._low = low
        self._ready = ready
        self._waits = overflow == "pause"
        self._marks = overflow == "drop_oldest"
        self._sender: PID | Alias = owner.sender
        self._mark_sender()
        self._kind: type[object] | None = None
        self._takes_batches = False
        self._waiting_for = ""
        self._resume: Callable[[], None] = _nothing

    @property
    def receiver(self) -> Target:
        """The address that messages go to."""
        return self._to

    @property
    def waiting_for(self) -> str:
        """What the source is waiting for: `receiver` (nobody is there), `mailbox` (it is full), or nothing."""
        return self._waiting_for

    def room(self) -> int:
        """How many messages the receiver takes now. 0: `ready` will be called, if there is something to wait for."""
        if self._waiting_for:
            return 0
        target = self._owner.routes.get(self._to)
        if target is None:
            self._wait("receiver", None, 0)
            return 0
        high = min(self._high, target.limit) if target.limit else self._high
        room = high - len(target.main) if target.main else high
        if room > 0:
            return room
        if self._waits:
            self._wait("mailbox", target, min(self._low, high - 1))
        return 0

    def make_room(self, count: int) -> tuple[int, int]:
        """Makes room for `count` messages: the oldest that came this way and still wait go, nobody else's. Gives how
        many went, and how many of the `count` find no room all the same."""
        target = self._owner.routes.get(self._to)
        if target is None or target.main is None:
            return 0, 0
        high = min(self._high, target.limit) if target.limit else self._high
        excess = len(target.main) + count - high
        if excess <= 0:
            return 0, 0
        went = drop_oldest(target.main, self._sender, excess, high)
        if went and target.paused:
            target.resume()  # a pool may have waited to find room for the very first of them
        return went, max(0, min(count, excess - went))

    def _mark_sender(self) -> None:
        """Where `make_room` has to tell what came this way from what the owner has sent otherwise: an equal address,
        but an object of its own."""
        if self._marks:
            self._sender = type(self._sender)(*self._sender)

    def put(self, messages: list[Any]) -> int:
        """Puts `messages`, at most `room()` many, into the receiver's mailbox. Gives how many it took (all, or 0 if the
        receiver has gone since)."""
        target = self._owner.routes.get(self._to)
        if target is None:
            return 0
        sender = self._sender
        address = split_address(target, self._to)
        lane = target.main_lane()
        if address is not None:
            lane.extend([SplitMessage(address, sender, message) for message in messages])
        elif COMPILED:
            lane.extend_from(sender, messages)  # type: ignore[attr-defined]
        else:
            lane.extend(zip(repeat(sender), messages))
        self._owner.messages_out += len(messages)
        if not target.scheduled:
            self._core.scheduler.schedule(target)
        return len(messages)

    def takes_batches(self) -> bool:
        """True if the receiver's class defines `handle_datagrams`."""
        target = self._owner.routes.get(self._to)
        if target is None:
            return False
        kind = type(target.behavior)
        if kind is not self._kind:
            self._kind = kind
            self._takes_batches = takes_batches(kind)
        return self._takes_batches

    def put_entry(self, entry: Any) -> bool:
        """Puts one entry with a `handle` method into the receiver's mailbox. False if the receiver has gone since."""
        target = self._owner.routes.get(self._to)
        if target is None:
            return False
        target.put(entry, 0)
        self._owner.messages_out += 1
        if not target.scheduled:
            self._core.scheduler.schedule(target)
        return True

    def redirect(self, to: Target) -> None:
        """What comes from here on is for `to`. It waits for the receiver before no longer."""
        self._stop_waiting()
        self._to = to

    def adjust(self, high: int, low: int, overflow: str) -> None:
        """From now on these hold. What has come this way before, `make_room` knows only if it was to know it then."""
        self._stop_waiting()
        self._high = high
        self._low = low
        self._waits = overflow == "pause"
        marked, self._marks = self._marks, overflow == "drop_oldest"
        if not marked:
            self._mark_sender()

    def close(self) -> None:
        """Waits for nothing any more."""
        self._stop_waiting()
        self._ready = _nothing

    def _wait(self, what: str, target: Activity | None, low: int) -> None:
        """Waits for room in the mailbox of `target`, and for somebody (else) to register the name, whichever is first.

        A PID or an alias never comes back: then the source waits until it is stopped.
        """

        def resume() -> None:
            if self._resume is resume:  # else it is an old wait that ends, of a mailbox that has lost the name since
                self._stop_waiting()
                self._ready()

        self._waiting_for = what
        self._resume = resume
        if target is not None:
            target.when_drained(low, resume)
        if isinstance(self._to, str):
            self._core.registry.when_registered(self._to, resume)

    def _stop_waiting(self) -> None:
        if isinstance(self._to, str):
            self._core.registry.forget_waiter(self._to, self._resume)
        self._resume = _nothing
        self._waiting_for = ""


def _nothing() -> None:
    """Takes the place of `ready` once the inlet is closed."""
