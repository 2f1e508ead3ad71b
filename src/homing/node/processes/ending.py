"""Ends processes from outside and waits until they have ended: by an exit signal, then by `kill`, then without them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from ...gen import PID, ProcessState
from ..mailbox.envelope import exit_signal

if TYPE_CHECKING:
    from ..core import Core
    from .process import Process

KILL_TIMEOUT = 1.0
"""Seconds for killed processes to handle the cancellation, and then again for their `terminate`."""


async def end_and_wait(
    core: Core, sender: PID, pids: Iterable[PID], reason: Exception, timeout: float | None
) -> dict[PID, Exception]:
    """Ends processes, all at the same time, and returns when they have ended. Returns their reasons; processes that had
    ended before are not included.

    sender: the sender of the exit signal; a signal from the parent cannot be trapped.
    timeout: seconds for them to end for `reason`; processes that have not ended then are killed. 0: killed at once,
        None: no limit. If the `terminate` of a killed process takes longer than `KILL_TIMEOUT`, it is cancelled; if it
        ignores even that, or blocks a thread of its own, the process is left behind: no address leads to it, and links
        and monitors are notified of its end.
    """
    ending, breathe, signal = _Ending(), core.scheduler.breathe, exit_signal(sender, reason)
    for pid in pids:
        process = core.processes.get(pid)
        if process is not None:
            ending.add(process)
            if timeout == 0:
                process.kill()
            else:
                process.put_exit(signal)
            await breathe(wakes=timeout == 0)
    if timeout != 0:
        await ending.wait(timeout)
        for process in ending.left():
            core.log.warning("%s did not end within %g s and is killed", process, timeout)
    else:
        await ending.wait(KILL_TIMEOUT)
    for _ in range(2 if timeout != 0 else 1):  # the second kill cancels a `terminate` that does not end
        for process in ending.left():
            process.kill()
            await breathe(wakes=True)
        await ending.wait(KILL_TIMEOUT)
    for process in ending.left():
        core.log.error("%s %s; it is left behind", process, process.stuck)
        process.abandon()
    return {process.id: process.reason for process in ending.all if process.reason is not None}


class _Ending:
    """The processes to be ended: `all`."""

    def __init__(self) -> None:
        self.all: list[Process] = []
        self._count = 0
        self._done = asyncio.Event()
        self._done.set()

    def add(self, process: Process) -> None:
        """Adds a process that has not ended."""
        self.all.append(process)
        self._count += 1
        self._done.clear()
        process.when_ended(self._ended)

    def left(self) -> list[Process]:
        """Returns the processes that have not ended."""
        return [process for process in self.all if process.state is not ProcessState.TERMINATED] if self._count else []

    def _ended(self) -> None:
        self._count -= 1
        if self._count == 0:
            self._done.set()

    async def wait(self, seconds: float | None) -> None:
        """Returns when all have ended, or after `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._done.wait()
