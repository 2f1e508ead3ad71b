"""Output: whatever stdout and stderr are, and become, a service starts, serves, is upgraded and ends with its own exit
code."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..support import DEADLINE, UDPPeer, eventually, free_port
from .nodes import HERE, environment

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="has /dev/full")

HOMING = [sys.executable, "-m", "homing"]


def closed() -> str:
    return ">&-"


def full() -> str:
    return ">/dev/full"


def broken(pipe: tuple[int, int]) -> str:
    os.close(pipe[0])
    return f">&{pipe[1]}"


def stuck(pipe: tuple[int, int]) -> str:
    """A pipe that has no room, and whose reader never reads."""
    os.set_blocking(pipe[1], False)
    try:
        while True:
            os.write(pipe[1], bytes(4096))
    except BlockingIOError:
        os.set_blocking(pipe[1], True)
    return f">&{pipe[1]}"


KINDS = ["closed", "full", "broken", "stuck"]


class Pipes:
    """The pipes of a test."""

    def __init__(self) -> None:
        self.open: list[int] = []

    def redirect(self, kind: str, number: int) -> str:
        """What a shell takes to lead the descriptor `number` there."""
        if kind in ("closed", "full"):
            return f"{number}{closed() if kind == 'closed' else full()}"
        pipe = os.pipe()
        os.set_inheritable(pipe[1], True)
        make: Callable[[tuple[int, int]], str] = broken if kind == "broken" else stuck
        words = make(pipe)
        self.open += pipe if kind == "stuck" else pipe[1:]
        return f"{number}{words}"

    def close(self) -> None:
        for descriptor in self.open:
            os.close(descriptor)


@contextmanager
def shell(runtime: Path, command: list[str], *kinds: str) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a command with its stdout and stderr redirected so; stdin is closed where stdout is."""
    pipes = Pipes()
    try:
        words = [pipes.redirect(kind, number) for number, kind in enumerate(kinds, 1) if kind]
        words += ["<&-"] if kinds[0] == "closed" else []
        process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" {" ".join(words)}', "bash", *command],
            env=environment(runtime),
            cwd=HERE,
            pass_fds=pipes.open,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait(DEADLINE)
    finally:
        pipes.close()


async def served(peer: UDPPeer, port: int) -> bytes:
    """Asks until the service answers, and gives the answer."""
    while True:
        try:
            async with asyncio.timeout(0.05):
                return await peer.ask(b"hello", ("127.0.0.1", port))
        except TimeoutError:
            continue


async def code_of(process: subprocess.Popen[bytes]) -> int:
    await eventually(lambda: process.poll() is not None, "the end of the program")
    return int(process.returncode)


@pytest.mark.parametrize("err", KINDS)
@pytest.mark.parametrize("out", ["", "closed"])
async def test_a_service_starts_serves_logs_and_ends_with_its_own_exit_code(
    runtime: Path, peer: UDPPeer, out: str, err: str
) -> None:
    port = free_port()
    command = [*HOMING, "run", "served:Service", f"--env=port={port}", "--log-level=debug"]
    async with asyncio.timeout(2 * DEADLINE):
        with shell(runtime, command, out, err) as process:
            await served(peer, port)
            peer.send(b"crash", ("127.0.0.1", port))
            await served(peer, port)
            process.send_signal(signal.SIGTERM)
            assert await code_of(process) == 0


@pytest.mark.parametrize("err", KINDS)
async def test_a_service_that_fails_keeps_its_exit_code(runtime: Path, err: str) -> None:
    for target, code in (("served:Broken", 1), ("served:nothing", 2), ("served:Done", 0)):
        async with asyncio.timeout(2 * DEADLINE):
            with shell(runtime, [*HOMING, "run", target], err, err) as process:
                assert await code_of(process) == code


@pytest.mark.parametrize("err", KINDS)
async def test_an_upgrade_goes_through_though_nobody_reads_what_is_logged(
    runtime: Path, peer: UDPPeer, err: str
) -> None:
    port = free_port()
    command = [*HOMING, "run", "served:Sharing", f"--env=port={port}", "--name=s@localhost"]
    async with asyncio.timeout(3 * DEADLINE):
        with shell(runtime, command, err, err) as process:
            assert int(await served(peer, port)) == process.pid
            offer = runtime / "homing" / "s@localhost.takeover"
            await eventually(offer.exists, "the offer")
            process.send_signal(signal.SIGUSR2)
            assert await code_of(process) == 0
            while (successor := int(await served(peer, port))) == process.pid:
                pass  # its last answers
            os.kill(successor, signal.SIGTERM)
            await eventually(lambda: not offer.exists(), "the end of the successor")


@pytest.mark.parametrize("out", KINDS)
async def test_the_demo_goes_on_though_nobody_sees_it(runtime: Path, peer: UDPPeer, out: str) -> None:
    port = free_port()
    async with asyncio.timeout(2 * DEADLINE):
        with shell(runtime, [*HOMING, "demo", f"--port={port}"], out, out) as process:
            assert await served(peer, port) == b"OK: hello"
            await asyncio.sleep(1.2)  # it shows its counters once a second
            assert await peer.ask(b"hello", ("127.0.0.1", port)) == b"OK: hello"
            process.send_signal(signal.SIGTERM)
            assert await code_of(process) == 0


def service(runtime: Path, port: int, stderr: int) -> subprocess.Popen[bytes]:
    command = [*HOMING, "run", "served:Service", f"--env=port={port}"]
    return subprocess.Popen(command, env=environment(runtime), cwd=HERE, stderr=stderr)


async def test_what_was_lost_is_counted_when_somebody_reads_again(runtime: Path, peer: UDPPeer) -> None:
    port = free_port()
    reader, writer = os.pipe()
    stuck((reader, writer))
    try:
        with service(runtime, port, writer) as process:
            try:
                async with asyncio.timeout(2 * DEADLINE):
                    await served(peer, port)
                    os.set_blocking(reader, False)
                    text = bytearray()
                    process.send_signal(signal.SIGTERM)
                    while process.poll() is None or b"stopped" not in text:
                        try:
                            text += os.read(reader, 65536)
                        except BlockingIOError:
                            if process.poll() is not None:
                                break
                            await asyncio.sleep(0.001)
                assert b" lines were lost, as nobody read them)\n" in text
                assert text.endswith(b"stopped in order\n")
            finally:
                process.kill()
    finally:
        os.close(reader)
        os.close(writer)
