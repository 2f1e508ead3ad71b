"""Envelopes: the entries of a lane other than the plain tuple (sender, message) of an ordinary `send`.

Each has a method `handle(activity)`, which runs the right callback and returns a coroutine if that is to be awaited.
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
    """Returns a coroutine of the compiler's own type if this module is compiled."""


def _type_of_compiled() -> type[Any]:
    coroutine = _nothing()
    coroutine.close()
    return type(coroutine)


_COMPILED = _type_of_compiled()


def is_coroutine(value: object) -> TypeGuard[Coroutine[Any, Any, Any]]:
    """Returns True if `value` is the result of an `async def`, interpreted or compiled."""
    return type(value) is _INTERPRETED or type(value) is _COMPILED


class ExitSignal(BaseException):
    """Raised inside the runtime to end an activity for a reason that is not a fault of its own."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(reason)
        self.reason = reason


class SplitMessage:
    """A message for a process with `split_handle`, with the name or alias that it was sent to."""

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

    def handed_on(self) -> Any:
        """Returns the entry for another process, without the name or alias that it was sent to."""
        return (self.sender, self.message)


class Tick(SplitMessage):
    """A message from a timer. Until it is handled, its timer sends no other and can take it back.

    The first to claim it gets it, the receiver or the timer, whatever threads they are on.

    taken_back: True if the timer got it.
    """

    __slots__ = ("__weakref__", "_claims", "taken_back")

    def __init__(self, sender: PID | Alias, message: Any) -> None:
        super().__init__(None, sender, message)
        self._claims = [None]
        self.taken_back = False

    @property
    def waits(self) -> bool:
        """True until it was claimed."""
        return bool(self._claims)

    def claim(self) -> bool:
        """Claims it. Returns False if it was claimed before."""
        try:
            self._claims.pop()  # atomic, also between threads
        except IndexError:
            return False
        return True

    def take_back(self) -> bool:
        """Claims it for its timer. Returns False if the receiver got it."""
        self.taken_back = self.claim() or self.taken_back
        return self.taken_back

    def handle(self, activity: Activity) -> Pending:
        if not self.claim():
            return None  # the timer has taken it back
        if self.to is not None:
            return super().handle(activity)
        handle: Callable[[Any, Any], Any] = activity.handler or activity.behavior.handle_message
        result = handle(self.sender, self.message)
        return result if is_coroutine(result) else None


def is_taken_back(entry: object) -> bool:
    """Returns True for a timer's message that was cancelled while it was queued: it is not delivered or counted."""
    return isinstance(entry, Tick) and entry.taken_back


class Request:
    """A request from `call`. `to`: the name or alias that it was sent to, if the process has `split_handle`.

    callback: the user's coroutine, if there is one, inside the coroutine that `handle` returns. See `close_unbegun`.
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


class Response:
    """The response to a request from `send_request`, for the process that has sent it.

    callee: the address of the activity that has answered, or that the request was waiting at.
    message: the answer, or the error as an exception.
    """

    __slots__ = ("callee", "label", "message", "ref")

    __reduce__ = refuse_copy

    def __init__(self, callee: PID | Alias, ref: Ref, label: Any, message: Any) -> None:
        self.callee = callee
        self.ref = ref
        self.label = label
        self.message = message

    def handle(self, activity: Activity) -> Pending:
        process: Any = activity
        if process.requests.pop(self.ref, None) is None:
            return None  # it was cancelled while this was queued
        result = process.behavior.handle_response(self.label, self.message)
        return result if is_coroutine(result) else None


class Inspection:
    """A request from `inspect`. The inspector gets an exception of the callback: inspecting must not end a process."""

    __slots__ = ("callback", "items", "ref", "sender")

    def __init__(self, sender: PID, ref: Ref, items: tuple[str, ...]) -> None:
        self.callback: Pending = None
        self.sender = sender
        self.ref = ref
        self.items = items

    def handle(self, activity: Activity) -> Pending:
        if activity.idle is not None:
            activity.idle.uncounted += 1
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
    """A publication of an event. publisher: the process that has published it."""

    __slots__ = ("event", "publisher")

    def __init__(self, event: MessageEvent, publisher: PID) -> None:
        self.event = event
        self.publisher = publisher

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
    """An exit signal: from `send_exit`, or because a linked process, name, alias or event has ended.

    With `trap_exit` it becomes an ordinary message, except the parent's, as in `gen_server` and Ergo.

    message: None stands for a `MessageExitPID`, which is made only for a process that traps it, as thousands may end.
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
    """Returns the exit signal by which `sender` ends a process."""
    return Exit(sender, reason, None)


class Invoke:
    """Calls a method of a behavior base (pool, supervisor) in its process's own turn."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = function

    def handle(self, activity: Activity) -> Pending:
        result = self.function()
        return result if is_coroutine(result) else None


def content(entry: object) -> Any:
    """Returns the message in an entry of `send`; None for any other entry."""
    if type(entry) is tuple:
        return entry[1]
    return entry.message if isinstance(entry, SplitMessage) else None


_OF_THE_RUNTIME = (Exit, Invoke, Inspection, LogEntry)


def is_message(entry: object) -> bool:
    """Returns True for an entry that a process or program has sent, and that is counted if nobody handles it. Entries
    of the runtime itself (signals, inspections, log records) are not counted."""
    return type(entry) is tuple or not (isinstance(entry, _OF_THE_RUNTIME) or is_taken_back(entry))


def close_unbegun(pending: Coroutine[Any, Any, Any], entry: object) -> None:
    """Closes a coroutine that `entry.handle` returned and that has not begun, and the user's own coroutine inside it,
    so that Python does not warn of it."""
    pending.close()
    callback = getattr(entry, "callback", None)
    if callback is not None:
        callback.close()
