"""The bridge from another thread to the node's: the runtime's own work happens on the node's thread.

`on_node_thread` derives a behavior class whose methods may be used on any thread: each method of the behavior's base
(`act.Actor`, say) runs on the node's thread, and a caller on another thread waits for the outcome. So errors are raised
at the caller, the order is kept, and a thread cannot get ahead of the node.
"""

from __future__ import annotations

import asyncio
from _thread import allocate_lock, get_ident
from collections.abc import Callable, Coroutine, Mapping
from functools import cache, wraps
from inspect import iscoroutinefunction
from types import MappingProxyType, new_class
from typing import TYPE_CHECKING, Any, TypeVar

from ...gen import BadOption, NodeTerminated, ProcessBehavior
from ...gen.retrying import twice
from ..scheduling.stepping import Stopwatch, stepped

if TYPE_CHECKING:
    from ..core import Core
    from .process import Process

T = TypeVar("T")

_LOOK_AGAIN = 1.0
"""Seconds after which a waiting thread checks whether the loop was closed before it ran the call."""


class _BridgedCall:
    """One function to be called on the node's thread, and its outcome."""

    __slots__ = ("_arrived", "_function", "error", "result")

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._arrived = allocate_lock()
        self._arrived.acquire()
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self._function()
        except BaseException as error:
            self.error = error
        finally:
            self._arrived.release()

    def wait(self, core: Core) -> None:
        while not self._arrived.acquire(timeout=_LOOK_AGAIN):
            if core.loop.is_closed():
                raise NodeTerminated(core.name)


def run_on_loop(core: Core, function: Callable[[], T]) -> T:
    """Runs `function` on the node's thread and returns its result, or raises its exception. Another thread waits for
    that.

    Raises `NodeTerminated` if the loop is closed.
    """
    if get_ident() == core.thread:
        return function()
    call = _BridgedCall(function)
    core.from_thread(call.run)
    call.wait(core)
    error = call.error
    if error is None:
        result: T = call.result
        return result
    try:
        raise error
    finally:
        del error, call  # its traceback refers to this frame, which must not refer to it


class _AwaitedCall:
    """One coroutine to be awaited on the node's loop, and its outcome for the loop of another thread.

    (`asyncio.run_coroutine_threadsafe` would do the same, but loses the outcome if there is no memory to report it.)
    """

    __slots__ = ("_loop", "_pending", "_process", "_task", "_told", "arrived", "error", "result")

    def __init__(self, process: Process, pending: Coroutine[Any, Any, Any]) -> None:
        self._process = process
        self._pending = pending
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._told = False
        self.arrived: asyncio.Future[None] = self._loop.create_future()
        self.result: Any = None
        self.error: BaseException | None = None

    def start(self) -> None:
        try:
            twice(self._start)
        except BaseException as error:
            self._pending.close()
            self._over(error)

    def _start(self) -> None:
        done = self._done  # first: after the task is created, nothing may fail
        task = self._process.core.loop.create_task(self._run())
        task.add_done_callback(done)
        self._task = task

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        """Stores the exception of the coroutine: a `SystemExit` that left the task would also end the loop."""
        stopwatch = Stopwatch()
        error: BaseException | None = None
        try:
            self.result = await stepped(self._pending, stopwatch.run)
        except BaseException as raised:
            error = raised
        self._process.running_time += stopwatch.seconds
        try:
            self._over(error)
        finally:
            del error

    def _done(self, task: asyncio.Task[None]) -> None:
        if not self._told:  # the task was cancelled before it had begun, or there was no memory
            self._pending.close()
            self._over(asyncio.CancelledError() if task.cancelled() else MemoryError())

    def _over(self, error: BaseException | None) -> None:
        self.error = error
        try:
            twice(self._loop.call_soon_threadsafe, self._arrive)
        except RuntimeError:
            pass  # the other loop is closed: nothing waits there any more
        self._told = True

    def _arrive(self) -> None:
        if not self.arrived.done():
            self.arrived.set_result(None)


