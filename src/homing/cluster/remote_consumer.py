"""The consumer of another node: what it watches here, as one consumer in the tables of links and events.

The tables take it as a process: it has the methods of one that they call, which send frames.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from ..gen import (
    PID,
    Event,
    MessageDownAlias,
    MessageDownEvent,
    MessageDownName,
    MessageDownPID,
    MessageEvent,
    MessageTooLarge,
    NameUnknown,
    NodeBusy,
    NotAllowed,
    NotTransferable,
    ProcessOptions,
    Subject,
)
from ..gen.errors import HomingError
from .addresses import subject_in
from .engine import MAIN, SIGNALS
from .wire import Gone, Publish, Subscribe, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..node.core import Core
    from ..node.mailbox.envelope import Publication
    from .link import Link

_SUBJECT: dict[type, Any] = {
    MessageDownPID: attrgetter("pid"),
    MessageDownName: attrgetter("name"),
    MessageDownAlias: attrgetter("alias"),
    MessageDownEvent: attrgetter("event"),
}

_OPTIONS = ProcessOptions()

MOST_WATCHED = 1_000_000
"""The most subjects that one other node can watch here: about 300 MB."""


class _Topic:
    """An event that is watched. buffer: publications that it keeps. published: those that were sent."""

    __slots__ = ("buffer", "number", "published")

    def __init__(self, number: int, buffer: int) -> None:
        self.number = number
        self.buffer = buffer
        self.published = 0


class RemoteConsumer:
    """All that one other node watches here, in one epoch of the link to it.

    id: in the tables of this node. failures: publications that could not be sent, by cause.
    The others: what `Links` and `Publishing` ask of a process.
    """

    __slots__ = ("_core", "_link", "_names", "_numbers", "_topics", "alive", "failures", "id", "links", "monitors")

    limit = 0
    scheduled = True
    options = _OPTIONS

    def __init__(self, core: Core, link: Link) -> None:
        self._core = core
        self._link = link
        self._numbers: dict[Subject, int] = {}
        self._names: dict[int, Subject] = {}
        self._topics: dict[Event, _Topic] = {}
        # no process has it, and no earlier epoch, whose removal may still be in progress
        self.id = PID(link.peer.name, -core.registry.next_id(), link.peer.creation)
        self.alive = True
        self.links: set[Subject] | None = None
        self.monitors: set[Subject] | None = None
        self.failures: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._names)

    # --- what the other node asks for ---------------------------------------------------------------------------

    def watch(self, frame: Watch, exposed: bool) -> None:
        """Watches a process, a name or an alias of this node. exposed: False for a name that others cannot address."""
        subject = subject_in(self._core, frame.subject)
        if not self._accepts(frame.number, subject):
            return
        try:
            if not exposed:
                raise NameUnknown(subject)  # as a request to it would be answered
            self._core.registry.find(subject)
            this: Any = self
            self._core.links.monitor(this, subject)
        except HomingError as error:
            self._gone(frame.number, self._core.pid, error)
            return
        self._numbers[subject] = frame.number
        self._names[frame.number] = subject

    def subscribe(self, frame: Subscribe) -> None:
        """Subscribes to an event of this node. Sends the publications in its buffer."""
        event = Event(frame.event, self._core.name)
        if not self._accepts(frame.number, event):
            return
        this: Any = self
        try:
            buffered = self._core.events.subscribe(this, event, link=False)
        except HomingError as error:
            self._gone(frame.number, self._core.pid, error)
            return
        owner, size = self._core.events.source(event)
        self._topics[event] = topic = _Topic(frame.number, size)
        self._names[frame.number] = event
        for publication in buffered:
            self._publish(topic, owner.id, publication)

    def _accepts(self, number: int, subject: Subject) -> bool:
        """Returns False for a number that is in use, a subject that is watched already, or one too many."""
        if number in self._names or (self.monitors is not None and self._core.links.key(subject) in self.monitors):
            return False  # nothing that a node of ours does
        if len(self._names) >= MOST_WATCHED:
            self._gone(number, self._core.pid, NotAllowed(f"a node watches {MOST_WATCHED} subjects of another at most"))
            return False
        return True

    def unwatch(self, number: int) -> None:
        """Ends a watch. Does nothing if there is none: its subject has ended."""
        subject = self._names.pop(number, None)
        if subject is not None:
            self._forget(subject)
            this: Any = self
            self._core.links.demonitor(this, subject)

    def down(self) -> Iterator[object]:
        """Ends all watches, step by step, as the link has ended."""
        self.alive = False
        self._numbers.clear()
        self._names.clear()
        self._topics.clear()
        this: Any = self
        return self._core.links.consumer_gone(this)

    def _forget(self, subject: Subject) -> tuple[int, int]:
        """Forgets a subject. Returns the number of its watch, 0 for none, and how many publications were sent."""
        if isinstance(subject, Event):
            topic = self._topics.pop(subject, None)
            return (0, 0) if topic is None else (topic.number, topic.published)
        return self._numbers.pop(subject, 0), 0

    # --- what the tables call ---------------------------------------------------------------------------------------

    def put_runtime(self, entry: tuple[PID, Any], priority: int) -> None:
        """Notifies the other node of the end of a subject."""
        sender, message = entry
        number, published = self._forget(_SUBJECT[type(message)](message))
        if number:
            self._names.pop(number, None)
            self._gone(number, sender, message.reason, published)

    def put(self, entry: Any, priority: int, limit: int = 0) -> bool:
        """Sends a publication. Returns False if it was not sent: that is counted, and logged at a bounded rate."""
        publication: Publication = entry
        topic = self._topics.get(publication.event.event)
        return topic is not None and self._publish(topic, publication.publisher, publication.event)

    def _gone(self, number: int, sender: PID, reason: Exception, published: int = 0) -> None:
        if self.alive:
            self._link.post(Gone(number, sender.id, self._link.types.error_out(reason), published), SIGNALS)

    def _publish(self, topic: _Topic, sender: PID, publication: MessageEvent) -> bool:
        try:
            kind, body = self._link.outbox.encode(publication.message)
            frame = Publish(topic.number, sender.id, topic.buffer, publication.timestamp, kind, Raw(body))
            if self._link.post(frame, MAIN) is False:
                return False
        except (MessageTooLarge, NodeBusy, NotTransferable) as error:
            self._failed(publication.event, error)
            return False
        topic.published += 1
        return True

    def _failed(self, event: Event, error: Exception) -> None:
        kind = type(error).__name__
        self.failures[kind] = self.failures.get(kind, 0) + 1
        text = "a publication of %s does not reach node %s: %s"
        log = self._core.limited_log
        log.warning(self._core.loop.time(), f"publication {kind}", text, event, self._link.peer.name, error)
