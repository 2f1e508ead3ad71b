"""Publishing to many subscribers: in portions, between the turns of processes.

A publication to more than `PORTION` subscribers at once would keep the sockets waiting. Such publications are delivered
one after another, in the order in which they were published. Rules:

1. A receiver gets the publications and messages of one process in the order in which that sent them. Before another
   message of the publisher is added to a main lane, the publications still on their way there are added (`catch_up`).
2. All subscribers of an event get its publications in the same order.
3. Until all have it, the publisher takes nothing more from its main lane: no publisher runs ahead of its subscribers.
4. A publication goes to the processes that were subscribed when it was published.
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
"""The subscribers that are to get a publication; None for each that has got it."""

_NOWHERE: dict[object, Any] = {}


class _Round:
    """One publication on its way. missed: the number of subscribers that did not get it."""

    __slots__ = ("audience", "entry", "event", "missed", "publisher")

    def __init__(self, publisher: Process, publication: MessageEvent, audience: Audience) -> None:
        self.publisher = publisher
        self.event = publication.event
        self.entry = Publication(publication, publisher.id)
        self.audience = audience
        self.missed = 0


class Publishing:
    """Delivers the publications of one node.

    late: the number of publications on their way, by their publisher and by their event.
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
        """Delivers `publication` to `audience`. Returns the number of subscribers that have got it or will get it."""
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

    def deliver(self, publisher: PID, consumer: Process, publication: MessageEvent) -> None:
        """Delivers `publication` to one subscriber, now."""
        entry = Publication(publication, publisher)
        if not consumer.put(entry, 0, consumer.limit) and not publication_overflows(consumer, entry):
            self.failures += 1
        elif not consumer.scheduled:
            self._core.scheduler.schedule(consumer)

    def catch_up(self, sender: PID | Alias, receiver: Activity) -> None:
        """Delivers the publications of `sender` on their way to `receiver`, and those published before them."""
        left = self.late.get(sender, 0)
        for each in tuple(self._queue) if left else ():
            self._reach(each, receiver.id)
            left -= each.publisher.id == sender
            if left == 0:
                break

    def deliver_oldest(self, event: Event) -> None:
        """Delivers the oldest publication of `event` that is on its way, and those published before it, now: for a
        publisher of another node, which cannot be paused."""
        for each in tuple(self._queue):
            for pid in tuple(each.audience):
                self._core.attempt(self._reach, each, pid)
            delivered, each.audience = each.audience, {}  # another dictionary, as `_work` may go through the first
            if each.event == event and delivered:
                break

    def _begin(self, this: _Round) -> None:
        work = self._work()  # first, as making it may run a finalizer that publishes too
        self._queue.append(this)
        for key in (this.publisher.id, this.event):
            self.late[key] = self.late.get(key, 0) + 1
        this.publisher.last_target = None
        this.publisher.routes = _NOWHERE  # so that all its messages take the long way, by `catch_up`
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
        """Puts the publication into one mailbox, unless that was done."""
        place = this.audience.get(pid)
        if place is None:
            return
        this.audience[pid] = None
        consumer = place[0]
        if not consumer.alive:
            this.missed += 1  # the subscriber is ending
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
