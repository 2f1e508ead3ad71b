"""Each example runs as a program of its own, does its work on real packets, and ends in order on SIGTERM."""

from __future__ import annotations

import asyncio
import shutil
import signal
import struct
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ..support import DEADLINE, UDPPeer, free_port

ROOT = Path(__file__).parents[2]


class Program:
    """A running example and what it prints."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.output: list[str] = []

    async def line_with(self, text: str) -> str:
        """The next line that contains `text`."""
        stdout = self.process.stdout
        if stdout is None:
            raise AssertionError("the program has no output")
        async with asyncio.timeout(2 * DEADLINE):
            while line := (await stdout.readline()).decode():
                self.output.append(line)
                if text in line:
                    return line
        raise AssertionError(f"the program ended without {text!r}: {self.output}")

    async def port(self) -> int:
        """The port that it says it is listening on."""
        return int((await self.line_with("listening on port")).split()[-1])

    async def end(self) -> int:
        """Waits for its end and gives the exit code."""
        async with asyncio.timeout(2 * DEADLINE):
            return await self.process.wait()


@asynccontextmanager
async def program(
    *command: str, stderr: int | None = None, cwd: Path = ROOT, env: Mapping[str, str] | None = None
) -> AsyncIterator[Program]:
    """Runs Python with these arguments, warnings being errors, from the root of the repository or another directory."""
    pipe = asyncio.subprocess.PIPE
    arguments = (sys.executable, "-W", "error", *command)
    process = await asyncio.create_subprocess_exec(*arguments, cwd=cwd, env=env, stdin=pipe, stdout=pipe, stderr=stderr)
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        if process.stdin is not None:
            process.stdin.close()
        process._transport.close()  # type: ignore[attr-defined]


async def terminate(running: Program) -> int:
    running.process.send_signal(signal.SIGTERM)
    return await running.end()


async def test_five_lines_answer_a_datagram_and_end_in_order_on_sigterm(peer: UDPPeer, tmp_path: Path) -> None:
    port = free_port()
    source = tmp_path / "five_lines.py"
    source.write_text((ROOT / "examples" / "five_lines.py").read_text().replace("2345", str(port)))
    async with program(str(source), stderr=asyncio.subprocess.STDOUT) as running:
        await running.line_with("application echo (permanent) started")
        assert await peer.ask(b"hello", ("127.0.0.1", port)) == b"OK: hello"
        assert await terminate(running) == 0


async def test_echo_answers_a_datagram_and_ends_in_order_on_sigterm(peer: UDPPeer) -> None:
    async with program("examples/echo.py", "0") as running:
        port = await running.port()
        assert await peer.ask(b"hello", ("127.0.0.1", port)) == b"OK: hello"
        assert await terminate(running) == 0


@pytest.mark.skipif(shutil.which("nc") is None, reason="nc is not installed")
async def test_echo_answers_nc_as_its_docstring_says(peer: UDPPeer) -> None:
    async with program("examples/echo.py", "0") as running:
        port = await running.port()
        client = await asyncio.create_subprocess_exec(
            "nc",
            "-u",
            "-w1",
            "127.0.0.1",
            str(port),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(2 * DEADLINE):
            answer, _ = await client.communicate(b"hello\n")
        assert answer == b"OK: hello\n"


async def test_service_answers_and_ends_in_order_on_sigterm(peer: UDPPeer) -> None:
    async with program("examples/service.py", "0") as running:
        port = await running.port()
        assert await peer.ask(b"to be or not to be", ("127.0.0.1", port)) == b"6 words\n"
        assert await terminate(running) == 0


async def test_announce_sends_each_line_to_all_who_joined_and_ends_with_its_input(peer: UDPPeer) -> None:
    async with program("examples/announce.py", "0") as running:
        port = await running.port()
        peer.send(b"", ("127.0.0.1", port))
        await running.line_with("1 listening")
        stdin = running.process.stdin
        assert stdin is not None
        stdin.write(b"dinner is ready\n")
        assert (await peer.receive())[0] == b"dinner is ready\n"
        stdin.close()
        assert await running.end() == 0


async def test_unbroken_answers_each_question_once_although_it_is_killed_while_it_answers() -> None:
    async with program("examples/unbroken.py", str(free_port())) as running:
        assert await running.line_with("killed") == "killed 20 times, the socket was adopted 20 times\n"
        assert "answered in order: True" in await running.line_with("1000 questions")
        assert await running.line_with("none twice") == "none twice: True, dropped by the kernel: 0\n"
        assert await running.end() == 0


def dns_answer(query: bytes, *addresses: bytes) -> bytes:
    """An answer to `query` with these addresses, the name of each being written as a pointer to the question's."""
    records = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, len(data)) + data for data in addresses)
    return query[:2] + struct.pack("!5H", 0x8180, 1, len(addresses), 0, 0) + query[12:] + records


