"""`homing run` and `homing tree` with a service of plain functions."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from ..support import UDPPeer
from .nodes import run, run_to_the_end, the_end, tree, udp_port


async def test_a_service_answers_and_the_tree_shows_its_functions_with_their_failures(
    runtime: Path, peer: UDPPeer
) -> None:
    async with run(runtime, "five_lines:service") as running:
        to = ("127.0.0.1", await udp_port(running))
        peer.send(b"bad", to)
        assert await peer.ask(b"hello", to) == b"OK: hello"
        code, text, _ = await tree(runtime, "five_lines")
        assert code == 0
        assert "five 1.0 (permanent application, running" in text
        assert re.search(r"─ five +\d+ +Responder \(function\) +sleep +0 +failures 1\n", text), text
        assert re.search(r"─ UDP 127\.0\.0\.1:\d+ +\d+ +UDPServer +sleep +0 +in 2, out 1, dropped 0\n", text), text
        for name in ("five.report", "five.prepare"):
            assert re.search(rf"─ {name} +\d+ +\w+ \(function\) +sleep +0 +failures 0\n", text), text
        running.process.send_signal(signal.SIGTERM)
        assert await the_end(running) == 0
    output = "".join(running.output)
    assert "five failed for a datagram from 127.0.0.1:" in output
    assert 'raise ValueError("bad packet")' in output


async def test_a_service_without_functions_is_not_started_and_told_why(runtime: Path) -> None:
    code, text = await run_to_the_end(runtime, "five_lines:empty")
    assert code == 1
    assert "not started: service='empty': it has no function to run" in text
    assert "Traceback" not in text
