"""A program that has not set up logging sees what its service does: `homing.run` sets it up, and for nobody else."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest

import homing
from homing import gen
from homing.datagram import VARIABLE

from ..support import DEADLINE

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
