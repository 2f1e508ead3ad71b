"""Messages that the runtime itself sends, and the constants used in sending: priorities, `NO_REPLY`."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Final

from .identifiers import PID, Alias, Event, ProcessID


class MessagePriority(enum.IntEnum):
    """The lane a message goes to: NORMAL to main, HIGH to system, MAX to urgent (Ergo's names).

    NORMAL: the main lane.
    HIGH: the system lane.
    MAX: the urgent lane.
    """

    NORMAL = 0
    HIGH = 1
    MAX = 2


class _NoReply(enum.Enum):
    NO_REPLY = "NO_REPLY"

    def __repr__(self) -> str:
        return "gen.NO_REPLY"


NO_REPLY: Final = _NoReply.NO_REPLY
"""Returned by `handle_call` if the answer comes later, by `send_response`, maybe from another process."""


@dataclass(frozen=True, slots=True)
class MessageExitPID:
    """The linked process `pid` ended for `reason`. Passed to `handle_message` if `trap_exit` is set.

    pid: the linked process.
    reason: exit reason, or the exception that ended it.
    """

    pid: PID
    reason: Exception


@dataclass(frozen=True, slots=True)
class MessageExitName:
    """The process with the linked `name` ended for `reason`, or unregistered the name (`Unregistered`).

    name: the linked name.
    reason: exit reason, or the exception that ended it.
    """

    name: str | ProcessID
    reason: Exception


@dataclass(frozen=True, slots=True)
class MessageExitAlias:
    """The meta-process or process behind the linked `alias` ended for `reason`, or deleted it (`Unregistered`).

    alias: the linked alias.
    reason: exit reason, or the exception that ended it.
    """

    alias: Alias
    reason: Exception


@dataclass(frozen=True, slots=True)
class MessageExitEvent:
    """The producer of the linked `event` ended for `reason`, or unregistered it (`Unregistered`).

    event: the linked event.
    reason: exit reason, or the exception that ended it.
    """

    event: Event
    reason: Exception


@dataclass(frozen=True, slots=True)
class MessageDownPID:
    """The monitored process `pid` ended for `reason`.

    pid: the monitored process.
    reason: exit reason, or the exception that ended it.
    """

    pid: PID
    reason: Exception


@dataclass(frozen=True, slots=True)
class MessageDownName:
    """The process with the monitored `name` ended for `reason`, or unregistered it (`Unregistered`).

    name: the monitored name.
    reason: exit reason, or the exception that ended it.
    """

    name: str | ProcessID
    reason: Exception


@dataclass(frozen=True, slots=True)
class MessageDownAlias:
    """The meta-process or process behind the monitored `alias` ended for `reason`, or deleted it.

    alias: the monitored alias.
    reason: exit reason, or the exception that ended it.
    """

    alias: Alias
    reason: Exception


@dataclass(frozen=True, slots=True)
class MessageDownEvent:
    """The producer of the monitored `event` ended for `reason`, or unregistered it (`Unregistered`).

    event: the monitored event.
    reason: exit reason, or the exception that ended it.
    """

    event: Event
    reason: Exception


@dataclass(frozen=True, slots=True)
class MessageEvent:
    """One publication of `event`, passed to `handle_event`.

    event: the event.
    timestamp: time of the publication, in seconds since 1970.
    message: the published message.
    """

    event: Event
    timestamp: float
    message: Any


@dataclass(frozen=True, slots=True)
class MessageEventStart:
    """Tells the producer (with `EventOptions(notify=True)`) that `event` has its first subscriber.

    event: the event.
    """

    event: Event


@dataclass(frozen=True, slots=True)
class MessageEventStop:
    """Tells the producer (with `EventOptions(notify=True)`) that `event` has lost its last subscriber.

    event: the event.
    """

    event: Event


@dataclass(frozen=True, slots=True)
class MessageFallback:
    """Sent to the fallback process: the mailbox of `pid` was full; `message` had been sent to `target`.

    pid: process whose mailbox was full.
    tag: `tag` of its `Fallback`; identifies the mailbox that overflowed.
    target: address that the message was sent to.
    message: the message. The `sender` of this `MessageFallback` is the sender of that message.
    """

    pid: PID
    tag: str
    target: Any
    message: Any


@dataclass(frozen=True, slots=True)
class MessageConfig:
    """The configuration has changed while the node runs. Passed to `handle_message` of a process that has asked for it:
    `self.config(..., notify=True)`.

    section: the section that the process has asked for.
    config: its values now, an object of the class that the process has asked for.
    """

    section: str
    config: Any


@dataclass(frozen=True, slots=True)
class MessageDeadLetter:
    """Sent to `ProcessOptions.dead_letters`: `pid`, registered as `name`, ended for `reason` and left `message`
    unhandled.

    pid: process that has ended.
    name: its registered name, or None.
    sender: sender of the message: a PID, or the alias of a meta-process.
    message: the message.
    reason: exit reason of the process.
    in_hand: True if the message was being handled when the process ended, and perhaps caused the end; False if it was
        waiting. True also for a message that an `act.Pool` could not distribute; that pool continues.
    """

    pid: PID
    name: str | None
    sender: PID | Alias
    message: Any
    reason: Exception
    in_hand: bool


BROUGHT_BY_LINKS = (
    MessageExitPID,
    MessageExitName,
    MessageExitAlias,
    MessageExitEvent,
    MessageDownPID,
    MessageDownName,
    MessageDownAlias,
    MessageDownEvent,
)
"""The messages that links and monitors send."""


def has_short_repr(message: object) -> bool:
    """Returns True if a message's `repr` is short and shows no content, so that the runtime may log it. A class
    declares this by `_short_repr = True`, as `meta.MessageUDP` does; of other messages only the type is logged."""
    try:
        return getattr(type(message), "_short_repr", False) is True
    except Exception:
        return False
