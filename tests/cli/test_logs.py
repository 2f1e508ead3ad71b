"""What the commands log is lines that nobody but the program has written."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from homing.node.logs import PlainFormatter, escaped

from ..examples.test_examples import terminate
from ..faults.figures import figure
from ..support import UDPPeer
from .nodes import run, udp_port


def test_case_43_the_text_of_an_exception_can_neither_steer_the_terminal_nor_look_like_another_record() -> None:
    try:
        raise ValueError("\x1b[2J\r\nINFO homing: all is well\x00\x9b")
    except ValueError:
        record = logging.LogRecord("homing", logging.ERROR, "", 0, "%s", ("x\x1by",), sys.exc_info())
    lines = PlainFormatter("prefix ").format(record).split("\n")
    assert lines[0] == "prefix ERROR homing: x\\x1by"
    assert all(line.startswith("  ") and line.isprintable() for line in lines[1:])
    assert lines[-2:] == ["  ValueError: \\x1b[2J\\r", "  INFO homing: all is well\\x00\\x9b"]
    figure(43, "control characters of an exception's text that reached the terminal", 0)


def test_what_is_printable_stays_as_it_is() -> None:
    assert escaped("Größe 5 µs, 日本") == "Größe 5 µs, 日本"


async def test_a_crash_of_a_running_service_is_logged_in_such_lines(runtime: Path, peer: UDPPeer) -> None:
    async with run(runtime, "served:Service") as running:
        peer.send(b"crash", ("127.0.0.1", await udp_port(running)))
        await running.line_with("  RuntimeError: asked for")
        assert await terminate(running) == 0
