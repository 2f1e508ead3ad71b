"""The memory that this process holds."""

from __future__ import annotations

import gc
import resource
import sys


def resident(pid: int | None = None) -> int:
    """Returns the bytes of resident memory, after a garbage collection; the peak so far if the system does not tell.

    pid: another OS process, without a collection. Linux only.
    """
    if pid is None:
        gc.collect()
    if sys.platform == "linux":
        with open(f"/proc/{pid or 'self'}/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
