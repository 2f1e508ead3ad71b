"""Ending processes from outside and waiting until they have ended: an exit signal, then `kill`, then without them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from ...gen import PID
from ..mailbox.envelope import exit_signal

if TYPE_CHECKING:
    from ..core import Core
    from .process import Process

KILL_TIMEOUT = 1.0
"""Seconds that killed processes get to let their callbacks see the cancellation, and then their `terminate`."""


async def end_and_wait(
    core: Core, sender: PID, pids: Iterable[PID], reason: Exception, timeout: float | None
) -> dict[PID, Exception]:
    """Ends processes, all at the same time, and returns when they have ended. Gives the reasons that they ended for;
    those that had ended before are not in it.

    sender: in whose name; an exit signal in the parent's cannot be trapped.
    timeout: seconds that they get to end for `reason`; those that have not are killed. 0: killed at once, None: no
        limit. A killed process whose `terminate` takes longer than `KILL_TIMEOUT` has it cancelled; if it swallows
        even that, or blocks a thread of its own, it is left behind: nothing leads to it, and everybody has been told
        that it ended.
    """
    processes = [process for pid in pids if (process := core.processes.get(pid)) is not None]
    ending = _Ending(processes)
    if timeout != 0:
        for process in processes:
            process.put_runtime(exit_signal(sender, reason), 2)
        await ending.wait(timeout)
        for process in tuple(ending.left.values()):
            core.log.warning("%s did not end within %g s and is killed", process, timeout)
    for _ in range(2):  # the second time it cancels a `terminate` that does not end
        for process in tuple(ending.left.values()):
            process.kill()
        await ending.wait(KILL_TIMEOUT)
    for process in tuple(ending.left.values()):
        core.log.error("%s %s; it is left behind", process, process.stuck)
        process.abandon()
    return {process.id: process.reason for process in processes if process.reason is not None}


class _Ending:
    """Processes that are to end. `left`: those that have not."""

    def __init__(self, processes: Iterable[Process]) -> None:
        self.left = {process.id: process for process in processes}
        self._done = asyncio.Event()
        for pid, process in tuple(self.left.items()):
            process.when_ended(partial(self._ended, pid))

    def _ended(self, pid: PID) -> None:
        self.left.pop(pid, None)
        self._done.set()

    async def wait(self, seconds: float | None) -> None:
        """Returns when none is left, or after `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.left:
                    self._done.clear()
                    await self._done.wait()
