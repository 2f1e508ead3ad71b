"""Records of what the subject of a unit test has done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...gen import PID, Alias, MetaBehavior, MetaOptions, ProcessBehavior, ProcessOptions, Ref, Target


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that the subject has sent.

    to: the registered name of the receiver, if it has one; otherwise its PID or alias.
    message: the message. A datagram is a `meta.MessageUDP` with a copy of its payload; an exit signal is a
        `gen.MessageExitPID` with the subject's PID.
    """

    to: Target
    message: Any


@dataclass(frozen=True, slots=True)
class Called:
    """A request that the subject has made by `call`, or has forwarded.

    to: as in `Sent`.
    request: the request; of an inspection, the tuple of its items.
    """

    to: Target
    request: Any


@dataclass(frozen=True, slots=True)
class Responded:
    """An answer that the subject has sent by `send_response` or `send_response_error`.

    ref: reference of the request, as `handle_call` got it.
    answer: the answer; None if it is an error.
    error: the error, or None.
    """

    ref: Ref
    answer: Any
    error: Exception | None


@dataclass(frozen=True, slots=True)
class Published:
    """A publication of an event of the subject.

    name: name of the event.
    message: the message.
    """

    name: str
    message: Any


@dataclass(frozen=True, slots=True)
class Spawned:
    """A process that the subject has spawned: a stand-in, in which nothing of the behavior runs.

    pid: its PID.
    behavior: the behavior class.
    args: the arguments for its `init`.
    name: its registered name, or None.
    options: its options, or None.
    """

    pid: PID
    behavior: type[ProcessBehavior]
    args: tuple[Any, ...]
    name: str | None
    options: ProcessOptions | None


@dataclass(frozen=True, slots=True)
class SpawnedMeta:
    """A meta-process that the subject has spawned: a stand-in, in which nothing of the behavior runs.

    alias: its alias.
    behavior: the behavior object, for example a `meta.UDPServer`.
    options: the options of the UDP server or client, or of another behavior that has an attribute `options`; else None.
    meta_options: the options given to `spawn_meta`, or None.
    """

    alias: Alias
    behavior: MetaBehavior
    options: Any
    meta_options: MetaOptions | None
