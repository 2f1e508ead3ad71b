"""Asks the observer on the node's loop, from the loop of another thread.

A node whose loop is blocked does not answer in time: then the last answer to the same request is used, with its age.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, NamedTuple, Protocol

MOST_KEPT = 64
"""Answers kept for the time when the loop does not answer. The page asks for some ten."""

MOST_OPEN = 32
"""Requests that wait for the loop at once. While it is blocked, clients give up and ask anew: all would be answered
when it turns again."""

MOST_ITEMS = 2
"""Items of a stream that wait for a slow client. Then no more are asked for until it has read some: a stream is asked
for its next item, and says in it what it had to leave out."""

SILENT_SECONDS = 2.0
"""Seconds without a turn of the loop after which it is not expected to answer."""

HOPELESS_SECONDS = 0.2
"""Seconds for which a request waits nevertheless."""

Request = Mapping[str, Any]


class Asked(Protocol):
    """An `Observer`, or the one that merges several nodes."""

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]: ...

    def stream(self, request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]: ...


class Unanswered(Exception):
    """The node's loop did not answer in time, or has ended."""


class Ended(Exception):
    """The stream has ended."""


class Answer(NamedTuple):
    """An answer. age: seconds since it was given; 0 if it is new."""

    facts: dict[str, Any]
    age: float


class Bridge:
    """Asks one observer.

    turned: when the node's loop has turned last, by `time.monotonic`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, observer: Asked, beat_seconds: float) -> None:
        self._loop = loop
        self._observer = observer
        self._beat_seconds = beat_seconds
        self._kept: OrderedDict[str, tuple[dict[str, Any], float]] = OrderedDict()
        self._open: dict[str, Future[dict[str, Any]]] = {}
        self._lock = threading.Lock()
        self.turned = time.monotonic()
        self._timer = loop.call_later(beat_seconds, self._beat)

    def _beat(self) -> None:
        self.turned = time.monotonic()
        self._timer = self._loop.call_later(self._beat_seconds, self._beat)

    def close(self) -> None:
        """Ends the beats, and the requests that are open. On the node's loop."""
        self._timer.cancel()
        for future in tuple(self._open.values()):
            future.cancel()

    @property
    def silent(self) -> float:
        """Seconds for which the loop has not turned, beyond the time between two beats."""
        return max(0.0, time.monotonic() - self.turned - self._beat_seconds)

    async def ask(self, request: Request, timeout: float, *, keep: bool = True) -> Answer:
        """Returns the answer, or the last one if there is none within `timeout` seconds. Raises `Unanswered` if there
        is none either, `TimeoutError` without `keep`, and `RequestRefused`.

        keep: a request that only reads. Several that are equal and open at the same time are asked once.
        """
        if not keep:
            return Answer(await asyncio.wait_for(asyncio.wrap_future(self._post(request)), timeout), 0.0)
        key = json.dumps(request, sort_keys=True, default=str)
        future = self._open.get(key)
        if future is None:
            if len(self._open) >= MOST_OPEN:
                return self._last(key)
            future = self._open[key] = self._post(request)
            future.add_done_callback(partial(self._arrived, key))
        if self.silent > SILENT_SECONDS:
            timeout = min(timeout, HOPELESS_SECONDS)
        try:
            return Answer(await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(future)), timeout), 0.0)
        except TimeoutError:
            return self._last(key)
        except asyncio.CancelledError:
            if future.cancelled():
                raise Unanswered("the node has ended") from None
            raise

    def _post(self, request: Request) -> Future[dict[str, Any]]:
        asking = self._observer.ask(dict(request))
        try:
            return asyncio.run_coroutine_threadsafe(asking, self._loop)
        except RuntimeError:
            asking.close()
            raise Unanswered("the node has ended") from None

    def _arrived(self, key: str, future: Future[dict[str, Any]]) -> None:
        """Keeps an answer, also one that nobody waits for any more. On the node's loop."""
        self._open.pop(key, None)
        if not future.cancelled() and future.exception() is None:
            with self._lock:
                self._kept.pop(key, None)
                self._kept[key] = (future.result(), time.monotonic())
                if len(self._kept) > MOST_KEPT:
                    self._kept.popitem(last=False)

    def _last(self, key: str) -> Answer:
        with self._lock:
            kept = self._kept.get(key)
        if kept is None:
            raise Unanswered(f"the node's event loop has not answered; it has not turned for {self.silent:.1f} s")
        facts, at = kept
        return Answer(facts, time.monotonic() - at)

    def stream(self, request: Request) -> Items:
        """Begins a stream, and returns its items, which are to be closed. Raises `Unanswered`."""
        items = Items(asyncio.get_running_loop())
        pump = items.pump(self._observer.stream(dict(request)))
        try:
            items.task = asyncio.run_coroutine_threadsafe(pump, self._loop)
        except RuntimeError:
            pump.close()
            raise Unanswered("the node has ended") from None
        return items


class Items:
    """The items of one stream: put in on the node's loop, taken out on the loop of the server."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[dict[str, Any]] = deque()
        self._ended = False
        self._error: Exception | None = None
        self._came = asyncio.Event()
        self._room = asyncio.Event()
        self._source_loop: asyncio.AbstractEventLoop | None = None
        self.task: Future[None] | None = None

    async def pump(self, source: AsyncIterator[dict[str, Any]]) -> None:
        """Runs on the node's loop: takes the items of the stream."""
        self._source_loop = asyncio.get_running_loop()
        try:
            async for item in source:
                self._waiting.append(item)
                _set(self._loop, self._came)
                while len(self._waiting) >= MOST_ITEMS:
                    self._room.clear()
                    if len(self._waiting) >= MOST_ITEMS:
                        await self._room.wait()
        except Exception as error:
            self._error = error
        finally:
            close = getattr(source, "aclose", None)
            if close is not None:
                await close()
            self._ended = True
            _set(self._loop, self._came)

    async def next(self, timeout: float) -> dict[str, Any] | None:
        """Returns the next item, or None if none comes within `timeout` seconds. Raises `Ended` at the end, or
        the error that ended it."""
        while True:
            self._came.clear()
            if self._waiting:
                item = self._waiting.popleft()
                if self._source_loop is not None:
                    _set(self._source_loop, self._room)
                return item
            if self._ended:
                raise self._error or Ended
            try:
                await asyncio.wait_for(self._came.wait(), timeout)
            except TimeoutError:
                return None

    def close(self) -> None:
        """Ends the stream."""
        if self.task is not None:
            self.task.cancel()


def _set(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    """Sets an event of a loop in another thread."""
    try:
        loop.call_soon_threadsafe(event.set)
    except RuntimeError:
        pass  # that loop has ended, and nobody waits there
