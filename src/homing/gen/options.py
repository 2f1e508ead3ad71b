"""Options: frozen keyword-only dataclasses that refuse invalid values with an error that names the field."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from operator import index
from typing import Any, Literal, get_args

from .config import Configuration
from .errors import BadOption
from .foreign import is_instance
from .identifiers import PID, Alias, ClusterName, ProcessID, Target

Overflow = Literal["raise", "drop_newest", "drop_oldest"]
"""The treatment of a message whose receiver's mailbox is full."""

ConcurrencyKey = Callable[[Any], Hashable] | Literal["source"] | None
"""`ProcessOptions.concurrency_key`."""


# Every number that a user gives is checked here, and has bounds: so no sum or product of such numbers overflows, and
# none is too large for the C code that takes it.

MOST = 2**31 - 1
"""The largest count or size: the largest C `int`."""

MOST_SECONDS = 100 * 365.25 * 86400
"""A hundred years. uvloop accepts no longer times, and sums with the clocks of loops stay exact to a microsecond."""

LEAST_SECONDS = 1e-9
"""Below the resolution of every clock. Divisions by a shorter time could overflow."""


_PLAIN_NUMBERS = (float, int)


def _plain(value: object) -> int | float | None:
    """Returns `value` as a number, or None if it is not a number. An integer of another class (numpy's, an `IntEnum`)
    becomes an `int`, so that computations with it do not overflow."""
    if type(value) is int or type(value) is float:
        return value
    if is_instance(value, bool):
        return None
    try:
        return index(value)  # type: ignore[arg-type]
    except Exception:  # no `__index__`, or that of the program raises
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
    """Returns `value` as a number. Raises `BadOption` unless it is a number of seconds above 0 (with `zero`: 0 or more)
    and at most a hundred years."""
    if type(value) in _PLAIN_NUMBERS and LEAST_SECONDS <= value <= MOST_SECONDS:  # type: ignore[operator]
        return value  # type: ignore[return-value] # the fast path: every call checks its timeout
    number = _plain(value)
    if number is None:
        raise BadOption(option, value, "give a number of seconds")
    if number > MOST_SECONDS:
        raise BadOption(option, value, f"give {MOST_SECONDS:.0f} seconds (100 years) at most")
    if not number >= (0 if zero else LEAST_SECONDS):
        raise BadOption(option, value, f"give {'0 or more' if zero else 'more than 0'} seconds")
    return number


def check_number(option: str, value: object, low: float, high: float, words: str = "") -> float:
    """Returns `value` as a number. Raises `BadOption` unless it is a number within [low, high].

    words: describes the valid numbers in the error.
    """
    number = _plain(value)
    if number is None or not low <= number <= high:
        raise BadOption(option, value, f"give {words or f'a number of {low:g} to {high:g}'}")
    return number


def _set(options: object, name: str, number: float) -> None:
    """Sets the field `name` of a frozen dataclass to `number`, unless it already is that object."""
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
    """Returns the decimal number, 0 to `high`, in a `text` that comes from another program; None if it has none."""
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
    """Raises `BadOption` unless `value` is an address that a message can be sent to."""
    if is_instance(value, str):
        check_name(option, value)
    elif not is_instance(value, (PID, Alias, ProcessID, ClusterName)):
        raise BadOption(option, value, "give a registered name, a PID or an alias")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """Receiver of messages for which a mailbox has no room (Ergo's `gen.ProcessFallback`).

    name: registered name of the process that receives them, as `gen.MessageFallback`.
    tag: label copied to `MessageFallback.tag`; identifies the mailbox that overflowed.
    """

    name: str
    tag: str = ""

    def __post_init__(self) -> None:
        check_name("fallback.name", self.name)
        check_type("fallback.tag", self.tag, str, "a string")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """Options of a node.

    env: environment that every process of the node inherits.
    handle_signals: the first SIGINT or SIGTERM stops the node in order, the second at once. Only in the main thread.
    stop_timeout: seconds that a stop by a signal, or by leaving `async with`, may take before processes are killed.
    turn_messages: messages that one process handles before others get their turn. 256: at 0.5 us a message the switch
        costs under 1 %; more than 512 do not pay, because larger turns do not fit into the cache.
    turn_seconds: time after which a turn ends whatever its count. 0.5 ms.
    slice_seconds: time after which the event loop, and so every socket and timer, is polled again. 2 ms: the delay that
        busy processes add to the sockets.
    slow_callback_seconds: a callback that blocks the loop for so long is logged with its stack while it still runs, and
        counted (`stalls`). Compare asyncio's `slow_callback_duration`, Erlang's `long_schedule`. 0 or None: off.
    config: options of UDP servers and values of the program, as a `gen.Configuration`. None: there are none.
    """

    env: Mapping[str, Any] = field(default_factory=dict)
    handle_signals: bool = True
    stop_timeout: float = 10.0
    turn_messages: int = 256
    turn_seconds: float = 0.0005
    slice_seconds: float = 0.002
    slow_callback_seconds: float | None = 0.1
    config: Configuration | None = None

    def __post_init__(self) -> None:
        check_type("env", self.env, Mapping, "a mapping")
        check_type("handle_signals", self.handle_signals, bool, "True or False")
        set_seconds(self, "stop_timeout", zero=True)
        set_integer(self, "turn_messages", 1)
        set_seconds(self, "turn_seconds")
        set_seconds(self, "slice_seconds")
        if self.slow_callback_seconds is not None:
            set_seconds(self, "slow_callback_seconds", zero=True)
        check_type("config", self.config, (Configuration, type(None)), "a gen.Configuration or None")


