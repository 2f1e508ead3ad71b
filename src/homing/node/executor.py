"""The executor for `asyncio.to_thread`, resolvers and the like, in a program that must be able to end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

from ..gen.retrying import twice

P = ParamSpec("P")
T = TypeVar("T")
_Job = tuple["_Handed[Any]", Callable[[], Any]]


class BoundedExecutor(ThreadPoolExecutor):
    """Like its base, but a thread that does not end cannot block `shutdown` or the end of the program: it waits for
    `seconds_left()` at most, then calls `left` with the number of threads that still run, and continues.

    (Its base joins its threads when Python ends, however long that takes. A thread cannot be ended from outside.)
    """

    def __init__(self, seconds_left: Callable[[], float], left: Callable[[int], object]) -> None:
        super().__init__(thread_name_prefix="homing executor")
        self._seconds_left = seconds_left
        self._left = left
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._idle: SimpleQueue[None] = SimpleQueue()
        self._guard = threading.Lock()
        self._members: list[threading.Thread] = []
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: _Handed[T] = _Handed()
        job = future, partial(fn, *args, **kwargs)
        self._guard.acquire()
        try:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if not self._has_idle() and len(self._members) < self._max_workers:
                self._add_member()
            self._jobs.put(job)
        finally:
            self._guard.release()  # not by `with`, which needs memory: without any, the lock would stay locked
        return future

    def _has_idle(self) -> bool:
        """Returns True if a thread waits for a job. That thread counts as busy from here on."""
        try:
            self._idle.get_nowait()
        except Empty:
            return False
        return True

    def _add_member(self) -> None:
        name = f"homing executor {len(self._members)}"
        member = threading.Thread(target=_work, args=(self._jobs, self._idle), name=name, daemon=True)
        try:
            member.start()
        except (MemoryError, RuntimeError):
            if not self._members:
                raise
            return  # the existing threads have to do the work
        self._members.append(member)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        with self._guard:
            self._closed = True
            if cancel_futures:
                self._cancel_all()
            self._jobs.put(None)
        if wait:
            for member in self._members:
                member.join(max(0.0, self._seconds_left()))
            stuck = sum(member.is_alive() for member in self._members)
            if stuck:
                self._left(stuck)

    def _cancel_all(self) -> None:
        try:
            while True:
                job = self._jobs.get_nowait()
                if job is not None:
                    job[0].cancel()
        except Empty:
            pass


class _Condition(threading.Condition):
    """Like its base, which allocates to release its lock; if that failed, the event loop would hang."""

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._lock.release()  # type: ignore[attr-defined]


class _Handed(Future[T]):
    """A future whose callbacks, which notify the event loop, are called again if there was no memory for them."""

    def __init__(self) -> None:
        super().__init__()
        self._condition = _Condition()

    def add_done_callback(self, fn: Callable[[Future[T]], object]) -> None:
        super().add_done_callback(partial(_called, fn))

    def finish(self, result: Any, error: BaseException | None) -> None:
        """Sets the result or the exception, and calls the callbacks."""
        try:
            self.set_result(result) if error is None else self.set_exception(error)
        except MemoryError:
            if not self.done():
                self.set_result(result) if error is None else self.set_exception(error)
            else:
                self._invoke_callbacks()  # type: ignore[attr-defined]


def _called(function: Callable[[Future[T]], object], future: Future[T]) -> None:
    twice(function, future)


def _work(jobs: SimpleQueue[_Job | None], idle: SimpleQueue[None]) -> None:
    """Runs jobs in a thread. Goes on after any failure: it may count as idle, and then `submit` relies on it."""
    job: _Job | None = None
    while True:
        try:
            job = _next(jobs, idle)
            if job is None:
                jobs.put(None)  # for the next thread
                return
            _run(*job)
        except MemoryError as error:
            if job is not None and not job[0].done():
                job[0].finish(None, error)
        job = None


def _next(jobs: SimpleQueue[_Job | None], idle: SimpleQueue[None]) -> _Job | None:
    try:
        return jobs.get_nowait()
    except Empty:
        idle.put(None)
        return jobs.get()


def _run(future: _Handed[Any], function: Callable[[], Any]) -> None:
    if future.set_running_or_notify_cancel():
        try:
            result = function()
        except BaseException as error:
            future.finish(None, error)
        else:
            future.finish(result, None)
