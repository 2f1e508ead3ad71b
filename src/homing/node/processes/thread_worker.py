"""A thread that runs callbacks, one after another, and reports their outcome to the node's loop.

Coroutines run to their end on an event loop of the thread's own, which is created for the first. All callbacks of a
thread share one copy of the context variables of the node's start: a variable set by one is seen by the next.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterable
from contextvars import Context, ContextVar
from queue import SimpleQueue
from time import sleep
from typing import TYPE_CHECKING, Any

from ...gen import NodeTerminated
from ...gen.retrying import twice
from ..mailbox.envelope import is_coroutine
from ..scheduling.stepping import Stopwatch, stepped

if TYPE_CHECKING:
    from ..core import Core

_NO_MEMORY_SECONDS = 0.001
"""Seconds until a thread without memory tries again to report to the loop."""

_home: ContextVar[tuple[weakref.ref[asyncio.AbstractEventLoop], int]] = ContextVar("homing node")
"""On the thread of a process: the loop of its node, and the thread on which that runs. The loop is held weakly, as an
idle thread must not keep a dropped node."""


def node_loop() -> asyncio.AbstractEventLoop | None:
    """Returns the loop of the node whose callback calls this, on any thread; otherwise the running loop, if any."""
    home = _home.get(None)
    if home is not None:
        return home[0]()
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def node_thread() -> int:
    """Returns the thread of the node whose callback calls this, on any thread; otherwise the calling thread. As an
    identifier of `threading.get_ident`."""
    home = _home.get(None)
    return threading.get_ident() if home is None else home[1]


class Job:
    """Callbacks that run in a row.

    functions: an iterable, advanced on the thread after each callback that has succeeded.
    done: called with this job, on the node's loop, when all are over; more than once if there was no memory for it.
    last: True if no job follows; the thread's event loop, and everything on it, ends before `done` is called.
    result: the result of the last callback. error: its exception, after which no more are run.
    stopwatch: the seconds for which it has run.
    """

    __slots__ = ("_cancelled", "_core", "_done", "_functions", "_task", "error", "last", "result", "stopwatch")

    def __init__(
        self, core: Core, functions: Iterable[Callable[[], Any]], done: Callable[[Job], None], last: bool
    ) -> None:
        self._core = core
        self._functions = functions
        self._done = done
        self.last = last
        self.result: Any = None
        self.error: BaseException | None = None
        self.stopwatch = Stopwatch()
        self._task: asyncio.Task[None] | None = None
        self._cancelled = False

    def cancel(self) -> None:
        """Cancels the running callback if it is asynchronous, but not before it has begun. On the node's thread."""
        self._cancelled = True
        task = self._task
        if task is not None:
            try:
                task.get_loop().call_soon_threadsafe(task.cancel)
            except RuntimeError:
                pass  # the loop is closed: the callbacks are over

    def take(self) -> Any:
        """Returns the result, or raises the error."""
        if self.error is not None:
            raise self.error
        return self.result

    def run(self, context: Context, runner: asyncio.Runner) -> None:
        """Runs the callbacks, on the thread."""
        functions, self._functions = self._functions, ()  # not kept, as they hold messages
        try:
            for function in functions:
                result = self.stopwatch.run(context.run, function)
                if is_coroutine(result):
                    runner.run(self._await(result), context=context)
                else:
                    self.result = result
                if self.error is not None:
                    return
        except BaseException as error:
            self.error = error

    async def _await(self, pending: Coroutine[Any, Any, Any]) -> None:
        """Stores the exception of `pending`: a `SystemExit` that left the task would also end the loop."""
        task = self._task = asyncio.current_task()
        if self._cancelled and task is not None:
            task.cancel()
        try:
            self.result = await stepped(pending, self.stopwatch.run)
        except BaseException as error:
            self.error = error

    def close(self, runner: asyncio.Runner) -> None:
        """Closes the thread's event loop."""
        try:
            runner.close()
        except BaseException as error:
            if self.error is None:
                self.error = error

    def report(self) -> bool:
        """Passes itself to the loop; retries while there is no memory. Returns False if the loop is closed."""
        while True:
            try:
                self._core.from_thread(self._done, self)
            except NodeTerminated:
                return False
            except MemoryError:
                sleep(_NO_MEMORY_SECONDS)  # the job may have arrived nevertheless
            else:
                return True


class Worker:
    """The thread of one process. It starts with the first job, and ends after the last one or by `close`."""

    __slots__ = ("_core", "_jobs", "_name", "_started")

    def __init__(self, core: Core, name: str) -> None:
        self._core = core
        self._name = name
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._started = False

    def submit(self, functions: Iterable[Callable[[], Any]], done: Callable[[Job], None], *, last: bool = False) -> Job:
        """Runs `functions` after those of earlier jobs, then calls `done` on the loop."""
        job = Job(self._core, functions, done, last)
        if not self._started:
            context = self._core.scheduler.context.copy()
            context.run(_home.set, (weakref.ref(self._core.loop), self._core.thread))
            threading.Thread(target=_work, args=(self._jobs, context), name=self._name, daemon=True).start()
            self._started = True
        self._jobs.put(job)
        return job

    def close(self) -> None:
        """Ends the thread, after the job that is running."""
        twice(self._jobs.put, None)

    def __del__(self) -> None:
        self.close()  # for a node that was dropped without a stop


def _work(jobs: SimpleQueue[Job | None], context: Context) -> None:
    """Runs jobs in the thread. While it waits it holds no reference to the node."""
    runner = asyncio.Runner()
    job: Job | None = None
    over = False
    try:
        while not over:
            try:
                job = jobs.get() if job is None else job
                if job is None:
                    return
                job.run(context, runner)
                if job.last:
                    job.close(runner)
                over = not job.report() or job.last
                job = None
            except MemoryError:
                pass  # each step may be repeated, and the node waits for the last
    finally:
        runner.close()
