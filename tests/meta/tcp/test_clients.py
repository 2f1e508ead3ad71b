"""Programs that others wrote, as peers of a TCP server."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from typing import Any

import pytest

from homing import act, meta

from ...support import Probe, eventually
from .players import HOST, open_echo, open_tcp


async def output(*command: str, given: bytes = b"") -> bytes:
    """Runs a program to its end, with this on its standard input, and gives what it prints."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    async with asyncio.timeout(20):
        return (await process.communicate(given))[0]


@pytest.mark.skipif(shutil.which("nc") is None, reason="nc is not installed")
async def test_netcat_that_ends_its_side_gets_all_answers(probe: Probe) -> None:
    server = await open_echo(probe)
    answers = await output("nc", "-N", HOST, str(server.local_address[1]), given=b"one\ntwo\nthree\n")
    assert answers == b"OK: one\nOK: two\nOK: three\n"


@pytest.mark.skipif(shutil.which("socat") is None, reason="socat is not installed")
async def test_socat_sends_a_megabyte_and_gets_it_back(probe: Probe) -> None:
    server = await open_echo(probe)
    lines = b"".join(b"%07d\n" % number for number in range(131_072))
    answers = await output("socat", "-t20", "-", f"TCP:{HOST}:{server.local_address[1]}", given=lines)
    assert answers == lines.replace(b"\n", b"\nOK: ").removesuffix(b"OK: ").replace(b"0000000\n", b"OK: 0000000\n", 1)
    await eventually(lambda: server.statistics().open == 0)


class Nameserver(act.Actor):
    """Answers each question with itself and no records."""

    def handle_message(self, sender: Any, message: Any) -> None:
        flags = (message.data[2] | 0x84).to_bytes()
        self.reply(message, message.data[:2] + flags + b"\x80" + message.data[4:])


@pytest.mark.skipif(shutil.which("dig") is None, reason="dig is not installed")
async def test_dig_asks_over_tcp(probe: Probe) -> None:
    pid = await probe.node.spawn(Nameserver)
    server = await open_tcp(probe, frame=meta.LengthPrefix(2), process=pid, announce=False)
    port = str(server.local_address[1])
    command = ("dig", "+tcp", "+keepopen", "+noedns", "+tries=1", f"@{HOST}", "-p", port, "one.example", "two.example")
    printed = (await output(*command)).decode()
    assert printed.count("status: NOERROR") == 2, printed
    await eventually(lambda: server.statistics().open == 0)
    assert (server.statistics().received, server.statistics().accepted) == (2, 1)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_speaks_to_a_server_of_lines(probe: Probe) -> None:
    class Dictionary(act.Actor):
        def handle_message(self, sender: Any, message: Any) -> None:
            if isinstance(message, meta.MessageTCPConnect):
                self.reply(message, b"220 ready")
            elif isinstance(message, meta.MessageTCP):
                self.reply(message, b"250 ok" if message.data != b"QUIT" else b"221 bye")
                if message.data == b"QUIT":
                    message.close()

    pid = await probe.node.spawn(Dictionary)
    server = await open_tcp(probe, frame=meta.Delimiter(b"\r\n"), process=pid)
    printed = await output("curl", "-sS", f"dict://{HOST}:{server.local_address[1]}/d:word")
    assert b"221 bye" in printed
