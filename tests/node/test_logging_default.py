"""A program that has not set up logging sees what its service does: `homing.run` sets it up, and for nobody else. And
one whose handlers raise is told."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

import homing
from homing import gen
from homing.datagram import VARIABLE
from homing.node.logs import PROCESS_LOGGER, Complaints, ContextAdapter

from ..support import DEADLINE

PROCESS_LOG = ContextAdapter(PROCESS_LOGGER, {})

SERVER = """
import logging, sys
import homing
from homing import act, gen, meta

class Server(act.Actor):
    async def init(self):
        await self.spawn_meta(meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1")))
        self.log.info("up\\x1b[2J")
        self.send(self.pid, "end")

    def handle_message(self, sender, message):
        raise gen.TerminateNormal
"""


def printed(program: str) -> str:
    """What a program prints to stderr."""
    command = [sys.executable, "-W", "error", "-c", SERVER + program]
    environment = {**os.environ, VARIABLE: "portable"}  # else a missing extension would be warned of
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return done.stderr


def test_where_nobody_has_set_up_logging_run_logs_to_stderr_in_plain_lines() -> None:
    lines = printed("homing.run(Server)").splitlines()
    assert any(line.startswith("INFO homing.meta: UDP server listens on 127.0.0.1:") for line in lines)
    assert "INFO homing.process: up\\x1b[2J" in lines


@pytest.mark.parametrize(
    "setup",
    [
        "logging.basicConfig(level=logging.WARNING)",
        "logging.getLogger('homing').addHandler(logging.NullHandler())",
        "logging.getLogger('homing').setLevel(logging.ERROR)",
        "logging.getLogger().setLevel(logging.ERROR)",
    ],
)
def test_where_somebody_has_set_it_up_nothing_changes(setup: str) -> None:
    assert printed(f"{setup}\nhoming.run(Server)") == ""


def test_what_is_set_up_later_holds_from_then_on_and_nothing_is_printed_twice() -> None:
    program = """
class Later(Server):
    async def init(self):
        self.log.info("before")
        logging.basicConfig(level=logging.INFO, format="own %(message)s", stream=sys.stderr)
        self.log.info("after")
        self.send(self.pid, "end")

homing.run(Later)
"""
    assert printed(program).splitlines() == ["INFO homing.process: before", "own after"]


def test_nothing_of_it_is_left_when_run_has_returned() -> None:
    logger = logging.getLogger("homing")
    before = (list(logger.handlers), logger.level, list(logging.getLogger().handlers))

    async def main(node: homing.Node) -> None:
        """Does nothing."""

    homing.run(main, options=gen.NodeOptions(handle_signals=False))
    assert (list(logger.handlers), logger.level, list(logging.getLogger().handlers)) == before


class Raising(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise ValueError("the disk is full")


@pytest.fixture
def raising_handler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The program's log handler raises, and standard error was last told of that long ago."""
    logger, handler, before = logging.getLogger("homing"), Raising(), Complaints.total
    logger.addHandler(handler)
    monkeypatch.setattr(Complaints, "told_at", float("-inf"))
    monkeypatch.setattr(Complaints, "untold", 0)
    yield
    logger.removeHandler(handler)
    Complaints.total = before


@pytest.mark.usefixtures("raising_handler")
@pytest.mark.skipif(sys.platform != "linux", reason="polls a pipe")
def test_a_complaint_that_nobody_takes_holds_up_nobody_and_is_told_with_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader, writer = os.pipe()
    with open(reader, "rb", 0) as pipe, open(writer, "w", buffering=1) as stderr:
        os.set_blocking(writer, False)
        with suppress(BlockingIOError):
            while True:
                os.write(writer, bytes(4096))
        monkeypatch.setattr(sys, "stderr", stderr)
        for _ in range(3):
            PROCESS_LOG.warning("not handled")
        os.set_blocking(reader, False)
        while pipe.read(1 << 20):
            pass
        monkeypatch.setattr(Complaints, "told_at", float("-inf"))
        PROCESS_LOG.warning("not handled")
        assert b"raised ValueError('the disk is full') (4 records since the last report)\n" in (pipe.read(4096) or b"")
