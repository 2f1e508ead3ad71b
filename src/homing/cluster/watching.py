"""The subjects of links and monitors, and the events, that this node watches at one other node.

A subject is watched once, however many processes here are linked to it or monitor it: `Watch` or `Subscribe` goes out
for the first, `Unwatch` when the last has left. Each watch has a number of its own, so that a `Gone` or `Publish` that
crosses an `Unwatch` on its way finds nobody, even if the same subject is watched again meanwhile. Rules:

1. A watch ends once: by `Unwatch`, by `Gone`, or with the link, whichever is first. Then it is in no table any more.
2. `Gone` may overtake publications of that event, as the message of a monitor overtakes messages within a node. It says
   how many were sent, and those that are still on their way are delivered when they come.
3. Publications reach the subscribers here in the order in which they were published, and in their order with the
   publisher's messages, as all of them come by the same lane.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..gen import PID, Event, MessageEvent, Subject
from .addresses import pid_in, subject_out
from .engine import SIGNALS
from .wire import Gone, Publish, Subscribe, Unwatch, Watch

if TYPE_CHECKING:
    from ..node.core import Core
    from ..node.messaging.publishing import Audience
    from .link import Link

_MOST_ENDED = 1000
"""Events that have ended, of which publications may still come. More than that are forgotten, the oldest first: a
publication that the other node has dropped never comes."""

_MOST_KEPT = 1 << 20
"""The longest buffer that another node can have this one keep, whatever it says."""

_MOST_LATE = 64
"""Publications of one event that wait here for their turn, if it has more subscribers than one portion. A publisher of
another node cannot be paused: the link waits instead, while one is delivered to all."""


class _Watched:
    """One subject. number: of the watch. received: publications of it that have come.

    kept: the latest publications, as many as the event keeps for new consumers.
    """

    __slots__ = ("kept", "number", "received", "subject")

    def __init__(self, subject: Subject, number: int) -> None:
        self.subject = subject
        self.number = number
        self.received = 0
        self.kept: deque[tuple[PID, MessageEvent]] | None = None

    def keep(self, publisher: PID, publication: MessageEvent, size: int) -> None:
        """Keeps `publication` for consumers to come, as one of the latest `size`."""
        if size > 0:
            if self.kept is None or self.kept.maxlen != size:
                self.kept = deque(self.kept or (), min(size, _MOST_KEPT))
            self.kept.append((publisher, publication))


class _Ended:
    """An event that has ended, before all of its publications have come.

    audience: its subscribers at the end. left: the number of publications still to come.
    """

    __slots__ = ("audience", "event", "left")

    def __init__(self, event: Event, audience: Audience, left: int) -> None:
        self.event = event
        self.audience = audience
        self.left = left


class _Publisher:
    """Stands for a process of another node that publishes: nothing can pause it."""

    __slots__ = ("held_by", "id", "last_target", "routes")

    def __init__(self, pid: PID) -> None:
        self.id = pid
        self.held_by = self.last_target = self.routes = None

    def pause(self) -> None:
        """Does nothing."""

    def resume(self) -> None:
        """Does nothing."""


class Watching:
    """The subjects at the other end of one link, in one epoch."""

    __slots__ = ("_by_number", "_core", "_ended", "_last", "_link", "_subjects")

    def __init__(self, core: Core, link: Link) -> None:
        self._core = core
        self._link = link
        self._last = 0
        self._subjects: dict[Subject, _Watched] = {}
        self._by_number: dict[int, _Watched] = {}
        self._ended: dict[int, _Ended] = {}

    def __len__(self) -> int:
        return len(self._subjects)

    def watch(self, subject: Subject) -> None:
        """Watches `subject`, unless it is watched."""
        if subject in self._subjects:
            return
        self._last += 1
        watched = _Watched(subject, self._last)
        if isinstance(subject, Event):
            frame: Any = Subscribe(watched.number, subject.name)
        else:
            frame = Watch(watched.number, subject_out(subject))
        self._subjects[subject] = self._by_number[watched.number] = watched
        self._link.post(frame, SIGNALS)

    def unwatch(self, subject: Subject) -> None:
        """Watches `subject` no more. Does nothing if it is not watched: it has ended."""
        watched = self._subjects.pop(subject, None)
        if watched is not None:
            del self._by_number[watched.number]
            self._link.post(Unwatch(watched.number), SIGNALS)

    def buffered(self, event: Event) -> Iterable[tuple[PID, MessageEvent]]:
        """Returns the latest publications of `event` that have come, with their publishers."""
        watched = self._subjects.get(event)
        return () if watched is None else tuple(watched.kept or ())

    # --- what the other node says -----------------------------------------------------------------------------

    def gone(self, frame: Gone, reason: Exception) -> None:
        """Notifies all that are linked to a subject, or monitor it, of its end."""
        watched = self._by_number.pop(frame.number, None)
        if watched is None:
            return  # the last consumer has left meanwhile
        subject = watched.subject
        del self._subjects[subject]
        if isinstance(subject, Event) and frame.published > watched.received:
            self._keep_ended(subject, watched, frame.published - watched.received)
        sender = pid_in(self._link.peer, frame.sender)
        self._core.scheduler.run_in_portions(self._core.links.subject_gone, subject, sender, reason)

    def _keep_ended(self, event: Event, watched: _Watched, left: int) -> None:
        self._ended[watched.number] = _Ended(event, self._core.links.consumers(event), left)
        if len(self._ended) > _MOST_ENDED:
            del self._ended[next(iter(self._ended))]

    def expects(self, number: int) -> bool:
        """Returns True if somebody waits for publications of the watch `number`."""
        return number in self._by_number or number in self._ended

    def published(self, frame: Publish, message: Any) -> None:
        """Delivers a publication to the subscribers of this node."""
        watched = self._by_number.get(frame.number)
        if watched is None:
            self._published_late(frame, message)
        elif isinstance(watched.subject, Event):
            event = watched.subject
            watched.received += 1
            publication = MessageEvent(event, frame.timestamp, message)
            publisher = pid_in(self._link.peer, frame.sender)
            watched.keep(publisher, publication, frame.buffer)
            self._deliver(publisher, publication, self._core.links.consumers(event))

    def skip(self, frame: Publish) -> None:
        """Counts a publication that could not be decoded."""
        watched = self._by_number.get(frame.number)
        if watched is not None:
            watched.received += 1
        else:
            self._one_less(frame.number)

    def _published_late(self, frame: Publish, message: Any) -> None:
        ended = self._ended.get(frame.number)
        if ended is not None:
            self._one_less(frame.number)
            publication = MessageEvent(ended.event, frame.timestamp, message)
            self._deliver(pid_in(self._link.peer, frame.sender), publication, dict(ended.audience))

    def _one_less(self, number: int) -> None:
        ended = self._ended.get(number)
        if ended is not None:
            ended.left -= 1
            if ended.left <= 0:
                del self._ended[number]

    def _deliver(self, sender: PID, publication: MessageEvent, audience: Audience) -> None:
        publisher: Any = _Publisher(sender)
        publishing = self._core.publishing
        publishing.publish(publisher, publication, audience)
        if publishing.late.get(publication.event, 0) > _MOST_LATE:
            publishing.deliver_oldest(publication.event)

    # --- the end of the link ------------------------------------------------------------------------------------

    def down(self, reason: Exception) -> Iterator[object]:
        """Notifies all of the end of the link, step by step: links and monitors in the order in which their subjects
        were first watched, then subscriptions."""
        watched = tuple(self._subjects.values())
        self._subjects.clear()
        self._by_number.clear()
        self._ended.clear()
        ends = [
            (one.subject, self._core.links.subject_gone(one.subject, self._sender(one.subject), reason))
            for one in sorted(watched, key=lambda one: isinstance(one.subject, Event))
        ]
        for _, steps in ends:
            yield from self._core.attempt_steps(iter, steps)
            yield None

    def _sender(self, subject: Subject) -> PID:
        """Returns the sender of exit signals: the process, or its node; never this node, which is a parent here."""
        return subject if isinstance(subject, PID) else pid_in(self._link.peer, 1)
