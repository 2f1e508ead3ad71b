"""Options: frozen keyword-only dataclasses that refuse what cannot work, naming the field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import index
from typing import Any, Literal, get_args

from .errors import BadOption
from .foreign import is_instance
from .identifiers import PID, Alias, ProcessID, Target

Overflow = Literal["raise", "drop_newest", "drop_oldest"]
"""What happens to a message that finds a mailbox full."""


# Every number that a user gives is checked here, and has bounds: so no sum or product of such numbers, and no C code
# that takes one, ever meets a number that it cannot hold.

MOST = 2**31 - 1
"""The largest count, or size: what an `int` of C holds."""

MOST_SECONDS = 100 * 365.25 * 86400
"""A hundred years. uvloop takes no longer times, and sums with the clocks of loops stay exact to a microsecond."""

LEAST_SECONDS = 1e-9
"""Shorter than any clock tells: by a shorter time nothing can be divided."""


_PLAIN_NUMBERS = (float, int)


def _plain(value: object) -> int | float | None:
    """Returns the number that `value` is. An integer of another class (numpy's, an `IntEnum`) becomes an `int`, so that
    nothing that is computed with it overflows. None: it is no number."""
    if type(value) is int or type(value) is float:
        return value
    if is_instance(value, bool):
        return None
    try:
        return index(value)  # type: ignore[arg-type]
    except Exception:  # most things have no `__index__`; that of others is code of the program
        return value if is_instance(value, (int, float)) else None


def check_integer(option: str, value: object, low: int, high: int = MOST) -> int:
    """Returns `value` as an `int`. Raises `BadOption` unless it is an integer within [low, high]."""
    number = _plain(value)
    if not is_instance(number, int):
        raise BadOption(option, value, "give an integer")
    if number < low and high == MOST:
        raise BadOption(option, value, f"give {low} or more")
    if not low <= number <= high:
        raise BadOption(option, value, f"give {low} to {high}")
    return number


def check_seconds(option: str, value: object, *, zero: bool = False) -> float:
    """Returns `value` as a number. Raises `BadOption` unless it is a number of seconds above 0 (or 0 where `zero`), a
    hundred years at most."""
    if type(value) in _PLAIN_NUMBERS and LEAST_SECONDS <= value <= MOST_SECONDS:  # type: ignore[operator]
        return value  # type: ignore[return-value] # each call has a timeout: this is the short way
    number = _plain(value)
    if number is None:
        raise BadOption(option, value, "give a number of seconds")
    if number > MOST_SECONDS:
        raise BadOption(option, value, f"give {MOST_SECONDS:.0f} seconds (100 years) at most")
    if not number >= (0 if zero else LEAST_SECONDS):
        raise BadOption(option, value, f"give {'0 or more' if zero else 'more than 0'} seconds")
    return number


def check_number(option: str, value: object, low: float, high: float, words: str = "") -> float:
    """Returns `value` as a number. Raises `BadOption` unless it is one within [low, high]. words: what to give."""
    number = _plain(value)
    if number is None or not low <= number <= high:
        raise BadOption(option, value, f"give {words or f'a number of {low:g} to {high:g}'}")
    return number


def _set(options: object, name: str, number: float) -> None:
    """Replaces a field of a frozen dataclass by the number that it is."""
    if number is not getattr(options, name):
        object.__setattr__(options, name, number)


def set_integer(options: object, name: str, low: int, high: int = MOST) -> None:
    """Makes the field `name` of `options` an `int`, as `check_integer` does."""
    _set(options, name, check_integer(name, getattr(options, name), low, high))


def set_seconds(options: object, name: str, *, zero: bool = False, option: str = "") -> None:
    """Makes the field `name` of `options` a number of seconds, as `check_seconds` does. option: its name in errors."""
    _set(options, name, check_seconds(option or name, getattr(options, name), zero=zero))


def set_number(options: object, name: str, low: float, high: float, words: str = "", *, option: str = "") -> None:
    """Makes the field `name` of `options` a number, as `check_number` does. option: its name in errors."""
    _set(options, name, check_number(option or name, getattr(options, name), low, high, words))


def decimal_of(text: str, high: int) -> int | None:
    """Returns the number of 0 to `high` that `text`, which comes from another program, is; None if it is none."""
    if not (text.isascii() and text.isdecimal()) or len(text) > 20:
        return None
    number = int(text)
    return number if number <= high else None


def check_type(option: str, value: object, kind: type | tuple[type, ...], words: str) -> None:
    """Raises `BadOption` unless `value` is an instance of `kind`."""
    if not is_instance(value, kind):
        raise BadOption(option, value, f"give {words}")


def check_choice(option: str, value: object, choices: tuple[str, ...]) -> None:
    """Raises `BadOption` unless `value` is one of `choices`."""
    if not (is_instance(value, str) and value in choices):
        first, last = ", ".join(f'"{choice}"' for choice in choices[:-1]), choices[-1]
        raise BadOption(option, value, f'give {first} or "{last}"')


def check_name(option: str, value: object) -> None:
    """Raises `BadOption` unless `value` can be a registered name: 1 to 255 characters."""
    if not is_instance(value, str) or not 0 < len(value) <= 255:
        raise BadOption(option, value, "give a name of 1 to 255 characters")


def check_target(option: str, value: object) -> None:
    """Raises `BadOption` unless `value` is what a message can be sent to."""
    if is_instance(value, str):
        check_name(option, value)
    elif not is_instance(value, (PID, Alias, ProcessID)):
        raise BadOption(option, value, "give a registered name, a PID or an alias")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """Where messages go for which a mailbox has no room (Ergo's `gen.ProcessFallback`).

    name: the registered name of the process that gets them, as `gen.MessageFallback`.
    tag: a word that tells that process whose they were.
    """

    name: str
    tag: str = ""

    def __post_init__(self) -> None:
        check_name("fallback.name", self.name)
        check_type("fallback.tag", self.tag, str, "a word")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """How a node runs.

    env: environment that every process of the node inherits.
    handle_signals: SIGINT and SIGTERM stop the node in order, a second one at once. Only in the main thread.
    stop_timeout: seconds that such a stop, and leaving `async with`, may take before processes are killed.
    turn_messages: messages one process handles before others get their turn. 256: at 0.5 us a message the
        switch costs under 1 %; at most 512 pay, as larger turns fall out of the cache.
    turn_seconds: time after which a turn ends whatever its count. 0.5 ms.
    slice_seconds: time after which the event loop, and so every socket and timer, is polled again. 2 ms:
        the lag that busy processes add to the sockets.
    slow_callback_seconds: a callback that holds the loop for so long is logged while it does, with its stack, and
        counted (`stalls`): asyncio's `slow_callback_duration`, Erlang's `long_schedule`. 0 or None: off.
    """

    env: Mapping[str, Any] = field(default_factory=dict)
    handle_signals: bool = True
    stop_timeout: float = 10.0
    turn_messages: int = 256
    turn_seconds: float = 0.0005
    slice_seconds: float = 0.002
    slow_callback_seconds: float | None = 0.1

    def __post_init__(self) -> None:
        check_type("env", self.env, Mapping, "a mapping")
        check_type("handle_signals", self.handle_signals, bool, "True or False")
        set_seconds(self, "stop_timeout", zero=True)
        set_integer(self, "turn_messages", 1)
        set_seconds(self, "turn_seconds")
        set_seconds(self, "slice_seconds")
        if self.slow_callback_seconds is not None:
            set_seconds(self, "slow_callback_seconds", zero=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessOptions:
    """Options of a process.

    mailbox_size: most messages that wait in each lane. 0: no limit. Messages of the runtime itself (exit signals,
        monitor messages, inspections) always pass.
    overflow: what happens to one more. "raise": its sender gets `MailboxFull`. "drop_newest": it is dropped.
        "drop_oldest": the message that has waited longest in that lane is dropped instead, but never a message of the
        runtime. Both are counted (`process_info`) without an error at the sender; but a caller whose request is dropped
        gets `MailboxFull` at once. UDP servers, pools and routers check for room first, so they never find the mailbox
        full.
    fallback: process that receives messages which would be refused or dropped, as `gen.MessageFallback`. Not requests.
    init_timeout: seconds that an `async def init` may take; with `thread`, any `init`. A plain `def init` without a
        thread cannot be interrupted.
    env: environment added to the parent's.
    leader: group leader; None inherits the parent's.
    link_parent: the process ends when its parent ends (linked before `init`).
    link_child: the parent gets an exit signal when the process ends (linked before `init`).
    preserve_mailbox: when the process ends abnormally, or is ended to be restarted, the messages in its mailbox pass,
        lane by lane and in order, to the process that its supervisor (or pool, or router) starts in its place. The
        message in hand does not, because it may have caused the crash. False: waiting messages are discarded and
        counted.
    dead_letters: process that receives, as `gen.MessageDeadLetter`, the messages that an abnormal end leaves unhandled:
        the one in hand, and waiting ones that pass to no successor. A registered name, a PID or an alias. None: they
        are only counted.
    back_pressure: a process behind a socket (a server's receiver, a pool's worker, a router's route, and processes to
        which these send) takes no more from its main lane once it has sent to a process at which 1024 messages wait, or
        half of that process's `mailbox_size`, until a quarter are left (256, or a quarter of `mailbox_size`). False: it
        continues, and nothing bounds what waits there.
    thread: all callbacks run on a thread of the process's own, where they may block while the node continues. Methods
        of `self` cross to the node's thread and back, which takes some ten microseconds each time. A thread cannot be
        interrupted: if the process is killed while it blocks, it ends, and has a successor, when the callback has
        returned. Not for pools, routers and supervisors.
    """

    mailbox_size: int = 0
    overflow: Overflow = "raise"
    fallback: Fallback | None = None
    init_timeout: float = 5.0
    env: Mapping[str, Any] | None = None
    leader: PID | None = None
    link_parent: bool = False
    link_child: bool = False
    preserve_mailbox: bool = False
    dead_letters: Target | None = None
    back_pressure: bool = True
    thread: bool = False

    def __post_init__(self) -> None:
        set_integer(self, "mailbox_size", 0)
        check_choice("overflow", self.overflow, get_args(Overflow))
        check_type("fallback", self.fallback, (Fallback, type(None)), "a gen.Fallback or None")
        set_seconds(self, "init_timeout")
        check_type("env", self.env, (Mapping, type(None)), "a mapping or None")
        check_type("leader", self.leader, (PID, type(None)), "a PID or None")
        check_type("link_parent", self.link_parent, bool, "True or False")
        check_type("link_child", self.link_child, bool, "True or False")
        check_type("preserve_mailbox", self.preserve_mailbox, bool, "True or False")
        if self.dead_letters is not None:
            check_target("dead_letters", self.dead_letters)
        check_type("back_pressure", self.back_pressure, bool, "True or False")
        check_type("thread", self.thread, bool, "True or False")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaOptions:
    """How a meta-process is spawned.

    mailbox_size: messages that wait in each lane at most. 0: no limit.
    overflow: what happens to one more, as in `ProcessOptions`: "raise", "drop_newest" or "drop_oldest".
    init_timeout: seconds that an `async def init` may take.
    """

    mailbox_size: int = 0
    overflow: Overflow = "raise"
    init_timeout: float = 5.0

    def __post_init__(self) -> None:
        set_integer(self, "mailbox_size", 0)
        check_choice("overflow", self.overflow, get_args(Overflow))
        set_seconds(self, "init_timeout")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventOptions:
    """How an event is registered.

    buffer: the last publications kept for those who link or monitor later. 0: none.
    notify: the producer gets `MessageEventStart` and `MessageEventStop` when the first subscriber comes, the last goes.
    """

    buffer: int = 0
    notify: bool = False

    def __post_init__(self) -> None:
        set_integer(self, "buffer", 0)
        check_type("notify", self.notify, bool, "True or False")
