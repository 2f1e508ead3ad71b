"""Running a program on a node: from `homing.run` to the end of everything that it has started.

A program that gets a signal to stop ends. When the node has stopped, `main` gets the rest of the stop timeout if it
waits for the node; otherwise it is cancelled at once. Anything that does not end within `GRACE` seconds of its
cancellation, or blocks a thread of the executor, is named in the log and left behind.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from asyncio.tasks import _unregister_task
from collections.abc import Awaitable, Callable
from contextlib import suppress
from inspect import isawaitable, iscoroutine
from typing import Any, Generic, TypeVar, cast

from ..gen import (
    Application,
    ApplicationTerminated,
    BadOption,
    NodeOptions,
    NotAllowed,
    ProcessBehavior,
    ProcessTerminated,
    is_orderly,
)
from ..gen.foreign import safe_repr
from .executor import BoundedExecutor
from .logs import logging_configured
from .loop.event_loop import new_event_loop
from .node import Node, internals
from .output import flush_or_discard, secure_standard_streams, tell
from .signals import Late, Signals, ignore_late_signals_at_exit
from .start import NodeStarter, start_node
from .unawaited import told_of_unawaited

T = TypeVar("T")
Main = Callable[..., Awaitable[T]] | type[ProcessBehavior | Application] | Application

GRACE = 1.0
"""Seconds for cancelled tasks to end, and the least time for which the end of the program waits for threads."""


def run(
    main: Main[T], *args: Any, name: str = "homing@localhost", options: NodeOptions | None = None, uvloop: bool = False
) -> T | None:
    """Runs a node from a synchronous program until its work is done. Blocks.

    main: an `async def main(node, *args)`, whose result `run` returns; or a behavior class: one process of it is
        spawned with `args`, and the node runs until that ends, or until SIGINT or SIGTERM; or a `gen.Application`,
        or its class: the same, with `load(node, *args)`.
    uvloop: run on uvloop, which must be installed (`pip install homing[fast]`), instead of `homing.new_event_loop`.

    While it runs, the log goes to stderr from level INFO on, unless the program has set up logging itself.

    When a signal has stopped the node, `main` is cancelled unless it awaits `node.wait()` or `node.stop()`; then it has
    the rest of `stop_timeout` to end, and so have jobs in the event loop's executor. If `main` was cancelled in this
    way, `run` returns None.

    Raises `NotAllowed` within a running event loop, and while `homing run` or a child of `multiprocessing` imports the
    module that calls it: put the call under `if __name__ == "__main__":`.
    """
    _require_no_loop()
    if not callable(main) and not isinstance(main, Application):
        if iscoroutine(main):
            main.close()
        raise BadOption("main", main, "give an async function, or a class derived from act.Actor or gen.Application")
    starter = start_node(name, options)
    factory = _loop_factory(uvloop)
    secure_standard_streams()
    ignore_late_signals_at_exit()
    with logging_configured(), told_of_unawaited():
        return _Program(starter, main, args).run(factory)


def _require_no_loop() -> None:
    with suppress(RuntimeError):
        asyncio.get_running_loop()
        raise NotAllowed(
            "homing.run was called within a running event loop; there use `async with homing.start_node(...)`"
        )


def _loop_factory(uvloop: bool) -> Callable[[], asyncio.AbstractEventLoop]:
    if not uvloop:
        return new_event_loop
    try:
        import uvloop as module
    except ImportError:
        raise BadOption("uvloop", True, "uvloop is not installed; pip install homing[fast]") from None
    return module.new_event_loop


class _Program(Generic[T]):
    """One `main` on one node, to its end."""

    def __init__(self, starter: NodeStarter, main: Main[T], args: tuple[Any, ...]) -> None:
        self._starter = starter
        self._main = main
        self._args = args
        self._node: Node | None = None
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._cancelled = False
        self._left_behind = False
        self._signals: Signals | None = None
        self._late: Late | None = None
        self._before: dict[int, Any] = {}

    def run(self, factory: Callable[[], asyncio.AbstractEventLoop]) -> T | None:
        self._before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        runner = asyncio.Runner(loop_factory=factory)
        try:
            runner.get_loop().set_default_executor(BoundedExecutor(self._seconds_left, self._left_jobs))
            return runner.run(self._body())
        except RuntimeError:
            if not self._left_behind:
                raise
            return None
        finally:
            self._close(runner)

    # --- its work -----------------------------------------------------------------------------------------

    async def _body(self) -> T | None:
        task = self._task = asyncio.current_task()
        async with self._starter as node:
            self._node = node
            self._signals = Signals.of(asyncio.get_running_loop())
            if self._signals is not None:
                self._signals.hold(self._before, self._abandon)
            try:
                return await self._work(node)
            except asyncio.CancelledError:
                if not self._cancelled or task is None or task.uncancel() > 0:
                    raise
                return None
            finally:
                self._task = None
                if self._timer is not None:
                    self._timer.cancel()

    async def _work(self, node: Node) -> T | None:
        main = self._main
        if isinstance(main, type) and issubclass(main, ProcessBehavior):
            await _run_process(node, main, self._args)
            return None
        if isinstance(main, Application) or (isinstance(main, type) and issubclass(main, Application)):
            await _run_application(node, main, self._args)
            return None
        call: Callable[..., Any] = main
        result = call(node, *self._args)
        if not isawaitable(result):
            raise BadOption(
                "main", main, "give an async function, or a class derived from act.Actor or gen.Application"
            )
        node.on_stopped(self._stopped)
        return cast(T, await result)

    # --- its end ------------------------------------------------------------------------------------------

    def _stopped(self) -> None:
        """Arranges the end of `main`, which has not returned, after the node has stopped."""
        task = self._task
        if task is None or self._node is None:
            return
        stopping = internals(self._node).stopping
        if task not in stopping.stoppers:  # a task that has awaited `node.stop` continues with its own work
            seconds = max(GRACE, stopping.time_left()) if stopping.waiters else 0.0
            self._timer = task.get_loop().call_later(seconds, self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self._cancelled = True
            self._task.cancel()
            self._timer = self._task.get_loop().call_later(GRACE, self._abandon)

    def _abandon(self) -> None:
        """Goes on without `main`."""
        if self._task is not None and self._node is not None:
            self._node.log.error("%s does not end, even after its cancellation; it is left behind", self._name)
            self._left_behind = True
            self._task.get_loop().stop()

    @property
    def _name(self) -> str:
        return f"main {getattr(self._main, '__qualname__', self._main)}"

    def _seconds_left(self) -> float:
        return GRACE if self._node is None else max(GRACE, internals(self._node).stopping.time_left())

    def _left_jobs(self, count: int) -> None:
        if self._node is not None:
            self._node.log.error("%d jobs in the executor do not end; they are left behind", count)

    def _close(self, runner: asyncio.Runner) -> None:
        if self._signals is not None:
            self._late = self._signals.release()
        try:
            self._end_tasks(runner.get_loop())
            runner.close()
        finally:
            if self._late is not None:
                self._late.ending = False
                _end_without_threads(self._seconds_left())

    def _end_tasks(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancels the remaining tasks, and forgets those that do not end."""
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            _, pending = loop.run_until_complete(asyncio.wait(tasks, timeout=GRACE))
            for task in pending:
                if self._node is not None:
                    self._node.log.error(
                        "%s does not end, even after its cancellation; it is left behind", safe_repr(task)
                    )
                _unregister_task(task)