@dataclass(frozen=True, slots=True, kw_only=True)
class StateOptions:
    """Keeps the state of a process for its successor: see `ProcessOptions.state`. The behavior defines `dump_state` and
    `load_state` (`gen.ProcessBehavior`).

    After an abnormal end, or a stop to be restarted, the process that is started in its place loads the last dump. When
    another OS process takes over the node (`homing run --takeover`, SIGUSR2), the process of the same name there loads
    the last state. An end in order (`normal`, `shutdown`) forgets the state.

    name: under which the state is kept. None: the registered name given at the start. A process without either keeps
        its state over restarts by its supervisor, pool or router, but not over a takeover.
    every: seconds between two dumps. 0: after each callback, so that only what the crashing callback did is lost. More:
        a dump after the first turn, and then one after so many seconds in which anything was handled; a crash loses
        the changes since.
    max_age: seconds for which a dump may be behind the state: an older one is not loaded.
    most: bytes of an encoded dump. A larger one is a failure: the former dump stays.
    trial: seconds that a process must run for its end to be no fault of the state it has loaded. A process that crashes
        within this time, with the very state with which the one before it crashed, is replaced by one without state.
    at_crash: True: the state is also dumped when a callback has raised. Only for a behavior whose callbacks change the
        state in their last step, so that an exception finds it unchanged or complete. With a long `every`, such a
        behavior loses nothing and pays next to nothing.
    """

    name: str | None = None
    every: float = 0.0
    max_age: float = 60.0
    most: int = 1 << 20
    trial: float = 10.0
    at_crash: bool = False

    def __post_init__(self) -> None:
        if self.name is not None:
            check_name("name", self.name)
        set_seconds(self, "every", zero=True)
        set_seconds(self, "max_age")
        set_integer(self, "most", 1)
        set_seconds(self, "trial", zero=True)
        check_type("at_crash", self.at_crash, bool, "True or False")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessOptions:
    """Options of a process.

    mailbox_size: most messages that wait in each lane. 0: no limit. Messages of the runtime itself (exit signals,
        monitor messages, inspections) are always accepted.
    overflow: treatment of a message for which the lane has no room. "raise": the sender gets `MailboxFull`.
        "drop_newest": this message is dropped. "drop_oldest": the message that has waited longest in that lane is
        dropped instead, but never a message of the runtime. Dropped messages are counted (`process_info`), and their
        sender gets no error; but a caller whose request is dropped gets `MailboxFull` at once. UDP servers, pools and
        routers check for room first, so they never find the mailbox full.
    fallback: process that receives messages which would be refused or dropped, as `gen.MessageFallback`. Not requests.
    init_timeout: seconds that an `async def init` may take; with `thread`, any `init`. A plain `def init` without a
        thread cannot be interrupted.
    env: environment added to the parent's.
    leader: group leader; None inherits the parent's.
    link_parent: the process ends when its parent ends (linked before `init`).
    link_child: the parent gets an exit signal when the process ends (linked before `init`).
    preserve_mailbox: when the process ends abnormally, or is stopped to be restarted, the messages in its mailbox pass,
        lane by lane and in order, to the process that its supervisor (or pool, or router) starts in its place. The
        message being handled does not pass, because it may have caused the crash. False: waiting messages are discarded
        and counted.
    dead_letters: process that receives, as `gen.MessageDeadLetter`, the messages that an abnormal end leaves unhandled:
        the message being handled, and waiting messages that pass to no successor. A registered name, a PID or an alias.
        None: they are only counted.
    back_pressure: a process behind a socket (a server's receiver, a pool's worker, a router's route, and processes to
        which these send) stops taking from its main lane once it has sent to a process that has 1024 messages waiting,
        or half of that process's `mailbox_size`. It resumes when a quarter are left (256, or a quarter of
        `mailbox_size`). False: it continues, and the receiver's queue is not bounded by this.
    thread: all callbacks run on a thread of the process's own, where they may block while the node continues. Methods
        of `self` cross to the node's thread and back, which takes some ten microseconds each time. A thread cannot be
        interrupted: a process that is killed while it blocks ends, and is replaced, only when the callback returns. Not
        for pools, routers and supervisors.
    concurrency: most asynchronous callbacks that run side by side, each in a task of its own. They begin in the order
        of arrival and may end in any order. They share `self`: while one awaits, others may change it. A callback that
        raises ends the process and cancels the others, whose messages become dead letters. `init` and `terminate` run
        alone; a plain `def` callback runs between the steps of the others. Messages in flight count as queued for
        `mailbox_size`, back-pressure and flow control. 1: one after the other, as in Erlang. Not with `thread`, and not
        for pools, routers and supervisors.
    concurrency_key: with `concurrency`, a function of the message (or request, publication, batch; of a response its
        label, if that is not None) that returns a hashable key, which should be quick: messages with the same key are
        handled one after the other, in their order.
        None for a message: it has no order. If the function raises, that is a crash as in a callback. "source": the key
        of a datagram is its peer's address, that of any other message its sender, that of a response its callee,
        that of a publication its event;
        batches of `handle_datagrams` are handled one after the other.
    max_requests: most requests of `send_request` that are open: sent, and their response not handled yet. One more
        raises `TooManyRequests`. As they are bounded, a response comes even into a full mailbox.
    remote: False: exit signals and inspections that processes of other nodes send to this process, or to its
        meta-processes, are refused. Messages and requests still come, and so do the signals of links that this process
        made itself. Whatever this says, no process of another node can `kill` one.
    state: keeps the state of the process over its crash, and over a takeover by another OS process. None: it is lost.
        Not with `concurrency`, whose callbacks leave no moment at which the state is whole, and not for pools, routers
        and supervisors.
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
    concurrency: int = 1
    concurrency_key: ConcurrencyKey = None
    max_requests: int = 10_000
    remote: bool = True
    state: StateOptions | None = None

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
        check_type("remote", self.remote, bool, "True or False")
        set_integer(self, "concurrency", 1)
        if self.thread and self.concurrency > 1:
            raise BadOption("concurrency", self.concurrency, "give 1 with thread=True; or use a pool of such processes")
        key = self.concurrency_key
        known = key is None or (key == "source" if is_instance(key, str) else callable(key))
        if not known or iscoroutinefunction(key):
            raise BadOption("concurrency_key", key, 'give None, "source" or a `def key(message)`')
        set_integer(self, "max_requests", 1)
        check_type("state", self.state, (StateOptions, type(None)), "a gen.StateOptions or None")
        if self.state is not None and self.concurrency > 1:
            raise BadOption("state", self.state, "give concurrency=1: side by side, callbacks leave no whole state")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaOptions:
    """Options of a meta-process.

    mailbox_size: most messages that wait in each lane. 0: no limit.
    overflow: treatment of a message that finds its lane full, as in `ProcessOptions`: "raise", "drop_newest" or
        "drop_oldest".
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
    """Options of an event.

    buffer: number of latest publications kept for processes that link or monitor later. 0: none.
    notify: the producer gets `MessageEventStart` for the first subscriber, `MessageEventStop` when the last has left.
    """

    buffer: int = 0
    notify: bool = False

    def __post_init__(self) -> None:
        set_integer(self, "buffer", 0)
        check_type("notify", self.notify, bool, "True or False")
