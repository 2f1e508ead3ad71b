"""The class of the subject: derived from the user's, with methods that report to the kit.

The methods come after the user's own classes in the method resolution order, as those of a process with a thread of its
own do, so that methods that the user overrides still run, and `super()` leads to these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, Protocol

from ...gen import (
    PID,
    Alias,
    AliasUnknown,
    BadOption,
    EventUnknown,
    MetaBehavior,
    MetaOptions,
    NodeUnknown,
    ProcessBehavior,
    ProcessOptions,
    ProcessUnknown,
    Ref,
    Target,
)
from ...gen.foreign import safe_repr
from ...node.mailbox.envelope import is_coroutine
from ...node.processes.thread_bridge import base_of, derive, wrapped_base

_UNKNOWN = (ProcessUnknown, AliasUnknown, NodeUnknown, EventUnknown)
_OWN_EVENTS = ("send_event", "unregister_event")
_TIMERS = ("send_after", "send_every")


class Watcher(Protocol):
    """The part of the kit that the subject reports to."""

    def check_known(self, address: Any, what: str) -> None:
        """Raises `Unexpected` if the test has not declared `address`. what: the call of the subject."""

    def created(self, instance: ProcessBehavior, process: Any) -> None:
        """Notes the object under test, before its `__init__`, and its process."""

    def began(self, callback: str, pending: Any) -> None:
        """Notes that an asynchronous callback has begun."""

    async def spawn(
        self, behavior: type[ProcessBehavior], args: tuple[Any, ...], name: str | None, options: ProcessOptions | None
    ) -> PID:
        """Returns the PID of a stand-in, or raises what the test has declared."""

    async def spawn_meta(self, behavior: MetaBehavior, options: MetaOptions | None) -> Alias:
        """Returns the alias of a stand-in, or raises what the test has declared."""

    def responded(self, ref: Ref, answer: Any, error: Exception | None) -> None:
        """Records an answer."""

    def published(self, name: str, message: Any) -> None:
        """Records a publication."""


def watched(behavior: type[ProcessBehavior], watcher: Watcher) -> type[ProcessBehavior]:
    """Returns a class derived from `behavior`, which reports to `watcher`. Raises `BadOption` for a pool and the like,
    and for anything that is no behavior."""
    if not (isinstance(behavior, type) and issubclass(behavior, ProcessBehavior)):
        raise BadOption("behavior", behavior, "give a class derived from act.Actor (its arguments follow)")
    base = base_of(behavior)
    if behavior._runtime_hooks.forwards or behavior._runtime_hooks.configures:
        why = f"{behavior.__name__} works on the runtime itself; test it in a node, with homing.testing.FakeNetwork"
        raise BadOption("behavior", behavior, why)
    watching = wrapped_base(base, lambda method: _watching(method, watcher))
    for method in (_spawn, _spawn_meta, _send_response, _send_response_error, _send_event):
        name = method.__name__[1:]
        if hasattr(base, name):
            setattr(watching, name, method(watcher, getattr(watching, name)))
    return derive(behavior, watching, _callbacks(behavior, base, watcher))


def _callbacks(behavior: type[Any], base: type[Any], watcher: Watcher) -> Mapping[str, Any]:
    """Returns the callbacks that the user's class defines, each noting the coroutine that it returns."""
    names = [name for name in dir(ProcessBehavior) if not name.startswith("_") and callable(getattr(behavior, name))]
    defined = [name for name in names if getattr(behavior, name) is not getattr(base, name)]

    def __init__(self: Any) -> None:  # noqa: N807 - it is that of the derived class
        watcher.created(self, self._process)
        behavior.__init__(self)

    return {name: _noting(name, getattr(behavior, name), watcher) for name in defined} | {"__init__": __init__}


def _noting(name: str, method: Callable[..., Any], watcher: Watcher) -> Callable[..., Any]:
    @wraps(method)
    def callback(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = method(self, *args, **kwargs)
        if is_coroutine(result):
            watcher.began(name, result)
        return result

    return callback


def _watching(method: Callable[..., Any], watcher: Watcher) -> Callable[..., Any]:
    """Returns the method with a check of each address that the runtime does not know."""
    name = method.__name__

    def check(error: Any, args: tuple[Any, ...]) -> None:
        if name not in _OWN_EVENTS:
            subject = error.event if isinstance(error, EventUnknown) else error.target
            watcher.check_known(subject, f"self.{name}({', '.join(map(safe_repr, args))})")

    if iscoroutinefunction(method):

        @wraps(method)
        async def watching(self: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return await method(self, *args, **kwargs)
            except _UNKNOWN as error:
                check(error, (*args, *kwargs.values()))
                raise

    else:

        @wraps(method)
        def watching(self: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                result = method(self, *args, **kwargs)
            except _UNKNOWN as error:
                check(error, (*args, *kwargs.values()))
                raise
            if name in _TIMERS:  # the runtime looks for the address only when the timer fires
                given = (*args, *kwargs.values())
                watcher.check_known(kwargs.get("to", given[0]), f"self.{name}({', '.join(map(safe_repr, given))})")
            return result

    return watching


# --- methods that do something else in the kit ----------------------------------------------------------------


def _spawn(watcher: Watcher, method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    async def spawn(
        self: Any,
        behavior: type[ProcessBehavior],
        *args: Any,
        name: str | None = None,
        options: ProcessOptions | None = None,
    ) -> PID:
        return await watcher.spawn(behavior, args, name, options)

    return spawn


def _spawn_meta(watcher: Watcher, method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    async def spawn_meta(self: Any, behavior: MetaBehavior, options: MetaOptions | None = None) -> Alias:
        return await watcher.spawn_meta(behavior, options)

    return spawn_meta


def _send_response(watcher: Watcher, method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def send_response(self: Any, to: Target, ref: Ref, answer: Any) -> None:
        method(self, to, ref, answer)
        watcher.responded(ref, answer, None)

    return send_response


def _send_response_error(watcher: Watcher, method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def send_response_error(self: Any, to: Target, ref: Ref, error: Exception) -> None:
        method(self, to, ref, error)
        watcher.responded(ref, None, error)

    return send_response_error


def _send_event(watcher: Watcher, method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def send_event(self: Any, name: str, token: Ref, message: Any) -> int:
        reached: int = method(self, name, token, message)
        watcher.published(name, message)
        return reached

    return send_event
