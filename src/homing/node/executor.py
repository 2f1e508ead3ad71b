"""The executor in which `asyncio.to_thread`, resolvers and the like run, in a program that must be able to end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
_Job = tuple["Future[Any]", Callable[[], Any]]


class BoundedExecutor(ThreadPoolExecutor):
    """As its base, but a thread that does not end holds up neither `shutdown` nor the end of the program: it waits for
    `seconds_left()` at most, and leaves behind what has not ended by then, which `left` tells.

    (Its base joins its threads when Python ends, however long that takes. A thread cannot be ended from outside.)
    """

    def __init__(self, seconds_left: Callable[[], float], left: Callable[[int], object]) -> None:
        super().__init__(thread_name_prefix="homing executor")
        self._seconds_left = seconds_left
        self._left = left
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._guard = threading.Lock()
        self._members: list[threading.Thread] = []
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        with self._guard:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._jobs.put((future, partial(fn, *args, **kwargs)))
            if not self._idle.acquire(blocking=False) and len(self._members) < self._max_workers:
                name = f"homing executor {len(self._members)}"
                member = threading.Thread(target=_work, args=(self._jobs, self._idle), name=name, daemon=True)
                self._members.append(member)
                member.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        with self._guard:
            self._closed = True
            if cancel_futures:
                self._cancel_all()
            for _ in self._members:
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


def _work(jobs: SimpleQueue[_Job | None], idle: threading.Semaphore) -> None:
    while True:
        try:
            job = jobs.get_nowait()
        except Empty:
            idle.release()
            job = jobs.get()
        if job is None:
            return
        future, function = job
        if future.set_running_or_notify_cancel():
            try:
                result = function()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
                del result
        del job, future, function
