"""Links and monitors: notify processes when another process, a name, an alias or an event ends.

Both point one way, as in Ergo: from the process that asked (the consumer) to the subject. When the subject ends, for
whatever reason, `normal` included, a link sends the consumer an exit signal, a monitor sends it a message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from ...gen import (
    PID,
    Alias,
    AlreadyLinked,
    Event,
    HomingError,
    MessageDownAlias,
    MessageDownEvent,
    MessageDownName,
    MessageDownPID,
    MessageEvent,
    MessageExitAlias,
    MessageExitEvent,
    MessageExitName,
    MessageExitPID,
    ProcessID,
    Subject,
)
from ...gen.foreign import safe_str
from ...gen.retrying import entry, twice
from ..mailbox.envelope import Exit

if TYPE_CHECKING:
    from ..processes.process import Process
    from .publishing import Audience

_Consumers: TypeAlias = "dict[PID, tuple[Process, Subject]]"
_Table: TypeAlias = dict[Subject, _Consumers]

_NOBODY = (None, None)


_EXIT: dict[type, Any] = {PID: MessageExitPID, Alias: MessageExitAlias, Event: MessageExitEvent}
_DOWN: dict[type, Any] = {PID: MessageDownPID, Alias: MessageDownAlias, Event: MessageDownEvent}
"""The message for each kind of subject; any other subject is a name and has the message for names."""


class RemoteSubjects(Protocol):
    """The subjects of other nodes, as `cluster.relations` watches them for this node."""

    def watch(self, subject: Subject) -> None:
        """Has the subject's node notify this one of its end, once; called for the first consumer, and again for
        others. Raises `NodeUnknown` if that node is not up."""

    def unwatch(self, subject: Subject) -> None:
        """Ends a `watch`: the last consumer has left. Does nothing if there is none."""

    def buffered(self, event: Event) -> Iterable[tuple[PID, MessageEvent]]:
        """Returns the latest publications of an event of another node that have come here, with their publishers, the
        oldest first: as many as that event keeps for new consumers."""


class _End:
    """The end of a subject. links, monitors: the consumers that are still to be notified."""

    __slots__ = ("_down", "_exit", "_linked", "_origin", "_reason", "_signal", "key", "links", "monitors")

    def __init__(self, origin: PID, key: Subject, reason: Exception) -> None:
        self._exit: Any = _EXIT.get(type(key), MessageExitName)
        self._down: Any = _DOWN.get(type(key), MessageDownName)
        self._origin = origin
        self._reason = reason
        self._signal: Exit | None = None
        self._linked: Subject | None = None
        self.key = key
        self.links: _Consumers = {}
        self.monitors: _Consumers = {}

    def tell(self, pid: PID) -> None:
        """Notifies one consumer now."""
        self.tell_linked(pid)
        self.tell_monitoring(pid)

    def tell_linked(self, pid: PID) -> None:
        """Sends the exit signal to a linked consumer, unless it was sent."""
        subject = self.links.get(pid, _NOBODY)[1]
        if subject is not None and (self._signal is None or self._linked is not subject):
            # the signal is reused: most of thousands name the subject by the same object
            self._signal = Exit(self._origin, self._reason, self._exit(subject, self._reason))
            self._linked = subject
        consumer, signal = self.links.pop(pid, _NOBODY)[0], self._signal  # after all allocations
        if consumer is not None and signal is not None:
            if consumer.links is not None:
                consumer.links.discard(self.key)
            try:
                consumer.put_exit(signal)
            except MemoryError:
                consumer.put_exit(signal)

    def tell_monitoring(self, pid: PID) -> None:
        """Sends the message to a monitoring consumer, unless it was sent."""
        entry = (self._origin, self._down(self.monitors.get(pid, _NOBODY)[1], self._reason))
        consumer = self.monitors.pop(pid, _NOBODY)[0]  # after all allocations
        if consumer is not None:
            if consumer.monitors is not None:
                consumer.monitors.discard(self.key)
            try:
                consumer.put_runtime(entry, 1)
            except MemoryError:
                consumer.put_runtime(entry, 1)

    def forget(self, pid: PID, linked: bool) -> None:
        """Removes a consumer that is not to be notified any more."""
        (self.links if linked else self.monitors).pop(pid, None)


class Links:
    """The links and monitors of one node, by subject. Messages name the subject as the consumer named it.

    on_unsubscribed: called with an event when its last consumer has left.
    remote: watches the subjects of other nodes; None while the node is in no cluster.
    """

    __slots__ = ("_core_pid", "_ends", "_links", "_monitors", "_node", "on_unsubscribed", "remote")

    def __init__(self, node: str, core_pid: PID) -> None:
        self._node = node
        self._core_pid = core_pid
        self._links: _Table = {}
        self._monitors: _Table = {}
        self._ends: dict[Subject, list[_End]] = {}
        self.on_unsubscribed: Callable[[Event], None] = lambda event: None
        self.remote: RemoteSubjects | None = None

    def key(self, subject: Subject) -> Subject:
        """Returns the key of a subject: plain `str` for a name of this node."""
        return subject.name if isinstance(subject, ProcessID) and subject.node == self._node else subject

    def link(self, consumer: Process, subject: Subject) -> None:
        """Links `consumer` to `subject`, which must exist. Raises `AlreadyLinked`."""
        key = self.key(subject)
        links = consumer.links or set()
        if consumer.links is None:  # read again, as making the set may have run a finalizer
            consumer.links = links
        self._add(self._links, consumer, consumer.links, key, subject, "linked to")

    def monitor(self, consumer: Process, subject: Subject) -> None:
        """Makes `consumer` monitor `subject`, which must exist. Raises `AlreadyLinked`."""
        key = self.key(subject)
        monitors = consumer.monitors or set()
        if consumer.monitors is None:
            consumer.monitors = monitors
        self._add(self._monitors, consumer, consumer.monitors, key, subject, "monitoring")

    def unlink(self, consumer: Process, subject: Subject) -> bool:
        """Removes a link. Returns False if there was none."""
        return self._remove(self._links, consumer, consumer.links, self.key(subject))

    def demonitor(self, consumer: Process, subject: Subject) -> bool:
        """Removes a monitor. Returns False if there was none."""
        return self._remove(self._monitors, consumer, consumer.monitors, self.key(subject))

    def is_remote(self, key: Subject) -> bool:
        """Returns True for the key of a subject of another node."""
        return not isinstance(key, str) and key.node != self._node

    def has_consumers(self, key: Subject) -> bool:
        """Returns True if any process is linked to `key` or monitors it."""
        return key in self._links or key in self._monitors

    def has_consumer(self, consumer: Process, key: Subject) -> bool:
        """Returns True if `consumer` is linked to `key` or monitors it."""
        return key in (consumer.links or ()) or key in (consumer.monitors or ())

    def consumers(self, event: Event) -> Audience:
        """Returns the processes that are linked to `event` or monitor it, each once, in a new dictionary: Python copies
        one of 20,000 in a fraction of a millisecond."""
        links, monitors = self._links.get(event), self._monitors.get(event)
        if links and monitors:
            return {**links, **monitors}
        return dict(links or monitors or {})

    def subject_gone(self, key: Subject, sender: PID | None, reason: Exception) -> Iterator[object]:
        """Notifies all consumers that are linked to `key` or monitor it of its end, step by step. `sender`: the process
        it belonged to. No consumer added from here on is notified, whichever process gets the name or event next."""
        ends = self._ends.get(key)
        if key not in self._links and key not in self._monitors:
            # the consumers left by an earlier call for the same end that ran out of memory
            return self._tell(ends[-1]) if ends else iter(())
        end = _End(sender if sender is not None else self._core_pid, key, reason)
        told = self._tell(end)
        entry(self._ends, key, list).append(end)
        end.links = self._links.pop(key, end.links)  # after all allocations
        end.monitors = self._monitors.pop(key, end.monitors)
        return told

    def _tell(self, end: _End) -> Iterator[object]:
        for consumer in twice(tuple, end.links):
            twice(end.tell_linked, consumer)
            yield None
        for consumer in twice(tuple, end.monitors):
            twice(end.tell_monitoring, consumer)
            yield None
        ends = self._ends.get(end.key, [])
        if end in ends:
            ends.remove(end)
        if not ends:
            self._ends.pop(end.key, None)

    def consumer_gone(self, consumer: Process) -> Iterator[object]:
        """Removes the links and monitors that `consumer` made, step by step."""
        while consumer.links:
            self._forget(self._links, consumer, consumer.links.pop())
            yield None
        while consumer.monitors:
            self._forget(self._monitors, consumer, consumer.monitors.pop())
            yield None

    def _add(
        self, table: _Table, consumer: Process, own: set[Subject], key: Subject, subject: Subject, word: str
    ) -> None:
        if key in own:
            for end in self._ends.get(key, ()):  # a subject linked to before has ended: notifies of that first
                end.tell(consumer.id)
        if key in own:
            raise AlreadyLinked(f"{consumer.id} is already {word} {safe_str(subject)}")
        own.add(key)
        entry(table, key, dict)[consumer.id] = (consumer, subject)
        if self.remote is not None and self.is_remote(key):
            try:
                self.remote.watch(key)
            except HomingError:
                self._remove(table, consumer, own, key)
                raise

    def _remove(self, table: _Table, consumer: Process, own: set[Subject] | None, key: Subject) -> bool:
        if own is None or key not in own:
            return False
        own.discard(key)
        self._forget(table, consumer, key)
        return True

    def _forget(self, table: _Table, consumer: Process, key: Subject) -> None:
        for end in self._ends.get(key, ()):
            end.forget(consumer.id, table is self._links)
        consumers = table.get(key)
        if consumers is None or consumers.pop(consumer.id, None) is None:
            return  # the subject has ended
        if not consumers:
            del table[key]
        if self.remote is not None and self.is_remote(key):
            if not self.has_consumers(key):
                self.remote.unwatch(key)
        elif isinstance(key, Event) and not self.has_consumers(key):
            self.on_unsubscribed(key)
