"""SIGUSR2 for `homing run --processes`: a successor for each process, one after the other.

Each takes over from its predecessor as by `homing run --takeover`. The supervising program continues, with the code
that it was started with: a second `homing run --takeover --processes` replaces it as well.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

from .processes import Processes, Say, Slot, how_ended
from .upgrade import FLAG, MOST_SECONDS, with_options


class Rolling:
    """Upgrades the processes on SIGUSR2, one upgrade at a time.

    refusal: why none can be upgraded now; "" if they can. busy: an upgrade is going on.
    """

    def __init__(self, processes: Processes, say: Say) -> None:
        self.refusal = "these processes are still starting"
        self._processes = processes
        self._say = say
        self._task: asyncio.Task[None] | None = None
        processes.upgrade = self.start

    @property
    def busy(self) -> bool:
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Starts an upgrade. Prints the reason if it cannot."""
        refusal = self.refusal
        if self.busy:
            refusal = "an upgrade is going on already"
        elif self._processes.stopping.is_set():
            refusal = "these processes are stopping"
        elif self._processes.taken_over is not None:
            refusal = "another program is taking over"
        if refusal:
            self._say(f"SIGUSR2: {refusal}")
            return
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        for slot in self._processes.slots:
            failure = await self._replace(slot)
            if self._processes.stopping.is_set():
                return
            if failure:
                left = len(self._processes.slots) - slot.number
                self._say(f"process {slot.number + 1} was not replaced: {failure}; the last {left} processes continue")
                return
        self._say(f"SIGUSR2: all {len(self._processes.slots)} processes are upgraded")

    async def _replace(self, slot: Slot) -> str:
        """Replaces one process. Returns "" or the reason why it continues."""
        if slot.process is None:
            return ""  # it has crashed, and is started again: from the new code
        slot.replaced.clear()
        command = slot.command if FLAG in sys.argv else with_options(slot.command, FLAG)
        slot.successor = asyncio.create_task(self._processes.start(slot.number, command))
        try:
            successor = await slot.successor
        except OSError as error:
            slot.successor = None
            return f"its successor cannot be started: {error.strerror or error}"
        self._say(f"SIGUSR2: OS process {successor.pid} is to take over from process {slot.number + 1}")
        ended, replaced = asyncio.create_task(successor.wait()), asyncio.create_task(slot.replaced.wait())
        try:
            await asyncio.wait((ended, replaced), timeout=MOST_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if replaced.done():
                return ""
            if not ended.done():
                with suppress(ProcessLookupError):
                    successor.kill()
            how = how_ended(await ended)
            slot.successor = None
            return f"{how} that was to take over"
        finally:
            ended.cancel()
            replaced.cancel()
