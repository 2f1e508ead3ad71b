"""The last records of a node, and the streams of new ones.

A ring is there from the first observer of a node on, which `homing run` makes, until the node stops. It takes the
records that the levels of the loggers let pass, from any thread: those of the `homing` loggers, and of all others if
the program, or `homing run`, has set up logging.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeAlias

from ...gen.foreign import same
from ...node import Node
from ...node.core import Core
from ...node.node import internals
from ..refusals import RequestRefused
from .records import LogRecord, Suppressed, facts_of

MOST_KEPT = 1000
"""Most records that are kept: some 400 kB."""

MOST_KEPT_BYTES = 2_000_000
"""Most bytes of messages and tracebacks that are kept."""

MOST_RATE = 200
"""Most records a second that one stream carries, which is more than anybody reads; the others are counted."""

MOST_WAITING = 1000
"""Most records that wait for a reader that is slow; further ones are counted."""

MOST_STREAMS = 32
"""Most streams of one ring. Each costs every record some microseconds."""

Kept: TypeAlias = tuple[int, LogRecord]
"""A record: the number of its level, and its facts."""

Wanted: TypeAlias = Callable[[int, LogRecord], bool]


class Ring(logging.Handler):
    """The last records of one node, and its streams. Other nodes of the program have their own."""

    def __init__(self, node: str) -> None:
        super().__init__()
        self._node = node
        self._kept: deque[Kept] = deque(maxlen=MOST_KEPT)
        self._bytes = 0
        self._streams: tuple[LogStream, ...] = ()
        self._others = _Others(self)

    def open(self) -> None:
        """Begins to take records."""
        logging.getLogger("homing").addHandler(self)
        if logging.getLogger().handlers:  # otherwise a handler would keep `logging.basicConfig` from doing anything
            logging.getLogger().addHandler(self._others)

    def shut(self) -> None:
        """Takes no more records, and ends all streams."""
        logging.getLogger("homing").removeHandler(self)
        logging.getLogger().removeHandler(self._others)
        for stream in self._streams:
            stream.end()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            node = vars(record).get("node")
            if node is None or same(node, self._node):
                self._keep(record.levelno, facts_of(record))
        except Exception:
            self.handleError(record)

    def _keep(self, level: int, facts: LogRecord) -> None:
        kept = self._kept
        if len(kept) == MOST_KEPT:
            self._bytes -= _size(kept.popleft())
        kept.append((level, facts))
        self._bytes += _size(kept[-1])
        while self._bytes > MOST_KEPT_BYTES:
            self._bytes -= _size(kept.popleft())
        for stream in self._streams:
            stream.put(level, facts)

    def last(self, count: int, wanted: Wanted) -> list[LogRecord]:
        """Returns the last `count` records that are wanted, in order."""
        with self._locked():
            found = [facts for level, facts in self._kept if wanted(level, facts)]
        return found[-count:] if count else []

    @contextmanager
    def stream(self, count: int, wanted: Wanted) -> Iterator[LogStream]:
        """A context with a stream: of the last `count` records that are wanted, and of all new ones.

        Raises `RequestRefused` if there are too many.
        """
        stream = LogStream(wanted)
        with self._locked():
            if len(self._streams) >= MOST_STREAMS:
                raise RequestRefused("failed", f"{MOST_STREAMS} streams of the log are open; close one of them")
            stream.start(self.last(count, wanted))
            self._streams += (stream,)
        try:
            yield stream
        finally:
            with self._locked():
                self._streams = tuple(each for each in self._streams if each is not stream)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.acquire()
        try:
            yield
        finally:
            self.release()


class _Others(logging.Handler):
    """Passes the records of loggers that are not Homing's."""

    def __init__(self, ring: Ring) -> None:
        super().__init__()
        self._ring = ring

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != "homing" and not record.name.startswith("homing."):
            self._ring.handle(record)


def _size(kept: Kept) -> int:
    facts = kept[1]
    fault = facts["exception"]
    return len(facts["message"]) + (0 if fault is None else len(fault["traceback"])) + len(facts["stack"] or "")


class LogStream:
    """The records for one reader, on its event loop. Records that are too many for it are counted."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._waiting: deque[LogRecord | Suppressed | None] = deque()
        self._suppressed = 0
        self._since = float("-inf")
        self._taken = 0
        self._lock = threading.RLock()  # a finalizer that logs may run within

    def start(self, records: list[LogRecord]) -> None:
        """Begins with these records."""
        self._waiting.extend(records)
        self._news.set()

    def put(self, level: int, facts: LogRecord) -> None:
        """Adds a record, on any thread."""
        if not self._wanted(level, facts):
            return
        with self._lock:
            now = self._loop.time()
            if now - self._since >= 1.0:
                self._since, self._taken = now, 0
            if self._taken >= MOST_RATE or len(self._waiting) >= MOST_WAITING:
                self._suppressed += 1
                if self._suppressed > 1:
                    return  # the reader knows, and will tell
            else:
                self._taken += 1
                self._add_suppressed()
                self._waiting.append(facts)
        self._wake()

    def end(self) -> None:
        """Ends the stream, behind the records that wait."""
        self._waiting.append(None)
        self._wake()

    def _add_suppressed(self) -> None:
        count, self._suppressed = self._suppressed, 0
        if count:
            self._waiting.append({"suppressed": count})

    def _wake(self) -> None:
        if not self._news.is_set():
            with suppress(RuntimeError):  # the reader's loop is closed
                self._loop.call_soon_threadsafe(self._news.set)

    async def items(self) -> AsyncGenerator[LogRecord | Suppressed, None]:
        """Yields the records in order; between them, at most once a second, how many were left out there."""
        while True:
            self._news.clear()
            while self._waiting:
                item = self._waiting.popleft()
                if item is None:
                    return
                yield item
            try:
                async with asyncio.timeout(1.0 if self._suppressed else None):
                    await self._news.wait()
            except TimeoutError:
                with self._lock:
                    self._add_suppressed()


_rings: dict[Core, Ring] = {}


def ring_of(node: Node) -> Ring:
    """Returns the ring of a node; its first call begins to keep records."""
    core = internals(node).core
    found = _rings.get(core)
    if found is None:
        found = _rings[core] = Ring(core.name)
        found.open()
        node.on_stopped(found.shut)
        node.on_stopped(lambda: _forget(core))
    return found


def _forget(core: Core) -> None:
    with suppress(KeyError):
        del _rings[core]
