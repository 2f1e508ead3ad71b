"""Envelopes: what lies in a lane besides the plain tuple (sender, message) of an ordinary `send`.

Each has `handle(activity)`, which runs the right callback and gives back a coroutine if that is to be awaited.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypeGuard

from ...gen import NO_REPLY, PID, Alias, MessageEvent, MessageExitPID, Ref
from ...gen.copying import refuse_copy

if TYPE_CHECKING:
    from ..scheduling.activity import Activity

Pending = Coroutine[Any, Any, Any] | None


_INTERPRETED = CoroutineType


async def _nothing() -> None:
    """Where this module is compiled, it gives a coroutine of the compiler's own type."""


def _type_of_compiled() -> type[Any]:
    coroutine = _nothing()
    coroutine.close()
    return type(coroutine)


_COMPILED = _type_of_compiled()


def is_coroutine(value: object) -> TypeGuard[Coroutine[Any, Any, Any]]:
    """True if `value` is what an `async def` gives, interpreted or compiled."""
    return type(value) is _INTERPRETED or type(value) is _COMPILED


class ExitSignal(BaseException):
    """Raised inside the runtime to end an activity for a reason that is not its own fault."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(reason)
        self.reason = reason


class SplitMessage:
    """A message for a process with `split_handle`, with the name or alias it was sent to."""

    __slots__ = ("message", "sender", "to")

    __reduce__ = refuse_copy

    def __init__(self, to: str | Alias | None, sender: PID | Alias, message: Any) -> None:
        self.to = to
        self.sender = sender
        self.message = message

    def handle(self, activity: Activity) -> Pending:
        behavior: Any = activity.behavior
        if isinstance(self.to, str):
            result = behavior.handle_message_name(self.to, self.sender, self.message)
        else:
            result = behavior.handle_message_alias(self.to, self.sender, self.message)
        return result if is_coroutine(result) else None


class Tick(SplitMessage):
    """A message by a timer. Until it is handled, the timer sends no other and can take it back.

    One who claims it has it, the receiver or the timer, whatever threads they are on.

    taken_back: its timer has it.
    """

    __slots__ = ("__weakref__", "_claims", "taken_back")

    def __init__(self, sender: PID | Alias, message: Any) -> None:
        super().__init__(None, sender, message)
        self._claims = [None]
        self.taken_back = False

    @property
    def waits(self) -> bool:
        """True until somebody has it."""
        return bool(self._claims)

    def claim(self) -> bool:
        """Takes it. False if somebody has it already."""
        try:
            self._claims.pop()  # in one step, also between threads
        except IndexError:
            return False
        return True

    def take_back(self) -> bool:
        """Claims it for its timer."""
        self.taken_back = self.claim() or self.taken_back
        return self.taken_back

    def handle(self, activity: Activity) -> Pending:
        if not self.claim():
            return None  # it was taken back
        if self.to is not None:
            return super().handle(activity)
        handle: Callable[[Any, Any], Any] = activity.handler or activity.behavior.handle_message
        result = handle(self.sender, self.message)
        return result if is_coroutine(result) else None


def is_taken_back(entry: object) -> bool:
    """True of a message by a timer that was cancelled while it waited: nobody gets it, and nobody misses it."""
    return isinstance(entry, Tick) and entry.taken_back


class Request:
    """A request by `call`. `to` is the name or alias it was sent to, where the process tells them apart.

    callback: the user's coroutine, if there is one, inside of that which `handle` gives back. See `close_unbegun`.
    """

    __slots__ = ("callback", "ref", "request", "sender", "to")

    __reduce__ = refuse_copy

    def __init__(self, sender: PID, ref: Ref, request: Any, to: str | Alias | None) -> None:
        self.callback: Pending = None
        self.sender = sender
        self.ref = ref
        self.request = request
        self.to = to

    def handle(self, activity: Activity) -> Pending:
        behavior: Any = activity.behavior
        to = self.to
        if to is None:
            answer = behavior.handle_call(self.sender, self.ref, self.request)
        elif isinstance(to, str):
            answer = behavior.handle_call_name(to, self.sender, self.ref, self.request)
        else:
            answer = behavior.handle_call_alias(to, self.sender, self.ref, self.request)
        if is_coroutine(answer):
            self.callback = answer
            return self._answer_later(activity, answer)
        if answer is not NO_REPLY:
            activity.core.calls.answer(self.ref, answer)
        return None

    async def _answer_later(self, activity: Activity, answer: Coroutine[Any, Any, Any]) -> None:
        result = await answer
        if result is not NO_REPLY:
            activity.core.calls.answer(self.ref, result)


class Inspection:
    """A request by `inspect`. What the callback raises goes to the inspector: looking must not break anything."""

    __slots__ = ("callback", "items", "ref", "sender")

    def __init__(self, sender: PID, ref: Ref, items: tuple[str, ...]) -> None:
        self.callback: Pending = None
        self.sender = sender
        self.ref = ref
        self.items = items

    def handle(self, activity: Activity) -> Pending:
        try:
            answer = activity.behavior.handle_inspect(self.sender, *self.items)
        except Exception as error:
            activity.core.calls.fail(self.ref, error)
            return None
        if is_coroutine(answer):
            self.callback = answer
            return self._answer_later(activity, answer)
        activity.core.calls.answer(self.ref, answer)
        return None

    async def _answer_later(self, activity: Activity, answer: Coroutine[Any, Any, Any]) -> None:
        try:
            result = await answer
        except Exception as error:
            activity.core.calls.fail(self.ref, error)
        else:
            activity.core.calls.answer(self.ref, result)


class Publication:
    """A publication of an event."""

    __slots__ = ("event",)

    def __init__(self, event: MessageEvent) -> None:
        self.event = event

    def handle(self, activity: Activity) -> Pending:
        behavior: Any = activity.behavior
        result = behavior.handle_event(self.event)
        return result if is_coroutine(result) else None


class LogEntry:
    """A log record for a log receiver."""

    __slots__ = ("record",)

    def __init__(self, record: logging.LogRecord) -> None:
        self.record = record

    def handle(self, activity: Activity) -> Pending:
        behavior: Any = activity.behavior
        result = behavior.handle_log(self.record)
        return result if is_coroutine(result) else None


class Exit:
    """An exit signal: by `send_exit`, or because a linked process, name, alias or event is gone.

    With `trap_exit` it becomes an ordinary message; but never the parent's, as in `gen_server` and Ergo.

    message: None: a `MessageExitPID`, made for who traps it. Most end by it, and a program may send thousands.
    """

    __slots__ = ("message", "reason", "sender")

    def __init__(self, sender: PID, reason: Exception, message: Any) -> None:
        self.sender = sender
        self.reason = reason
        self.message = message

    def handle(self, activity: Activity) -> Pending:
        if not activity.traps_exit(self.sender):
            raise ExitSignal(self.reason)
        handle: Callable[[PID, Any], Any] = activity.handler or activity.behavior.handle_message
        message = MessageExitPID(self.sender, self.reason) if self.message is None else self.message
        result = handle(self.sender, message)
        return result if is_coroutine(result) else None


def exit_signal(sender: PID, reason: Exception) -> Exit:
    """The exit signal by which `sender` ends a process."""
    return Exit(sender, reason, None)


class Invoke:
    """Calls a method of a behavior base (pool, supervisor) in its process's own turn."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = function

    def handle(self, activity: Activity) -> Pending:
        result = self.function()
        return result if is_coroutine(result) else None


_OF_THE_RUNTIME = (Exit, Invoke, Inspection, LogEntry)


def is_message(entry: object) -> bool:
    """True of what somebody has sent: if nobody handles it, that is counted. What the runtime itself has put into a
    mailbox (signals, inspections, log records) is nobody's loss."""
    return type(entry) is tuple or not (isinstance(entry, _OF_THE_RUNTIME) or is_taken_back(entry))


def close_unbegun(pending: Coroutine[Any, Any, Any], entry: object) -> None:
    """Closes a coroutine that `entry.handle` gave back and that has never begun, and the user's own inside of it, of
    which Python would warn."""
    pending.close()
    callback = getattr(entry, "callback", None)
    if callback is not None:
        callback.close()