async def test_resolver_finds_the_addresses_of_names_although_answers_are_lost_forged_and_out_of_order(
    peer: UDPPeer,
) -> None:
    host, port = peer.address
    async with program(
        "examples/resolver.py", host, str(port), "one.example", "two.example", "none.example"
    ) as running:
        asked = {query[12:]: (query, source) for query, source in [await peer.receive() for _ in range(3)]}
        again, _ = await peer.receive()  # nobody has answered so far
        assert again[12:] in asked
        one, two, none = (asked[b"%c%b\7example\0\0\1\0\1" % (len(name), name)] for name in (b"one", b"two", b"none"))
        peer.send(b"\0\0" + dns_answer(two[0], bytes([6, 6, 6, 6]))[2:], two[1])  # another id
        peer.send(dns_answer(none[0]), none[1])
        peer.send(dns_answer(two[0], bytes([192, 0, 2, 3]), bytes([192, 0, 2, 4])), two[1])
        peer.send(dns_answer(one[0], bytes([192, 0, 2, 1])), one[1])
        assert await running.line_with("one.example") == "one.example 192.0.2.1\n"
        assert await running.line_with("two.example") == "two.example 192.0.2.3 192.0.2.4\n"
        assert await running.line_with("none.example") == "none.example no address\n"
        assert (await running.line_with("asked")).startswith("asked 3 answered 3 sent again")
        assert await running.end() == 0


async def test_resolver_is_not_poisoned_by_answers_to_another_port_with_another_id_or_to_another_question(
    peer: UDPPeer,
) -> None:
    host, port = peer.address
    async with program("examples/resolver.py", host, str(port), "one.example", "two.example") as running:
        (one, first), (two, second) = sorted([await peer.receive() for _ in range(2)], key=lambda asked: asked[0][12:])
        evil = bytes([6, 6, 6, 6])
        for number in range(60):
            wrong = (int.from_bytes(one[:2]) + 1 + number) % 65536
            peer.send(wrong.to_bytes(2) + dns_answer(one, evil)[2:], first)
        peer.send(dns_answer(one[:2] + two[2:], evil), first)  # the right id, and another question
        peer.send(one, first)  # the question itself
        peer.send(dns_answer(one, bytes([192, 0, 2, 1])), first)
        peer.send(dns_answer(two, bytes([192, 0, 2, 2])), second)
        assert await running.line_with("one.example") == "one.example 192.0.2.1\n"
        assert await running.line_with("two.example") == "two.example 192.0.2.2\n"
        assert await running.line_with("wrong guesses") == "wrong guesses 62\n"
        assert await running.end() == 0


async def test_resolver_takes_no_answer_after_a_hundred_wrong_ones(peer: UDPPeer) -> None:
    host, port = peer.address
    async with program("examples/resolver.py", host, str(port), "one.example") as running:
        question, source = await peer.receive()
        for number in range(100):
            wrong = (int.from_bytes(question[:2]) + 1 + number) % 65536
            peer.send(wrong.to_bytes(2) + dns_answer(question, bytes([6, 6, 6, 6]))[2:], source)
        peer.send(dns_answer(question, bytes([6, 6, 6, 6])), source)
        assert "100 wrong replies" in await running.line_with("one.example failed")
        assert await running.end() == 0


async def test_resolver_says_at_once_that_no_server_is_there() -> None:
    async with program("examples/resolver.py", "127.0.0.1", str(free_port()), "one.example") as running:
        assert "Connection refused" in await running.line_with("one.example failed")
        assert await running.end() == 0


@pytest.mark.skipif(shutil.which("iperf") is None, reason="iperf (version 2) is not installed")
async def test_iperf_server_reports_to_the_real_client_what_has_come() -> None:
    async with program("examples/iperf_server.py", "0") as running:
        port = str(await running.port())
        arguments = ("-u", "-c", "127.0.0.1", "-p", port, "-b", "5M", "-t", "1", "-P", "2", "-e")
        client = await asyncio.create_subprocess_exec("iperf", *arguments, stdout=asyncio.subprocess.PIPE)
        async with asyncio.timeout(2 * DEADLINE):
            output = (await client.communicate())[0].decode()
        assert client.returncode == 0, output
        assert output.count("Server Report") == 2, output
        assert output.count("0/") >= 2, "datagrams were lost on the way"
        assert "did not receive ack" not in output
        assert await terminate(running) == 0
