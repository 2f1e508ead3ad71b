"""Started by systemd: sockets that were there before the program, and what it tells of its life."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import homing

from ..examples.test_examples import Program, program, terminate
from ..notified import Manager
from ..support import DEADLINE, UDPPeer, free_port
from .figures import figure

pytestmark = [
    pytest.mark.backends,
    pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux only"),
]
HERE = Path(__file__).parent
PACKAGE = str(Path(homing.__file__).parents[1])
HOST = "127.0.0.1"

STARTER = """
import os, sys
pid, names, descriptors = sys.argv[1], sys.argv[2], [int(number) for number in sys.argv[3].split()]
copies = [os.dup(os.dup(os.dup(os.dup(descriptor)))) for descriptor in descriptors]
for descriptor in descriptors:
    os.close(descriptor)
for number, copy in enumerate(copies):
    os.dup2(copy, 3 + number)
    os.set_inheritable(3 + number, True)
os.environ.update(LISTEN_PID=pid or str(os.getpid()), LISTEN_FDS=str(len(copies)), LISTEN_FDNAMES=names)
os.execv(sys.executable, [sys.executable, "-W", "error", *sys.argv[4:]])
"""
"""Starts a program as systemd does: its sockets are descriptors 3, 4, ..."""


def bound(kind: int = socket.SOCK_DGRAM) -> socket.socket:
    """A socket such as systemd binds for a program."""
    sock = socket.socket(socket.AF_INET, kind)
    sock.bind((HOST, 0))
    if kind == socket.SOCK_STREAM:
        sock.listen()
    return sock


@asynccontextmanager
async def started(
    sockets: Sequence[socket.socket], names: str, *arguments: str, pid: str = ""
) -> AsyncIterator[Program]:
    """The service, started with these sockets."""
    descriptors = [sock.fileno() for sock in sockets]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", STARTER, pid, names, " ".join(map(str, descriptors)), str(HERE / "activated.py"), *arguments),
        env={**os.environ, "PYTHONPATH": PACKAGE},
        pass_fds=descriptors,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    running = Program(process)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]


async def listens(running: Program) -> tuple[str, int, int]:
    """Name, port and receive buffer of the server that is started next."""
    _, name, port, size = (await running.line_with("listens")).split(" ")
    return name, int(port), int(size)


async def ends_with(running: Program, text: str) -> None:
    """It ends by itself, after a line with this text."""
    await running.line_with(text)
    stdout = running.process.stdout
    assert stdout is not None
    await stdout.read()
    assert await running.end() == 1


@pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="systemd-socket-activate is not installed")
async def test_the_packet_for_which_systemd_starts_it_is_answered_and_its_life_is_told(peer: UDPPeer) -> None:
    port = free_port()
    with Manager() as manager:
        variables = {**os.environ, "PYTHONPATH": PACKAGE, "NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "40000"}
        passed = [f"--setenv={name}" for name in variables if name.startswith(("PYTHON", "HOMING", "NOTIFY", "WATCH"))]
        process = await asyncio.create_subprocess_exec(
            *("systemd-socket-activate", "--datagram", f"--listen={HOST}:{port}", "--fdname=dns", *passed),
            *(sys.executable, "-W", "error", str(HERE / "activated.py"), "dns=0"),
            env=variables,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        running = Program(process)
        try:
            await running.line_with(f"Listening on {HOST}:{port}")
            assert await peer.ask(b"hello", (HOST, port)) == b"dns"
            assert await manager.until("WATCHDOG=1") == ["READY=1", "WATCHDOG=1"]
            process.send_signal(signal.SIGTERM)
            assert await manager.until("STOPPING=1")
            figure(30, "told systemd, the first packet being answered", "READY=1, WATCHDOG=1, STOPPING=1")
            stdout = process.stdout
            assert stdout is not None
            await stdout.read()
            assert await running.end() == 0
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            process._transport.close()  # type: ignore[attr-defined]


async def test_what_came_before_the_program_started_is_answered_first(peer: UDPPeer) -> None:
    with bound() as sock:
        for _ in range(10):
            peer.send(b"early", sock.getsockname())
        async with started([sock], "dns", "dns=1") as running:
            assert (await listens(running))[1] == sock.getsockname()[1]
            assert [(await peer.receive())[0] for _ in range(10)] == [b"dns"] * 10
            figure(30, "packets from before the start that were answered", "10 of 10")
            assert await terminate(running) == 0


async def test_servers_of_one_name_take_the_sockets_of_that_name_in_turn(peer: UDPPeer) -> None:
    with bound() as first, bound() as other, bound() as second:
        async with started([first, other, second], "dns:log:dns", "dns=0", "dns=0", "log=0") as running:
            found = [await listens(running) for _ in range(3)]
            ports = [sock.getsockname()[1] for sock in (first, second, other)]
            assert [(name, port) for name, port, _ in found] == list(zip(["dns", "dns", "log"], ports, strict=True))
            assert {size for _, _, size in found} == {50_000}
            for sock, name in ((first, b"dns"), (other, b"log"), (second, b"dns")):
                assert await peer.ask(b"hello", sock.getsockname()) == name


async def test_a_socket_without_names_is_found_by_the_name_that_systemd_has_for_that(peer: UDPPeer) -> None:
    with bound() as sock:
        async with started([sock], "", "unknown=0") as running:
            assert (await listens(running))[1] == sock.getsockname()[1]


async def test_a_server_without_an_activation_takes_the_socket_that_has_its_address(peer: UDPPeer) -> None:
    with bound() as sock:
        async with started([sock], "dns", f"={sock.getsockname()[1]}") as running:
            await listens(running)
            assert await peer.ask(b"hello", sock.getsockname()) == b"unnamed"


async def test_started_without_sockets_it_binds_host_and_port(peer: UDPPeer) -> None:
    port = free_port()
    arguments = (str(HERE / "activated.py"), f"dns={port}")
    async with program(*arguments, env={**os.environ, "PYTHONPATH": PACKAGE}) as running:
        assert (await listens(running))[1] == port
        assert await peer.ask(b"hello", (HOST, port)) == b"dns"


async def test_sockets_that_were_meant_for_another_process_are_left_alone(peer: UDPPeer) -> None:
    with bound() as sock:
        async with started([sock], "dns", "dns=0", pid="1") as running:
            assert (await listens(running))[1] != sock.getsockname()[1]


async def test_a_name_that_is_not_there_is_refused_with_those_that_are() -> None:
    with bound() as first, bound() as second:
        async with started([first, second], "dns:log", "syslog=0") as running:
            await ends_with(running, "activation='syslog': the program was started with other sockets: 'dns', 'log'")


async def test_a_stream_socket_is_refused() -> None:
    with bound(socket.SOCK_STREAM) as sock:
        async with started([sock], "dns", "dns=0") as running:
            await ends_with(running, "activation='dns': the socket of this name is not for datagrams")


async def test_a_socket_serves_one_server_at_a_time() -> None:
    with bound() as sock:
        async with started([sock], "dns", "dns=0", "dns=0") as running:
            await ends_with(running, "activation='dns': all sockets of this name (1) are in use")


async def test_what_is_no_socket_is_as_if_it_were_not_there(peer: UDPPeer) -> None:
    with bound() as sock, socket.socket(fileno=os.dup(sock.fileno())) as other:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, other.fileno())
        os.close(null)
        async with started([other, sock], "null:dns", "dns=0") as running:
            assert (await listens(running))[1] == sock.getsockname()[1]


async def test_a_socket_that_nobody_reads_is_named_in_the_log() -> None:
    with bound() as used, bound() as unused:
        async with started([used, unused], "dns:log", "dns=0") as running:
            line = await running.line_with("no server uses these sockets")
            assert f"log ({HOST}:{unused.getsockname()[1]})" in line
            assert "dns" not in line


async def test_children_of_the_program_get_neither_sockets_nor_variables(peer: UDPPeer) -> None:
    with bound() as sock:
        async with started([sock], "dns", "dns=0") as running:
            await running.line_with("True")
            await listens(running)
            assert await peer.ask(b"children", sock.getsockname()) == b"[] [0, 1, 2, 3]\n"  # 3: the listing itself


async def test_after_a_crash_the_server_has_the_socket_again_and_what_came_meanwhile(peer: UDPPeer) -> None:
    with bound() as sock:
        async with started([sock], "dns", "dns=0") as running:
            await listens(running)
            assert await peer.ask(b"hello", sock.getsockname()) == b"dns"
            peer.send(b"crash", sock.getsockname())
            await running.line_with("crashed")
            peer.send(b"still there?", sock.getsockname())
            assert (await listens(running))[1] == sock.getsockname()[1]
            async with asyncio.timeout(DEADLINE):
                assert await peer.receive() == (b"dns", sock.getsockname())
