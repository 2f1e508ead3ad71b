"""Processor time: how long one thread ran on a processor, and how long it waited for one. Can be read from any thread.

On Linux the system reports how long a thread was ready while no processor was free (/proc/self/task/TID/schedstat, "run
delay"); elsewhere only how long it ran, or not even that.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import NamedTuple


class Reading(NamedTuple):
    """Seconds since some moment: by the clock (`at`), on a processor (`cpu`), ready but without a processor (`waited`),
    and on processors for all threads of the program (`program`). None: the system does not report it."""

    at: float
    cpu: float | None
    waited: float | None
    program: float

    def since(self, earlier: Reading) -> Reading:
        """Returns the seconds between two readings."""
        return Reading(
            self.at - earlier.at,
            None if self.cpu is None or earlier.cpu is None else self.cpu - earlier.cpu,
            None if self.waited is None or earlier.waited is None else self.waited - earlier.waited,
            self.program - earlier.program,
        )

    @property
    def own(self) -> float:
        """Of a span: the seconds for which the thread itself is responsible, running or blocked. All of it if the
        system does not report how long it waited for a processor."""
        return self.at if self.waited is None else max(0.0, self.at - self.waited)


class ProcessorClock:
    """Reads the processor time of the thread that creates it. Keeps no file open, so it need not be closed."""

    def __init__(self) -> None:
        self._clock = _clock_of_this_thread()
        self._directory = f"/proc/self/task/{threading.get_native_id()}"

    def read(self) -> Reading:
        """Returns the thread's times so far."""
        at = time.perf_counter()
        return Reading(at, self._cpu(), self._waited(), time.process_time())

    def _cpu(self) -> float | None:
        try:
            return None if self._clock is None else time.clock_gettime(self._clock)
        except OSError:
            return None  # the thread has ended

    def _waited(self) -> float | None:
        fields = _read(f"{self._directory}/schedstat").split()
        return int(fields[1]) / 1e9 if len(fields) > 1 else None

    def ready(self) -> bool:
        """Returns True if the thread runs or waits for a processor. `waited` includes a wait only when it is over."""
        return _read(f"{self._directory}/stat").rpartition(b") ")[2][:1] == b"R"


def _clock_of_this_thread() -> int | None:
    try:
        return time.pthread_getcpuclockid(threading.get_ident())
    except (AttributeError, OSError):
        return None


def _read(path: str) -> bytes:
    """Returns the content of a file of the system; b"" if there is none, or the thread has ended."""
    if sys.platform != "linux":
        return b""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(descriptor, 1024)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
