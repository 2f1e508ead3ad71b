"""`homing run --reload`: runs a program and, when one of its files changes, a successor that takes over its sockets.

A successor that cannot start changes nothing: the program that serves continues.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from contextlib import suppress

from . import upgrade_signal
from .config import hangup
from .config.settings import Settings
from .modules import VARIABLE
from .processes import HANG_SECONDS, USAGE_ERROR, die_with_parent, how_ended
from .saying import say
from .upgrade import FLAG, same_command

LOOK_SECONDS = 0.2
"""Seconds between two looks at the files. A change counts when two looks find the same: an editor may write a file in
several steps."""

HANDOVER_SECONDS = 5.0
"""Seconds that a successor gets before it is killed for a newer one. To kill it while it takes over would leave nobody
who serves; most have then started in order, or have failed."""

LONGEST_LINE = 1 << 24
"""Most bytes of a line of a report: 5000 files whose paths are the longest possible."""

Mark = tuple[int, int, int] | None
"""The time of the last change of a file, its size and number; None if there is no such file."""


def mark_of(file: str) -> Mark:
    """Returns the mark of a file, which differs after each change."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class Files:
    """The files that are watched."""

    def __init__(self) -> None:
        self._marks: dict[str, Mark] = {}

    def watch(self, files: Sequence[str]) -> None:
        """Watches more files, from their state now on; those that are watched already, from the state known."""
        for file in files:
            self._marks.setdefault(file, mark_of(file))

    async def changed(self) -> list[str]:
        """Returns the files that have changed since the last call, once they do not change any more."""
        changed: dict[str, None] = {}
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = {file: mark_of(file) for file in self._marks}
            found = [file for file, mark in now.items() if mark != self._marks[file]]
            self._marks.update(now)
            if changed and not found:
                return list(changed)
            changed.update(dict.fromkeys(found))


class Program:
    """One run of the program. serving: set when it serves. reported: it has sent a report.
    broken: a file of the project has a fault. all_read: ends when it has ended and its report is read."""

    def __init__(self, process: asyncio.subprocess.Process, report: int, files: Files) -> None:
        self.process = process
        self.reported = self.broken = False
        self.serving = asyncio.Event()
        self.ended = asyncio.create_task(process.wait())
        self._files = files
        self.all_read = asyncio.create_task(self._read(report))

    async def _read(self, report: int) -> None:
        reader = asyncio.StreamReader(limit=LONGEST_LINE)
        pipe = os.fdopen(report, "rb")
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            while line := await reader.readline():
                record = json.loads(line)
                self.reported = True
                self.broken = bool(record.get("broken"))
                self._files.watch(record.get("files", ()))
                if record.get("serving"):
                    self.serving.set()
        finally:
            transport.close()

    def send(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)


