"""The outcomes of calls, inspections and spawns, as a test declares them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from ...gen import NO_REPLY, BadOption, NotAllowed
from ...gen.foreign import is_a, safe_repr
from .failures import Unexpected

DEFAULT = object()
"""Returned by `take` for a spawn without a declared outcome."""


class Outcomes:
    """The outcomes of calls, inspections or spawns. The last declaration applies; returned by `Unit.on_call`,
    `Unit.on_inspect` and `Unit.on_spawn`."""

    def __init__(self, title: str, kind: str) -> None:
        self._title = title
        self._kind = kind
        self._next: Callable[[Any], Any] | None = None

    def __repr__(self) -> str:
        return f"<outcomes of {self._title}>"

    def answer(self, value: Any) -> None:
        """Each request is answered with `value`; of a spawn, it is the PID that is returned."""
        self._next = lambda request: value

    def raises(self, error: Exception | type[Exception]) -> None:
        """Each request raises `error` at the subject. Raises `BadOption` if it is no exception."""
        _check_error("error", error)
        self._next = lambda request: _raise(error)

    def sequence(self, *outcomes: Any) -> None:
        """Each outcome serves one request, in order: an exception is raised, anything else is the answer. A further
        request is unexpected. Raises `BadOption` without outcomes."""
        if not outcomes:
            raise BadOption("outcomes", outcomes, "give at least one")
        rest = deque(outcomes)

        def take(request: Any) -> Any:
            if not rest:
                raise Unexpected(f"{self._title} has {len(outcomes)} outcomes, and there was one more request")
            outcome = rest.popleft()
            return _raise(outcome) if _is_error(outcome) else outcome

        self._next = take

    def by(self, function: Callable[[Any], Any]) -> None:
        """Each request is answered with `function(request)`, also an `async def`; its exception is raised at the
        subject, an `AssertionError` in the test as well. Of a spawn, the request is the tuple of the arguments.
        Raises `BadOption` if it cannot be called."""
        if not callable(function):
            raise BadOption("function", function, "give a function of the request")
        self._next = function

    def never(self) -> None:
        """No request is answered: the caller gets `gen.CallTimeout`. Raises `NotAllowed` unless this is for calls."""
        if self._kind != "call":
            raise NotAllowed(f"{self._title}: only a call may stay without an answer; use raises(...)")
        self._next = lambda request: NO_REPLY

    def take(self, request: Any) -> Any:
        """Returns the answer to `request`, which may be a coroutine, or raises the error."""
        if self._next is not None:
            return self._next(request)
        if self._kind == "spawn":
            return DEFAULT
        text = f"{self._title} has no outcome for {safe_repr(request)}: add .answer(...), .raises(...) or .by(...)"
        raise Unexpected(text)


def _is_error(value: object) -> bool:
    return is_a(value, Exception) or (is_a(value, type) and issubclass(value, Exception))


def _check_error(option: str, error: object) -> None:
    if not _is_error(error):
        raise BadOption(option, error, "give an exception or its class")


def _raise(error: Any) -> Any:
    raise error
