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
    """Reads the processor time of the thread that makes it. Keeps no file open: who drops it owes it nothing."""

    def __init__(self) -> None:
        self._clock = _clock_of_this_thread()
        self._directory = f"/proc/self/task/{threading.get_native_id()}"

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
        fields = _read(f"{self._directory}/schedstat").split()
        return int(fields[1]) / 1e9 if len(fields) > 1 else None

    def ready(self) -> bool:
        """True if the thread runs or waits for a processor; what it waits now, `waited` tells only afterwards."""
        return _read(f"{self._directory}/stat").rpartition(b") ")[2][:1] == b"R"


def _clock_of_this_thread() -> int | None:
    try:
        return time.pthread_getcpuclockid(threading.get_ident())
    except (AttributeError, OSError):
        return None


def _read(path: str) -> bytes:
    """The content of a file of the system's; nothing where there is none, or the thread has ended."""
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
