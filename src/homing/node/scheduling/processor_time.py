"""Processor time: what one thread had of the processors, and for how long it had to wait for one. From any thread.

On Linux the system tells how long a thread was ready to run and no processor was free (/proc/self/task/TID/schedstat,
"run delay"); elsewhere only how long it ran, or not even that.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import NamedTuple


class Reading(NamedTuple):
    """Seconds since some moment: the clock's own (`at`), on a processor (`cpu`), ready but without one (`waited`), and
    on processors of all threads of the program (`program`). None: the system does not tell."""

    at: float
    cpu: float | None
    waited: float | None
    program: float

    def since(self, earlier: Reading) -> Reading:
        """The seconds between two readings."""
        return Reading(
            self.at - earlier.at,
            None if self.cpu is None or earlier.cpu is None else self.cpu - earlier.cpu,
            None if self.waited is None or earlier.waited is None else self.waited - earlier.waited,
            self.program - earlier.program,
        )

    @property
    def own(self) -> float:
        """Of a span: the part for which the thread itself is to answer, running or blocked. All of it, where the system
        does not tell what it had to wait."""
        return self.at if self.waited is None else max(0.0, self.at - self.waited)


class ProcessorClock:
    """Reads the processor time of the thread that makes it. Costs two descriptors until it is closed."""

    def __init__(self) -> None:
        self._clock = _clock_of_this_thread()
        directory = f"/proc/self/task/{threading.get_native_id()}"
        self._schedstat = _opened(f"{directory}/schedstat")
        self._stat = _opened(f"{directory}/stat")

    def read(self) -> Reading:
        """What the thread has had by now."""
        at = time.perf_counter()
        return Reading(at, self._cpu(), self._waited(), time.process_time())

    def _cpu(self) -> float | None:
        try:
            return None if self._clock is None else time.clock_gettime(self._clock)
        except OSError:
            return None  # the thread has ended

    def _waited(self) -> float | None:
        fields = _read(self._schedstat).split()
        return int(fields[1]) / 1e9 if len(fields) > 1 else None

    def ready(self) -> bool:
        """True if the thread runs or waits for a processor; what it waits now, `waited` tells only afterwards."""
        return _read(self._stat).rpartition(b") ")[2][:1] == b"R"

    def close(self) -> None:
        """Reads no more."""
        for descriptor in (self._schedstat, self._stat):
            if descriptor >= 0:
                os.close(descriptor)
        self._schedstat = self._stat = -1


def _clock_of_this_thread() -> int | None:
    try:
        return time.pthread_getcpuclockid(threading.get_ident())
    except (AttributeError, OSError):
        return None


def _opened(path: str) -> int:
    """A descriptor; -1 where there is no such file."""
    if sys.platform != "linux":
        return -1
    try:
        return os.open(path, os.O_RDONLY)
    except OSError:
        return -1


def _read(descriptor: int) -> bytes:
    try:
        return os.pread(descriptor, 1024, 0) if descriptor >= 0 else b""
    except OSError:
        return b""  # the thread has ended
