"""`homing run --processes`: the same application in several OS processes, one for each core, that share their ports."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from ..datagram.sockets import inherited
from ..datagram.sockets.shared.keeper import Keeper, can_share
from ..node.signals import Late, ignore_late_signals_at_exit, replace_handlers
from . import upgrade_signal
from .config import hangup

Say = Callable[[str], None]

RESTART_SECONDS = 1.0
"""Seconds until a process that crashed is started again. Datagrams for it wait meanwhile."""

MOST_RESTARTS = 5
WITHIN_SECONDS = 30.0
"""More restarts than that, of all processes together, in that time stop all of them: the application cannot work."""

HANG_SECONDS = 5.0
"""Seconds beyond the stop timeout after which a process that does not end is killed."""

USAGE_ERROR = 2
"""The exit code of a command that fails however often it is repeated."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def _send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Sends a signal, unless the process has just ended."""
    with suppress(ProcessLookupError):
        process.send_signal(number)


class Slot:
    """One of the processes. number: from 0 on. command: its command line.

    process: the OS process that runs; None between two. successor: starts the one that takes over from it, if any.
    replaced: set once a successor has taken over.
    """

    def __init__(self, number: int, command: Sequence[str]) -> None:
        self.number = number
        self.command = command
        self.process: asyncio.subprocess.Process | None = None
        self.successor: asyncio.Task[asyncio.subprocess.Process] | None = None
        self.replaced = asyncio.Event()


class Processes:
    """Starts one OS process for each command and restarts it if it crashes, until all have ended in order, one of them
    cannot run, or a signal stops them. The first SIGINT or SIGTERM stops them in order, a second one at once.

    keeper: keeps the sockets that they share; None if this system cannot.
    taken_over: while another program takes over from all of them: its result, whether it has. Processes that end
        meanwhile are started again only if it has not.
    """

    def __init__(self, commands: Sequence[Sequence[str]], stop_timeout: float, say: Say) -> None:
        self.slots = [Slot(number, command) for number, command in enumerate(commands)]
        self.keeper = Keeper(len(commands), say, inherited.kept()) if can_share() else None
        self.taken_over: asyncio.Future[bool] | None = None
        self.stopping = asyncio.Event()
        self.upgrade: Callable[[], None] = lambda: say("SIGUSR2: these processes cannot be upgraded")
        self._stop_timeout = stop_timeout
        self._say = say
        self._running: dict[asyncio.subprocess.Process, asyncio.Task[None]] = {}
        self._restarts: deque[float] = deque()
        self._stopped_at = 0.0
        self._reloads = False

    async def run(self) -> int:
        """Runs all. Returns the exit code: 0 if all have ended in order, else 1."""
        loop = asyncio.get_running_loop()
        before: dict[int, Any] = dict.fromkeys((signal.SIGINT, signal.SIGTERM), signal.SIG_DFL)
        for number in before:
            loop.add_signal_handler(number, self.stop)
        upgrade_signal.call(lambda: self.upgrade())
        code = max(await asyncio.gather(*[self._keep(slot) for slot in self.slots]))
        if self.keeper is not None:
            self.keeper.close()
        ignore_late_signals_at_exit()
        late = Late(self._stopped_at, before)
        late.ending = False
        replace_handlers(loop, dict.fromkeys(before, late.received))
        return code

    def stop(self) -> None:
        """Stops all processes."""
        if not self.stopping.is_set():
            self.stopping.set()
            self._stopped_at = time.monotonic()
            asyncio.get_running_loop().call_later(self._stop_timeout + HANG_SECONDS, self._kill)
        self._signal(signal.SIGTERM)

    def pass_hangups_on(self, first: Callable[[], object]) -> None:
        """Calls `first` on each SIGHUP, and passes it on to all processes, which read their file again. To be called
        in a running event loop."""
        self._reloads = True
        hangup.call(lambda: self._reload(first), self.stop)

    def _reload(self, first: Callable[[], object]) -> None:
        first()
        self._signal(signal.SIGHUP)

    def _signal(self, number: signal.Signals) -> None:
        for process in self._running:
            _send(process, number)

    def _kill(self) -> None:
        for process in self._running:
            self._say(f"process {process.pid} does not end and is killed")
            _send(process, signal.SIGKILL)

    async def _keep(self, slot: Slot) -> int:
        """Runs one process, again and again while it crashes. Returns 0 if the last run ended in order, else 1."""
        while True:
            code = await self._once(slot)
            if (outcome := await self._outcome()) is None:
                if code == 0 or self.stopping.is_set():
                    self._ended(slot)
                    return min(abs(code), 1)
                if code == USAGE_ERROR or self._too_often():
                    self._say(f"{how_ended(code)}: all are stopped")
                    self.stop()
                    return 1
                self._say(f"{how_ended(code)}: it is started again")
                if await self._stopped_within(RESTART_SECONDS):
                    return 1
                outcome = await self._outcome()
            if outcome:
                return 0

    def _ended(self, slot: Slot) -> None:
        if self.keeper is not None:
            self.keeper.ended(slot.number)

    async def _outcome(self) -> bool | None:
        """Returns whether another program has taken over, as soon as that is known; None if none tries it, or a signal
        stops all."""
        if self.taken_over is None or self.stopping.is_set():
            return None
        taken_over, stopping = self.taken_over, asyncio.create_task(self.stopping.wait())
        await asyncio.wait((taken_over, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        return None if self.stopping.is_set() else taken_over.result()

    async def _stopped_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)
        return self.stopping.is_set()

    async def _once(self, slot: Slot) -> int:
        """Runs a process, and those that take over from it. Returns the exit code of the last one."""
        process = await self.start(slot.number, slot.command)
        while True:
            slot.process = process
            code = await process.wait()
            slot.process = None
            starting, slot.successor = slot.successor, None
            if starting is None:
                return code
            try:
                process = await starting
            except OSError:
                return code
            slot.replaced.set()

    async def start(self, number: int, command: Sequence[str]) -> asyncio.subprocess.Process:
        """Starts a command as the process of this number. Raises `OSError`."""
        # In a session of its own: otherwise it would receive a terminal's Ctrl-C twice, from the terminal and from us.
        begin = _die_with_parent_and_block if self._reloads else die_with_parent
        place = None if self.keeper is None else self.keeper.place(number)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                start_new_session=True,
                preexec_fn=begin,
                pass_fds=() if place is None else (place.child.fileno(),),
                env=None if place is None else {**os.environ, **place.variables},
            )
        finally:
            if place is not None:
                place.child.close()
        self._running[process] = asyncio.create_task(self._forget(process))
        if self.stopping.is_set():  # the signal came while the process was being started
            _send(process, signal.SIGTERM)
        return process

    async def _forget(self, process: asyncio.subprocess.Process) -> None:
        await process.wait()
        del self._running[process]

    def _too_often(self) -> bool:
        now = asyncio.get_running_loop().time()
        self._restarts.append(now)
        while self._restarts[0] <= now - WITHIN_SECONDS:
            self._restarts.popleft()
        return len(self._restarts) > MOST_RESTARTS


def how_ended(code: int) -> str:
    """Returns how a process has ended, in words."""
    return f"a process was ended by signal {-code}" if code < 0 else f"a process failed with exit code {code}"


def _die_with_parent_and_block() -> None:
    """As `die_with_parent`; and a SIGHUP waits until the new process can handle it."""
    hangup.block()
    die_with_parent()


def die_with_parent() -> None:
    """Runs in the new process: lets the kernel stop it when the supervising process ends, in any way (prctl(2))."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