async def _run_process(node: Node, behavior: type[ProcessBehavior], args: tuple[Any, ...]) -> None:
    """Runs one process to its end. Raises `ProcessTerminated` if it did not end in order."""
    process = node._process(await node.spawn(behavior, *args))
    node.ready()
    ended = asyncio.Event()
    process.when_ended(ended.set)
    await ended.wait()
    if process.reason is not None and not is_orderly(process.reason):
        raise ProcessTerminated(process.id, process.reason)


async def _run_application(node: Node, application: Application | type[Application], args: tuple[Any, ...]) -> None:
    """Runs one application to its end. Raises `ApplicationTerminated` if it did not end in order."""
    name = await node.application_load(application, *args)
    await node.application_start(name)
    node.ready()
    reason = await node.application_wait(name)
    if not is_orderly(reason):
        raise ApplicationTerminated(name, reason)


# --- the end of Python -------------------------------------------------------------------------------------


def _end_without_threads(seconds: float) -> None:
    """Bounds the time for which Python waits for threads at its end, as it does for those of a user's executor: in a
    program that a signal has stopped, to `seconds`."""
    ends = threading.Event()
    # `threading` has no public hook for the moment when Python begins to wait. The last function registered runs first.
    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        register(ends.set)
        threading.Thread(target=_end_the_program, args=(ends, seconds), name="homing end", daemon=True).start()


def _end_the_program(ends: threading.Event, seconds: float) -> None:
    ends.wait()
    time.sleep(seconds)  # normally the program ends during this sleep
    names = [one.name for one in threading.enumerate() if not one.daemon and one is not threading.main_thread()]
    tell(f"threads that do not end are left behind: {', '.join(names)}")
    flush_or_discard()
    os._exit(1 if hasattr(sys, "last_type") else exit_code.value)


class ExitCode:
    """The exit code of a program that has to be ended by force. value: as `sys.exit` takes it."""

    value = 0


exit_code = ExitCode()
