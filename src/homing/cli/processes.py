"""`homing run --processes`: the same application in several OS processes, one for each core, that share their ports."""

from __future__ import annotations

import asyncio
import ctypes
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from ..node.signals import Late, ignore_late_signals_at_exit, replace_handlers
from . import upgrade_signal

Say = Callable[[str], None]

RESTART_SECONDS = 1.0
"""Seconds until a process that crashed is started again."""

MOST_RESTARTS = 5
WITHIN_SECONDS = 30.0
"""More restarts than that, of all processes together, in that time stop all of them: the application cannot work."""

HANG_SECONDS = 5.0
"""Seconds beyond the stop timeout after which a process that does not end is killed."""

USAGE_ERROR = 2
"""The exit code of a command that fails however often it is repeated."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Processes:
    """Starts one OS process for each command and restarts it if it crashes, until all have ended in order, one of them
    cannot run, or a signal stops them. The first SIGINT or SIGTERM stops them in order, a second one at once."""

    def __init__(self, commands: Sequence[Sequence[str]], stop_timeout: float, say: Say) -> None:
        self._commands = commands
        self._stop_timeout = stop_timeout
        self._say = say
        self._running: set[asyncio.subprocess.Process] = set()
        self._restarts: deque[float] = deque()
        self._stopping = asyncio.Event()
        self._stopped_at = 0.0

    async def run(self) -> int:
        """Runs all. Returns the exit code: 0 if all have ended in order, else 1."""
        loop = asyncio.get_running_loop()
        before: dict[int, Any] = dict.fromkeys((signal.SIGINT, signal.SIGTERM), signal.SIG_DFL)
        for number in before:
            loop.add_signal_handler(number, self.stop)
        upgrade_signal.call(self._no_upgrade)
        code = max(await asyncio.gather(*[self._keep(command) for command in self._commands]))
        ignore_late_signals_at_exit()
        late = Late(self._stopped_at, before)
        late.ending = False
        replace_handlers(loop, dict.fromkeys(before, late.received))
        return code

    def stop(self) -> None:
        """Stops all processes."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._stopped_at = time.monotonic()
            asyncio.get_running_loop().call_later(self._stop_timeout + HANG_SECONDS, self._kill)
        for process in self._running:
            process.send_signal(signal.SIGTERM)

    def _no_upgrade(self) -> None:
        self._say("several processes are upgraded by a second `homing run --takeover --processes`, not by SIGUSR2")

    def _kill(self) -> None:
        for process in self._running:
            self._say(f"process {process.pid} does not end and is killed")
            process.kill()

    async def _keep(self, command: Sequence[str]) -> int:
        """Runs one command, again and again while it crashes. Returns 0 if the last run ended in order, else 1."""
        while True:
            code = await self._once(command)
            if code == 0 or self._stopping.is_set():
                return min(abs(code), 1)
            if code == USAGE_ERROR or self._too_often():
                self._say(f"{_how(code)}: all are stopped")
                self.stop()
                return 1
            self._say(f"{_how(code)}: it is started again")
            try:
                await asyncio.wait_for(self._stopping.wait(), RESTART_SECONDS)
            except TimeoutError:
                continue
            return 1

    async def _once(self, command: Sequence[str]) -> int:
        # In a session of its own: otherwise it would receive a terminal's Ctrl-C twice, from the terminal and from us.
        process = await asyncio.create_subprocess_exec(*command, start_new_session=True, preexec_fn=_die_with_parent)
        self._running.add(process)
        if self._stopping.is_set():  # the signal came while the process was being started
            process.send_signal(signal.SIGTERM)
        try:
            return await process.wait()
        finally:
            self._running.discard(process)

    def _too_often(self) -> bool:
        now = asyncio.get_running_loop().time()
        self._restarts.append(now)
        while self._restarts[0] <= now - WITHIN_SECONDS:
            self._restarts.popleft()
        return len(self._restarts) > MOST_RESTARTS


def _how(code: int) -> str:
    return f"a process was ended by signal {-code}" if code < 0 else f"a process failed with exit code {code}"


def _die_with_parent() -> None:
    """Runs in the new process: lets the kernel stop it when the supervising process ends, in any way (prctl(2))."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
