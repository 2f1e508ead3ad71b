"""The messages of a process that ends abnormally: the message in hand, and the queued ones.

Queued messages go to the successor that a supervisor, a pool or a router starts, if `ProcessOptions.preserve_mailbox`
is set. The message in hand never does: it might be the cause of the crash. A message that no process gets is a dead
letter: counted, and sent to `ProcessOptions.dead_letters`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ...gen import (
    PID,
    Alias,
    MessageDeadLetter,
    MessageEventStart,
    MessageEventStop,
    Ref,
    TerminateKill,
)
from ...gen.foreign import class_name, is_a, safe_repr
from ...gen.messages import BROUGHT_BY_LINKS, has_short_repr
from .envelope import Exit, Inspection, Invoke, Publication, Request, Response, SplitMessage, content, is_message

if TYPE_CHECKING:
    from ..processes.process import Process
    from .mailbox import Entry

BROUGHT = (*BROUGHT_BY_LINKS, MessageEventStart, MessageEventStop)
"""Messages to a process from its own links, monitors and events, which a successor does not have."""

_PERSONAL = (Exit, Invoke, Response)
"""Envelopes that concern only the process that they were sent to."""


class PreservedMailbox:
    """The entries that waited at `process`, lane by lane and in order, kept by its parent for the successor.

    claimed: True while the successor is being started.
    """

    __slots__ = ("_lanes", "claimed", "process")

    def __init__(self, process: Process) -> None:
        self.process = process
        self.claimed = False
        self._lanes: tuple[list[Entry], ...] = ([], [], [], [])

    def __len__(self) -> int:
        return sum(map(len, self._lanes))

    def count(self, kind: type[object]) -> int:
        """Returns how many messages of the class `kind` wait in the main lane."""
        return sum(is_a(content(entry), kind) for entry in self._lanes[2])

    def collect(self) -> None:
        """Removes the entries from the process's lanes and keeps them."""
        process = self.process
        for kept, lane in zip(self._lanes, (process.urgent, process.system, process.main, process.logs), strict=True):
            if lane is not None:
                kept += [entry for entry in lane if _outlives(entry)]
                lane.clear()

    def append(self, entry: Entry) -> None:
        """Adds an entry for the successor to the main lane."""
        self._lanes[2].append(entry)

    def take_oldest(self) -> Entry | None:
        """Removes and returns the message that has waited longest in the main lane, or None if there is none."""
        main = self._lanes[2]
        for number, entry in enumerate(main):
            if is_message(entry):
                del main[number]
                return entry
        return None

    def take_main(self, process: Process) -> list[Entry]:
        """Removes and returns the entries of the main lane, in order, which `process` will distribute again."""
        entries = self._lanes[2].copy()
        self._lanes[2].clear()
        for entry in entries:
            _move(entry, process)
        return entries

    def extend(self, other: PreservedMailbox) -> None:
        """Adds the later entries that waited at a successor that could not start."""
        for kept, entries in zip(self._lanes, other._lanes, strict=True):
            for entry in entries:
                _move(entry, self.process)
            kept += entries

    def refs(self) -> set[Ref]:
        """Returns the refs of the requests among the entries: their callers continue to wait."""
        return {entry.ref for lane in self._lanes for entry in lane if isinstance(entry, (Request, Inspection))}

    def hand_to(self, successor: Process) -> None:
        """Adds all entries at the heads of the lanes of `successor`, before entries that have come there since."""
        for name, entries in zip(("urgent", "system", "main", "logs"), self._lanes, strict=True):
            if entries:
                successor.put_first(name, entries)
                for entry in entries:
                    _move(entry, successor)
                entries.clear()

    def give_up(self) -> Iterator[object]:
        """Makes all entries dead letters, step by step, as there will be no successor."""
        process = self.process
        reason = TerminateKill() if process.reason is None else process.reason
        lanes, self._lanes = self._lanes, ([], [], [], [])
        for lane in lanes:
            lane.reverse()
            while lane:
                send_dead_letter(process, lane.pop(), reason, in_hand=False)
                yield None
        yield from process.core.calls.callee_gone(process, reason)


def _outlives(entry: Entry) -> bool:
    if type(entry) is tuple:
        return not is_a(entry[1], BROUGHT)
    return not isinstance(entry, _PERSONAL)


def _move(entry: Entry, process: Process) -> None:
    if isinstance(entry, (Request, Inspection)):
        process.core.calls.moved(entry.ref, process)


def send_dead_letter(process: Process, entry: Entry, reason: Exception, *, in_hand: bool) -> None:
    """Counts an entry that `process` has left unhandled, and sends it to its dead-letter process, if it has one."""
    if not is_message(entry):
        return
    core = process.core
    process.letters += 1
    to = process.options.dead_letters
    if to is not None:
        try:
            sender, message = _unpack(entry, process)
            letter = MessageDeadLetter(process.id, process.name, sender, message, reason, in_hand)
            core.delivery.send(process.id, to, letter)
        except BaseException as error:
            core.limited_log.warning(
                core.loop.time(), "dead letters", "a dead letter of %s was lost: %s", process.id, error
            )
            to = None
    if in_hand or to is not None:
        core.dead_letters += 1
    else:
        core.discarded += 1


def _unpack(entry: Entry, process: Process) -> tuple[PID | Alias, Any]:
    if type(entry) is tuple:
        return entry
    if isinstance(entry, Request):
        return entry.sender, entry.request
    if isinstance(entry, SplitMessage):
        return entry.sender, entry.message
    if isinstance(entry, Response):
        return entry.callee, entry.message
    if isinstance(entry, Publication):
        return process.core.pid, entry.event
    return getattr(entry, "sender", process.id), entry.letter()


def describe(entry: Entry | None) -> str:
    """Returns the text for the entry in hand at a crash, for the log: its repr if that is short
    (`gen.messages.has_short_repr`), otherwise its type, and never its content."""
    if entry is None or not is_message(entry):
        return ""
    message = entry[1] if type(entry) is tuple else getattr(entry, "request", getattr(entry, "message", entry))
    return f", handling {safe_repr(message)}" if has_short_repr(message) else f", handling a {class_name(message)}"