class Development:
    """Runs this command without `--reload`, and its successors. The file of the configuration is watched as well."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._files = Files()
        self._files.watch(list(filter(None, [settings.command.config])))
        self._programs: set[Program] = set()
        self._stopping = asyncio.Event()
        self._serving: Program | None = None
        self._starting: Program | None = None

    async def run(self) -> int:
        """Runs until a signal comes, the application has ended in order, or the command itself is wrong. Returns the
        exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        upgrade_signal.call(lambda: _say("SIGUSR2 is not needed: a changed file starts a successor"))
        if self._settings.command.config:
            hangup.call(self._hung_up, self.stop)
        changing = asyncio.create_task(self._files.changed())
        code: int | None = None
        self._starting = await self._start()
        while code is None and not self._stopping.is_set():
            await self._something(changing)
            if changing.done():
                _say(f"changed: {', '.join(map(os.path.relpath, changing.result()))}")
                changing = asyncio.create_task(self._files.changed())
                await self._start_successor()
            else:
                code = self._look()
        changing.cancel()
        return await self._end() if code is None else code

    def stop(self) -> None:
        """Stops the program in order; a second call at once."""
        if not self._stopping.is_set():
            self._stopping.set()
            asyncio.get_running_loop().call_later(
                self._settings.options.stop_timeout + HANG_SECONDS, self._send, signal.SIGKILL
            )
            current = self._starting or self._serving
            if current is not None:
                current.send(signal.SIGTERM)
        else:
            self._send(signal.SIGTERM)

    def _hung_up(self) -> None:
        if self._serving is not None:
            self._serving.send(signal.SIGHUP)

    def _send(self, number: int) -> None:
        for program in tuple(self._programs):
            program.send(number)

    async def _end(self) -> int:
        """Waits for the end of all. A predecessor that has handed over stops by itself; a signal would hurry it."""
        current = self._starting or self._serving
        if current is None:
            return 0
        await current.all_read
        if current is not self._serving and self._serving is not None and not current.serving.is_set():
            current = self._serving
            current.send(signal.SIGTERM)
        await asyncio.gather(*(program.ended for program in self._programs))
        return min(abs(current.ended.result()), 1)

    # --- the programs --------------------------------------------------------------------------------------

    async def _start(self, *more: str) -> Program:
        report, write = os.pipe()
        try:
            # In a session of its own: a terminal's Ctrl-C reaches this program, which passes it on. No .pyc files:
            # Python takes one for up to date if a source has changed within its second, and kept its size.
            process = await asyncio.create_subprocess_exec(
                *same_command("--no-reload", *more),
                start_new_session=True,
                preexec_fn=die_with_parent,
                pass_fds=(write,),
                env={**os.environ, VARIABLE: str(write), "PYTHONDONTWRITEBYTECODE": "1"},
            )
        except BaseException:
            os.close(report)
            raise
        finally:
            os.close(write)
        program = Program(process, report, self._files)
        self._programs.add(program)
        program.ended.add_done_callback(lambda _: self._programs.discard(program))
        if self._stopping.is_set():  # the signal came meanwhile
            program.send(signal.SIGTERM)
        return program

    async def _start_successor(self) -> None:
        if self._starting is not None:
            await self._finish(self._starting)
        self._starting = await self._start(*((FLAG,) if self._serving is not None else ()))

    async def _finish(self, starting: Program) -> None:
        """Ends a start because a file has changed since: there is to be one at a time."""
        serving = asyncio.create_task(starting.serving.wait())
        grace = HANDOVER_SECONDS if self._serving is not None else 0
        await asyncio.wait((serving, starting.ended), timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        serving.cancel()
        if starting.serving.is_set():
            self._look()
        elif not starting.ended.done():
            starting.send(signal.SIGKILL)
            await starting.ended

    async def _something(self, changing: asyncio.Task[list[str]]) -> None:
        """Waits for a change, for the end of a program, for one that serves, or for a signal."""
        events = [self._stopping.wait()]
        if self._starting is not None:
            events.append(self._starting.serving.wait())
        tasks = [asyncio.create_task(event) for event in events]
        ends = [program.ended for program in (self._starting, self._serving) if program is not None]
        await asyncio.wait((changing, *tasks, *ends), return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()

    def _look(self) -> int | None:
        """Notes which program serves now. Returns an exit code if there is nothing more to do."""
        starting, serving = self._starting, self._serving
        if starting is not None and starting.serving.is_set():
            self._serving, self._starting = starting, None  # its predecessor ends by itself
        elif starting is not None and starting.ended.done():
            self._starting = None
            code = starting.ended.result()
            if serving is None and (code == 0 or not starting.reported or _is_usage_error(starting)):
                return min(abs(code), USAGE_ERROR)
            goes_on = f"OS process {serving.process.pid} continues to serve" if serving else "nothing serves now"
            _say(f"the program does not start ({how_ended(code)}): {goes_on}; waiting for a changed file")
        elif serving is not None and serving.ended.done():
            self._serving = None
            code = serving.ended.result()
            if starting is None and code == 0:
                return 0
            if starting is None:
                _say(f"{how_ended(code)}; waiting for a changed file")
        return None


def _is_usage_error(program: Program) -> bool:
    """Returns True if no change of a file can help."""
    return program.ended.result() == USAGE_ERROR and not program.broken


def _say(text: str) -> None:
    say(f"homing run: {text}")
