"""Events: one process publishes, and each process that is linked to the event or monitors it gets it once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from ...gen import (
    PID,
    BadOption,
    Event,
    EventOptions,
    EventTaken,
    EventUnknown,
    MessageEvent,
    MessageEventStart,
    MessageEventStop,
    NodeUnknown,
    NotAllowed,
    Ref,
    Unregistered,
)
from ...gen.foreign import same
from ...gen.options import check_name, check_type

if TYPE_CHECKING:
    from ..core import Core
    from ..processes.process import Process


class _Record:
    __slots__ = ("buffer", "notify", "owner", "token")

    def __init__(self, owner: Process, token: Ref, options: EventOptions) -> None:
        self.owner = owner
        self.token = token
        self.notify = options.notify
        self.buffer: deque[MessageEvent] | None = deque(maxlen=options.buffer) if options.buffer else None


class EventFacts(NamedTuple):
    """A snapshot of an event.

    owner: process that registered it.
    consumers: number of processes that are linked to it or monitor it.
    buffered, buffer: publications kept for new consumers; the most that are kept, 0: none.
    notify: True if the owner is notified of its first and last consumer.
    """

    name: str
    owner: PID
    consumers: int
    buffered: int
    buffer: int
    notify: bool


class Events:
    """The events registered on one node."""

    __slots__ = ("_core", "_records")

    def __init__(self, core: Core) -> None:
        self._core = core
        self._records: dict[Event, _Record] = {}
        core.links.on_unsubscribed = self._unsubscribed

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Event]:
        """Iterates over all events, in the order of their registration."""
        return iter(tuple(self._records))

    def facts(self, event: Event) -> EventFacts | None:
        """Returns a snapshot of an event; None if it is not registered."""
        record = self._records.get(event)
        if record is None:
            return None
        kept = record.buffer
        size = 0 if kept is None else kept.maxlen or 0
        consumers = len(self._core.links.consumers(event))
        return EventFacts(event.name, record.owner.id, consumers, len(kept or ()), size, record.notify)

    def register(self, owner: Process, name: str, options: EventOptions) -> Ref:
        """Registers an event and returns the token for publishing it. Raises `EventTaken`."""
        check_name("name", name)
        check_type("options", options, EventOptions, "gen.EventOptions")
        event = Event(str.__str__(name), self._core.name)  # as `Registry.register_name` does
        token = self._core.registry.make_ref()
        record = _Record(owner, token, options)
        events = owner.events or set()
        owner.require_alive()  # after all allocations, which may have run a finalizer that has ended it
        taken = self._records.get(event)
        if taken is not None:
            raise EventTaken(event, taken.owner.id)
        self._records[event] = record
        if owner.events is None:
            owner.events = events
        owner.events.add(event)
        return token

    def unregister(self, owner: Process, name: str) -> None:
        """Unregisters an event; its consumers are notified with `Unregistered`. Raises `EventUnknown`, `NotAllowed`."""
        event = Event(name, self._core.name)
        record = self.find(event)
        if record.owner is not owner:
            raise NotAllowed(f"{event} belongs to {record.owner.id}")
        del self._records[event]
        if owner.events is not None:
            owner.events.discard(event)
        links = self._core.links
        self._core.scheduler.run_in_portions(links.subject_gone, event, owner.id, Unregistered())

    def owner_gone(self, owner: Process, reason: Exception) -> Iterator[object]:
        """Ends all events of a process that has ended, step by step. Until then no other process can register them."""
        while owner.events:
            event = owner.events.pop()
            del self._records[event]
            yield from self._core.links.subject_gone(event, owner.id, reason)
            yield None

    def send(self, publisher: Process, name: str, token: Ref, message: Any) -> int:
        """Publishes `message`. Returns the number of mailboxes reached, see `Publishing.publish`."""
        event = Event(name, self._core.name)
        record = self.find(event)
        if not same(record.token, token):
            raise BadOption("token", token, f"it is not the token that register_event returned for {event}")
        publication = MessageEvent(event, time.time(), message)
        if record.buffer is not None:
            record.buffer.append(publication)
        return self._core.publishing.publish(publisher, publication, self._core.links.consumers(event))

    def subscribe(self, consumer: Process, event: Event, *, link: bool) -> list[MessageEvent]:
        """Links `consumer` to `event`, or makes it monitor it. Returns the buffered publications, the oldest first; of
        an event of another node they come to its mailbox instead, before all later ones."""
        links = self._core.links
        if event not in self._records and links.remote is not None and links.is_remote(event):
            self._subscribe_elsewhere(consumer, event, link)
            return []
        record = self.find(event)
        first = not links.has_consumers(event)
        if link:
            links.link(consumer, event)
        else:
            links.monitor(consumer, event)
        if event not in self._records and (links.unlink if link else links.demonitor)(consumer, event):
            self.find(event)  # raises: a finalizer has unregistered the event meanwhile
        if first and record.notify:
            record.owner.put_runtime((self._core.pid, MessageEventStart(event)), 1)
        return list(record.buffer or ())

    def _subscribe_elsewhere(self, consumer: Process, event: Event, link: bool) -> None:
        """Subscribes `consumer` to an event of another node. Publications that have come here before, for others, are
        put into its mailbox; the rest of that event's buffer is on its way."""
        links = self._core.links
        before = links.has_consumer(consumer, event)
        (links.link if link else links.monitor)(consumer, event)
        if links.remote is not None and not before:
            for publisher, publication in links.remote.buffered(event):
                self._core.publishing.deliver(publisher, consumer, publication)

    def find(self, event: Event) -> _Record:
        """Returns the record of `event`. Raises `EventUnknown`, or `NodeUnknown` for an event of another node."""
        record = self._records.get(event)
        if record is None:
            if event.node != self._core.name:
                raise NodeUnknown(event, event.node)
            raise EventUnknown(event)
        return record

    def source(self, event: Event) -> tuple[Process, int]:
        """Returns the owner of an event of this node, and the number of publications that it keeps. Raises
        `EventUnknown`."""
        record = self.find(event)
        return record.owner, 0 if record.buffer is None else record.buffer.maxlen or 0

    def _unsubscribed(self, event: Event) -> None:
        record = self._records.get(event)
        if record is not None and record.notify:
            record.owner.put_runtime((self._core.pid, MessageEventStop(event)), 1)
