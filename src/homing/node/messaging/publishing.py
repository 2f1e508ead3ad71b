"""Publishing to many: they get a publication in portions, between the turns of processes.

More than `PORTION` subscribers would keep the sockets waiting. Such publications are handed out one after another, in
the order in which they were published. Rules:

1. What one process publishes and sends comes to a receiver in that order. Before anything else that the publisher sends
   goes into a main lane, its owner gets the publications that are still on their way there (`catch_up`).
2. All subscribers of an event get its publications in the same order.
3. Until everybody has it, the publisher takes nothing more from its main lane: none runs ahead of its subscribers.
4. A publication is for those who were subscribed when it was published.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from ...gen import PID, Alias, Event, MessageEvent, Subject
from ..mailbox.envelope import Publication
from ..mailbox.overflow import publication_overflows
from ..scheduling.slices import PORTION

if TYPE_CHECKING:
    from ..core import Core
    from ..processes.process import Process
    from ..scheduling.activity import Activity

Audience: TypeAlias = "dict[PID, tuple[Process, Subject] | None]"
"""Who is to get a publication; None where that has been done."""

_NOWHERE: dict[object, Any] = {}


class _Round:
    """One publication on its way. missed: how many did not get it."""

    __slots__ = ("audience", "entry", "event", "missed", "publisher")

    def __init__(self, publisher: Process, publication: MessageEvent, audience: Audience) -> None:
        self.publisher = publisher
        self.event = publication.event
        self.entry = Publication(publication)
        self.audience = audience
        self.missed = 0


class Publishing:
    """Hands out the publications of one node.

    late: how many publications are on their way, by their publisher and by their event.
    failures: how often a mailbox was full.
    """

    __slots__ = ("_core", "_queue", "_working", "failures", "late")

    def __init__(self, core: Core) -> None:
        self._core = core
        self._queue: deque[_Round] = deque()
        self._working = False
        self.late: dict[PID | Alias | Event, int] = {}
        self.failures = 0

    def publish(self, publisher: Process, publication: MessageEvent, audience: Audience) -> int:
        """Hands `publication` to all of `audience`. Returns how many have got it or are still to get it."""
        this = _Round(publisher, publication, audience)
        if len(audience) > PORTION or this.event in self.late:
            self._begin(this)
        else:
            behind = publisher.id in self.late
            for process, _ in filter(None, tuple(audience.values())):
                if behind:
                    self.catch_up(publisher.id, process)
                self._reach(this, process.id)
        return len(audience) - this.missed

    def catch_up(self, sender: PID | Alias, receiver: Activity) -> None:
        """Hands `receiver` the publications of `sender` that are on their way to it, and those published before."""
        left = self.late.get(sender, 0)
        for each in tuple(self._queue) if left else ():
            self._reach(each, receiver.id)
            left -= each.publisher.id == sender
            if left == 0:
                break

    def _begin(self, this: _Round) -> None:
        work = self._work()  # first: to make it may run a finalizer, which publishes too
        self._queue.append(this)
        for key in (this.publisher.id, this.event):
            self.late[key] = self.late.get(key, 0) + 1
        this.publisher.routes = _NOWHERE  # so all that it sends takes the long way, by `catch_up`
        this.publisher.pause()
        if not self._working:
            self._working = True
            self._core.scheduler.run_in_portions(iter, work)

    def _work(self) -> Iterator[object]:
        while self._queue:
            this = self._queue[0]
            for pid in this.audience:
                self._core.attempt(self._reach, this, pid)
                yield None
            self._queue.popleft()
            self._core.attempt(self._end, this)
        self._working = False

    def _reach(self, this: _Round, pid: Any) -> None:
        """Puts it into one mailbox, unless that was done."""
        place = this.audience.get(pid)
        if place is None:
            return
        this.audience[pid] = None
        consumer = place[0]
        if not consumer.alive:
            this.missed += 1  # it is ending
        elif not consumer.put(this.entry, 0, consumer.limit) and not publication_overflows(consumer, this.entry):
            this.missed += 1
            self.failures += 1
        elif not consumer.scheduled:
            self._core.scheduler.schedule(consumer)

    def _end(self, this: _Round) -> None:
        for key in (this.publisher.id, this.event):
            self.late[key] -= 1
            if not self.late[key]:
                del self.late[key]
        publisher = this.publisher
        if publisher.id not in self.late:
            publisher.routes = self._core.registry.routes
            if publisher.held_by is None:
                publisher.resume()
