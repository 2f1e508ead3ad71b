"""Whole programs: ended under load, killed, and run with a wall clock that jumps."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ..examples.test_examples import Program, program
from ..meta.servers import HOST, bind_again
from ..support import DEADLINE, eventually
from .figures import figure

QUERY = b"%c%c\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x00\x00\x01\x00\x01"
OUTSTANDING = 64


class Load:
    """Queries, so many unanswered at any time; each has a number."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.connect((HOST, port))
        self.sent = 0
        self.answered = 0

    def turn(self) -> int:
        """Takes the answers that are there, asks anew, and gives how many were answered in all."""
        while (answer := self._receive()) is not None:
            self.answered += bool(answer)
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            while self.sent - self.answered < OUTSTANDING:
                self.socket.send(QUERY % divmod(self.sent % 65536, 256))
                self.sent += 1
        return self.answered

    def _receive(self) -> bytes | None:
        """An answer; b"" for the notice that nobody has the port any more; None: there is nothing."""
        try:
            return self.socket.recv(512)
        except ConnectionRefusedError:
            return b""
        except BlockingIOError:
            return None


@contextlib.asynccontextmanager
async def service(workers: int) -> AsyncIterator[tuple[Program, int]]:
    async with program("-m", "tests.faults.service", str(workers)) as running:
        yield running, await running.port()


async def numbers(running: Program, word: str) -> list[int]:
    """The numbers of the line that begins with this word."""
    return [int(text) for text in (await running.line_with(word)).split()[1::2]]


async def test_case_29_a_service_that_is_told_to_end_answers_all_that_it_has_taken() -> None:
    async with service(4) as (running, port):
        load = Load(port)
        with load.socket:
            await eventually(lambda: load.turn() > 2000, "two thousand answers")
            before, begin = load.answered, time.monotonic()
            running.process.send_signal(signal.SIGTERM)
            end = asyncio.create_task(running.line_with("dropped"))
            await eventually(lambda: load.turn() and end.done(), "the end")
            taken, answered = [int(text) for text in running.output[-2].split()[1::2]]
            assert await running.end() == 0
            spent = time.monotonic() - begin
            load.turn()
        assert "reason TerminateShutdown\n" in running.output
        assert taken == answered
        assert load.answered == answered
    figure(29, "queries taken before the end and answered", f"{taken}, {answered}")
    figure(29, "answered after SIGTERM, ms to the exit, exit code", f"{answered - before}, {spent * 1000:.0f}, 0")
    bind_again((HOST, port))


async def test_case_29_the_port_of_a_service_that_is_killed_is_free_at_once() -> None:
    async with service(4) as (running, port):
        running.process.kill()
        assert await running.end() == -signal.SIGKILL
        bind_again((HOST, port))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("dnsperf") is None, reason="dnsperf is not installed")
async def test_case_29_dnsperf_gets_an_answer_to_all_that_was_taken_before_the_end(tmp_path: Path) -> None:
    (tmp_path / "queries").write_text("example. A\n")
    async with service(4) as (running, port):
        command = ("dnsperf", "-s", HOST, "-p", str(port), "-d", str(tmp_path / "queries"), "-l", "4", "-t", "1")
        pipe = asyncio.subprocess.PIPE
        client = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
        await asyncio.sleep(2)
        running.process.send_signal(signal.SIGTERM)
        taken, answered = await numbers(running, "taken")
        assert await running.end() == 0
        output = (await asyncio.wait_for(client.communicate(), 20))[0].decode()
    completed = int(output.partition("Queries completed:")[2].split()[0])
    assert taken == answered == completed > 0
    figure(
        29, "queries of dnsperf taken before SIGTERM, answered, seen by dnsperf", f"{taken}, {answered}, {completed}"
    )


# --- clocks ---------------------------------------------------------------------------------------------------


def run_clock(*command: str, **more: str) -> dict[str, list[str]]:
    """What `tests.faults.clock` tells, by the first word of each line."""
    result = subprocess.run(
        [*command, sys.executable, "-W", "error", "-m", "tests.faults.clock"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **more},
        capture_output=True,
        text=True,
        timeout=4 * DEADLINE,
        check=True,
    )
    found: dict[str, list[str]] = {}
    for word, *facts in map(str.split, result.stdout.splitlines()):
        found.setdefault(word, []).extend(facts)
    return found


def clock_can_be_moved_on() -> bool:
    command = ["unshare", "-T", "--monotonic", "1", "true"]
    return bool(shutil.which("unshare")) and subprocess.run(command, capture_output=True).returncode == 0


def check(found: dict[str, Any]) -> None:
    assert found["fired"] == ["+0d", "+30d", "-1d"], "a timer of an hour has fired, or one of 50 ms has not"
    assert found["early"] == ["0"]
    assert found["supervisor"] == ["gone"], "three crashes within the hour, of which two are allowed"


@pytest.mark.skipif(shutil.which("faketime") is None, reason="faketime is not installed")
def test_case_28_a_wall_clock_that_jumps_moves_no_timer_and_forgets_no_restart() -> None:
    found = run_clock("faketime", "-f", "+0d", FAKETIME_NO_CACHE="1", DONT_FAKE_MONOTONIC="1")
    assert found["moved"] == ["30", "-1", "0"]
    check(found)
    figure(28, "ms that the latest timer of 50 ms was late, the wall clock jumping by 30 days", found["late"][0])


@pytest.mark.skipif(not clock_can_be_moved_on(), reason="makes a time namespace: Linux, CAP_SYS_ADMIN and unshare only")
def test_case_28_a_machine_that_has_run_for_thirty_years_is_like_any_other() -> None:
    found = run_clock("unshare", "-T", "--monotonic", "1000000000")
    check(found)
    figure(28, "ms that the latest timer was late after thirty years of uptime", found["late"][0])