async def await_on_loop(process: Process, pending: Coroutine[Any, Any, T]) -> T:
    """Awaits `pending` in a task of the node's loop, from the event loop of another thread, and charges the time to
    `process`. A cancellation is passed on. Raises `NodeTerminated` if the loop is closed."""
    call = _AwaitedCall(process, pending)
    try:
        process.core.from_thread(call.start)
    except NodeTerminated:
        pending.close()
        raise
    try:
        await call.arrived
    except BaseException:
        process.core.from_thread(call.cancel)
        raise
    error = call.error
    if error is None:
        result: T = call.result
        return result
    try:
        raise error
    finally:
        del error, call


# --- behaviors ----------------------------------------------------------------------------------------------


class _Unannounced:
    """Keeps a class derived by the runtime from calling the `__init_subclass__` of the user's class."""

    __slots__ = ()

    def __init_subclass__(cls) -> None:
        """Does nothing."""


def on_node_thread(behavior: type[ProcessBehavior]) -> type[ProcessBehavior]:
    """Returns a class derived from `behavior`, in which the methods of its base run on the node's thread. They come
    after the user's own classes in the method resolution order: methods that the user overrides still run on the
    calling thread, and `super()` leads to these.

    Raises `BadOption` for a pool, a supervisor and the like.
    """
    derived: type[ProcessBehavior] | None = vars(behavior).get("_on_node_thread")
    if derived is None:
        if behavior._runtime_hooks.forwards or behavior._runtime_hooks.configures:
            raise BadOption(
                "thread", True, f"{behavior.__name__} works on the runtime itself; give its workers or children threads"
            )
        derived = derive(behavior, _bridged_base(base_of(behavior)))
        behavior._on_node_thread = derived  # type: ignore[attr-defined]
    return derived


def base_of(behavior: type[ProcessBehavior]) -> type:
    """Returns the behavior base from which `behavior` is derived: `act.Actor`, say."""
    return next(kind for kind in behavior.__mro__ if "_runtime_hooks" in vars(kind))


def derive(
    behavior: type[ProcessBehavior], base: type[Any], callbacks: Mapping[str, Any] = MappingProxyType({})
) -> type[ProcessBehavior]:
    """Returns a class derived from `behavior`, with `base` behind the user's own classes, and with `callbacks` before
    them."""
    names = {name: getattr(behavior, name) for name in ("__module__", "__qualname__", "__doc__")}
    bases = (_Unannounced, behavior, base)
    return new_class(behavior.__name__, bases, exec_body=lambda namespace: namespace.update(names, **callbacks))


@cache
def _bridged_base(base: type[Any]) -> type[Any]:
    """Returns a class derived from `base`, in which all methods but the callbacks run on the node's thread."""
    return wrapped_base(base, _bridged)


def wrapped_base(base: type[Any], wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> type[Any]:
    """Returns a class derived from the behavior base `base`, in which `wrap` has replaced all methods but the
    callbacks."""
    methods = {
        name: wrap(getattr(base, name))
        for kind in base.__mro__
        for name, value in vars(kind).items()
        if callable(value) and not isinstance(value, type) and not name.startswith("__")
        if not hasattr(ProcessBehavior, name)
    }
    return type(base.__name__, (base,), {"__slots__": (), "__module__": base.__module__, **methods})


def _bridged(method: Callable[..., Any]) -> Callable[..., Any]:
    if iscoroutinefunction(method):

        @wraps(method)
        async def bridged(self: Any, *args: Any, **kwargs: Any) -> Any:
            process: Process = self._process
            pending = method(self, *args, **kwargs)
            return await (pending if get_ident() == process.core.thread else await_on_loop(process, pending))

    else:

        @wraps(method)
        def bridged(self: Any, *args: Any, **kwargs: Any) -> Any:
            return run_on_loop(self._process.core, lambda: method(self, *args, **kwargs))

    return bridged
