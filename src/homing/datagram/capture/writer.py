"""Writes a capture in a thread of its own, behind a bounded queue, so that no disk holds up the sockets."""

from __future__ import annotations

import atexit
import platform
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import NamedTuple

from ...gen.foreign import safe_repr
from ..address import Address
from . import blocks
from .file import CaptureFile, TapEnded
from .options import Tap
from .packets import packet

_TOGETHER = 32
"""Packets encoded and written at once, some 150 us of work: the event loop never waits longer for the interpreter's
lock, which the system call releases."""

_LAST_WRITES = 5.0
"""Seconds after `close` in which what waits is written. Then the rest is counted as missed."""

_AT_EXIT = 2.0
"""Seconds for which the end of the program waits for the last writes."""

_LOOK = 0.001
"""Seconds between two looks whether there is room, in virtual time only."""

_OVERHEAD = 200
"""Bytes that a record takes beside its payload while it waits."""

_COUNTERS = 64
"""Bytes that the counters of an interface take at the end of a section, at most."""


class Interface:
    """A socket, as the file describes it.

    recorded: datagrams in the file. kernel_drops: datagrams that the kernel has dropped so far; None: not known.
    """

    __slots__ = ("description", "kernel_drops", "name", "recorded")

    def __init__(self, name: str, description: str) -> None:
        self.name = name
        self.description = description
        self.kernel_drops: int | None = None
        self.recorded = 0


class Record(NamedTuple):
    """One datagram. at: nanoseconds since 1970. direction: as in `blocks`. missed: datagrams lost before this one."""

    interface: Interface
    at: int
    source: Address
    destination: Address
    data: bytes
    direction: int
    comment: str
    missed: int


class Writer:
    """Writes the file of `options`, at `path`, until `close`, or until the file is full or fails.

    program, comment: what the file says of the program; `program` is called in the thread.
    over: called in the thread when it has ended.
    written: datagrams in the file. bytes: of the file. missed: datagrams that waited in vain.
    error: why it has ended by itself; "" if it has not. opened, ended: set when that has happened.
    """

    def __init__(
        self, options: Tap, path: str, program: Callable[[], str], comment: str, over: Callable[[], None]
    ) -> None:
        self.written = self.bytes = self.missed = 0
        self.error = ""
        self.opened, self.ended = threading.Event(), threading.Event()
        self._file = CaptureFile(path, options.most, options.rotate)
        self._snap, self._most_waiting = options.snap, options.queue
        self._program, self._comment, self._over = program, comment, over
        self._queue: SimpleQueue[list[Record] | None] = SimpleQueue()
        self._came = self._gone = 0  # bytes; each is written by one thread only
        self._give_up_at = float("inf")
        self._exiting = False
        self._numbers: dict[Interface, int] = {}
        self._thread = threading.Thread(target=self._run, name=f"homing tap {path}", daemon=True)
        self._thread.start()
        atexit.register(self._finish)

    def put(self, records: list[Record], *, waits: bool = False) -> bool:
        """Queues records. Returns False if there is no room, or the writer has ended. waits: waits for room first."""
        size = sum(len(record.data) for record in records) + _OVERHEAD * len(records)
        while waits and not self.ended.is_set() and not self._has_place(size):
            time.sleep(_LOOK)
        if self.ended.is_set() or not self._has_place(size):
            return False
        self._came += size
        self._queue.put(records)
        return True

    def _has_place(self, size: int) -> bool:
        return self._came == self._gone or self._came - self._gone + size <= self._most_waiting

    def wait(self) -> None:
        """Waits until it has ended, after `close`."""
        self.ended.wait(_LAST_WRITES)
        self._thread.join(_LOOK)

    def close(self) -> None:
        """Ends it once all that waits was written. Returns at once. A second call does nothing."""
        if self._give_up_at == float("inf"):
            self._give_up_at = time.monotonic() + _LAST_WRITES
            self._queue.put(None)

    def _finish(self) -> None:
        """Called at the end of the program."""
        self._exiting = True
        self.close()
        if self._thread.is_alive():
            self._thread.join(_AT_EXIT)

    # --- in the thread ------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._file.open(self._gives_up)
            self._begin_section()
            self.opened.set()
            while (records := self._queue.get()) is not None:
                self._take(records)
            self._end_section()
        except (TapEnded, OSError) as error:
            self.error = str(error)
        except Exception as error:  # mostly that memory ran out
            self.error = safe_repr(error)
        finally:
            self._file.close()
            self.ended.set()
            self.opened.set()
            self._drop_rest()
            if not self._exiting:
                atexit.unregister(self._finish)
            self._over()

    def _gives_up(self) -> bool:
        return time.monotonic() > self._give_up_at

    def _drop_rest(self) -> None:
        while not self._queue.empty():
            records = self._queue.get()
            self.missed += len(records or ())

    def _take(self, records: list[Record]) -> None:
        size, before = (
            sum(len(record.data) for record in records) + _OVERHEAD * len(records),
            self.written + self.missed,
        )
        try:
            for first in range(0, len(records), _TOGETHER):
                if self._gives_up():
                    break
                self._write(records[first : first + _TOGETHER])
        finally:
            self.missed += before + len(records) - self.written - self.missed
            self._gone += size

    def _write(self, records: list[Record]) -> None:
        data = b"".join([self._encoded(record) for record in records])
        if not self._has_room(len(data)) and len(records) > 1:
            for record in records:
                self._write([record])
            return
        if not self._has_room(len(data)):
            self._end_section()
            self._file.rotate()
            self._begin_section()
            data = self._encoded(records[0])  # its interface has another number now
            if not self._has_room(len(data)):
                self.missed += 1  # longer than a whole file
                return
        self._file.write(data)
        self.written += len(records)
        self.bytes = self._file.size
        for record in records:
            record.interface.recorded += 1

    def _has_room(self, size: int) -> bool:
        """Returns True if `size` bytes fit into the file, and the counters behind them."""
        return self._file.has_room(size + _COUNTERS * len(self._numbers))

    def _encoded(self, record: Record) -> bytes:
        head = b""
        number = self._numbers.get(record.interface)
        if number is None:
            number = self._numbers[record.interface] = len(self._numbers)
            record.interface.recorded = 0
            head = blocks.interface(record.interface.name, record.interface.description)
        data, length = packet(record.source, record.destination, record.data, self._snap)
        return head + blocks.packet(number, record.at, data, length, record.direction, record.comment, record.missed)

    def _begin_section(self) -> None:
        self._numbers.clear()
        self._file.write(blocks.section(self._program(), platform.system(), self._comment))
        self.bytes = self._file.size

    def _end_section(self) -> None:
        """Writes the counters of all interfaces."""
        now = time.time_ns()
        parts = [
            blocks.counters(number, now, interface.recorded, interface.kernel_drops)
            for interface, number in self._numbers.items()
        ]
        if parts:
            self._file.write(b"".join(parts))
        self.bytes = self._file.size
