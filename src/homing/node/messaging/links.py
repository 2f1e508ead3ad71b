"""Links and monitors: who is told when a process, name, alias or event goes away.

Both point one way, as in Ergo: from the process that asked (the consumer) to the subject. When the subject ends, for
whatever reason, `normal` included, a link brings the consumer an exit signal, a monitor brings it a message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...gen import (
    PID,
    Alias,
    AlreadyLinked,
    Event,
    MessageDownAlias,
    MessageDownEvent,
    MessageDownName,
    MessageDownPID,
    MessageExitAlias,
    MessageExitEvent,
    MessageExitName,
    MessageExitPID,
    ProcessID,
    Subject,
)
from ...gen.foreign import safe_str
from ..mailbox.envelope import Exit

if TYPE_CHECKING:
    from ..processes.process import Process

_Table = dict[Subject, dict[PID, tuple["Process", Subject]]]


_EXIT: dict[type, Any] = {PID: MessageExitPID, Alias: MessageExitAlias, Event: MessageExitEvent}
_DOWN: dict[type, Any] = {PID: MessageDownPID, Alias: MessageDownAlias, Event: MessageDownEvent}
"""The message for each kind of subject; for all others, which are names, the one for names."""


class Links:
    """The links and monitors of one node, by subject. Messages name the subject as the consumer gave it.

    on_unsubscribed: called with an event when its last consumer has gone.
    """

    __slots__ = ("_core_pid", "_links", "_monitors", "_node", "on_unsubscribed")

    def __init__(self, node: str, core_pid: PID) -> None:
        self._node = node
        self._core_pid = core_pid
        self._links: _Table = {}
        self._monitors: _Table = {}
        self.on_unsubscribed: Callable[[Event], None] = lambda event: None

    def key(self, subject: Subject) -> Subject:
        """The form under which a subject is kept: a name of this node as plain `str`."""
        return subject.name if isinstance(subject, ProcessID) and subject.node == self._node else subject

    def link(self, consumer: Process, subject: Subject) -> None:
        """Links `consumer` to `subject`, which must exist. Raises `AlreadyLinked`."""
        key = self.key(subject)
        links = consumer.links or set()
        if consumer.links is None:  # as it is now: to make a set may run a finalizer
            consumer.links = links
        self._add(self._links, consumer, consumer.links, key, subject, "linked to")

    def monitor(self, consumer: Process, subject: Subject) -> None:
        """Lets `consumer` monitor `subject`, which must exist. Raises `AlreadyLinked`."""
        key = self.key(subject)
        monitors = consumer.monitors or set()
        if consumer.monitors is None:
            consumer.monitors = monitors
        self._add(self._monitors, consumer, consumer.monitors, key, subject, "monitoring")

    def unlink(self, consumer: Process, subject: Subject) -> bool:
        """Takes a link back. False if there was none."""
        return self._remove(self._links, consumer, consumer.links, self.key(subject))

    def demonitor(self, consumer: Process, subject: Subject) -> bool:
        """Takes a monitor back. False if there was none."""
        return self._remove(self._monitors, consumer, consumer.monitors, self.key(subject))

    def consumers(self, event: Event) -> dict[PID, Process]:
        """Who is linked to or monitors `event`, each once."""
        table = {**self._links.get(event, {}), **self._monitors.get(event, {})}
        return {pid: process for pid, (process, _) in table.items()}

    def subject_gone(self, key: Subject, sender: PID | None, reason: Exception) -> None:
        """Tells all who are linked to or monitor `key` that it is gone. `sender` is the process it belonged to."""
        origin = sender if sender is not None else self._core_pid
        exit_message: Any = _EXIT.get(type(key), MessageExitName)
        down_message: Any = _DOWN.get(type(key), MessageDownName)
        for consumer, subject in self._links.pop(key, {}).values():
            if consumer.links is not None:
                consumer.links.discard(key)
            consumer.put_runtime(Exit(origin, reason, exit_message(subject, reason)), 2)
        for consumer, subject in self._monitors.pop(key, {}).values():
            if consumer.monitors is not None:
                consumer.monitors.discard(key)
            consumer.put_runtime((origin, down_message(subject, reason)), 1)

    def consumer_gone(self, consumer: Process) -> None:
        """Forgets the links and monitors that `consumer` made."""
        for key in tuple(consumer.links or ()):
            self._remove(self._links, consumer, consumer.links, key)
        for key in tuple(consumer.monitors or ()):
            self._remove(self._monitors, consumer, consumer.monitors, key)

    def _add(
        self, table: _Table, consumer: Process, own: set[Subject], key: Subject, subject: Subject, word: str
    ) -> None:
        if key in own:
            raise AlreadyLinked(f"{consumer.id} is {word} {safe_str(subject)} already")
        own.add(key)
        table.setdefault(key, {})[consumer.id] = (consumer, subject)

    def _remove(self, table: _Table, consumer: Process, own: set[Subject] | None, key: Subject) -> bool:
        if own is None or key not in own:
            return False
        own.discard(key)
        consumers = table.get(key)
        if consumers is not None:
            consumers.pop(consumer.id, None)
            if not consumers:
                del table[key]
        if isinstance(key, Event) and key not in self._links and key not in self._monitors:
            self.on_unsubscribed(key)
        return True
