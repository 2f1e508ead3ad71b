"""`homing run --processes` with TCP: the processes accept from one socket, which outlives each of them, so that no
connection is refused or reset when one crashes or is upgraded."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from ..examples.test_examples import Program, program, terminate
from ..support import DEADLINE, eventually, free_port
from .nodes import HERE, environment, run, the_end

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sockets are handed over on Linux only")
HOST = "127.0.0.1"
SERVER = re.compile(rf"  (?:TCP +)?{HOST}:(\d+)")


def arguments(port: int, *more: str) -> list[str]:
    """The options of two processes."""
    return [
        *("accepting:Service", "--processes=2", "--name=shop@host", f"--env=ports={port}", "--log-level=warning"),
        *more,
    ]


@asynccontextmanager
async def supervised(runtime: Path, *options: str) -> AsyncIterator[Program]:
    """`homing run`, but processes are started again at once, however often."""
    env = environment(runtime)
    async with program(
        "supervised.py", "run", *options, stderr=asyncio.subprocess.STDOUT, cwd=HERE, env=env
    ) as running:
        yield running


async def serving(running: Program, count: int) -> tuple[list[int], list[int]]:
    """The OS processes and the ports of the next `count` banners."""
    pids: list[int] = []
    ports: list[int] = []
    while len(ports) < count:
        line = await running.line_with("")
        if found := re.search(r"OS process +(\d+), Python", line):
            pids.append(int(found[1]))
        if found := SERVER.match(line):
            ports.append(int(found[1]))
    return pids, ports


@contextmanager
def connected(port: int, count: int) -> Iterator[list[socket.socket]]:
    """So many connections, which the kernel has made, whether or not a process has accepted them."""
    with ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection((HOST, port), DEADLINE)) for _ in range(count)]


async def asked(sock: socket.socket) -> int:
    """The OS process that answers."""
    loop = asyncio.get_running_loop()
    sock.setblocking(False)
    async with asyncio.timeout(DEADLINE):
        await loop.sock_sendall(sock, b"hello\n")
        answer = b""
        while not answer.endswith(b"\n"):
            part = await loop.sock_recv(sock, 100)
            assert part, "the connection was closed"
            answer += part
    word, pid = answer.split()
    assert word == b"hello"
    return int(pid)


async def test_connections_that_wait_when_a_process_is_killed_are_all_served(runtime: Path) -> None:
    port = free_port()
    async with supervised(runtime, *arguments(port)) as running:
        pids, _ = await serving(running, 2)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        with connected(port, 40) as waiting:
            os.kill(pids[0], signal.SIGKILL)
            os.kill(pids[1], signal.SIGCONT)
            answers = await asyncio.gather(*map(asked, waiting))
            assert pids[0] not in answers
            await serving(running, 1)
            with connected(port, 40) as later:
                await asyncio.gather(*map(asked, later))
        assert await terminate(running) == 0


async def test_connections_that_come_while_no_process_lives_are_served_by_the_next_ones(runtime: Path) -> None:
    port = free_port()
    async with supervised(runtime, *arguments(port)) as running:
        pids, _ = await serving(running, 2)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        with connected(port, 20) as waiting:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            with connected(port, 20) as later:
                await serving(running, 2)
                assert set(await asyncio.gather(*map(asked, [*waiting, *later]))).isdisjoint(pids)
        assert await terminate(running) == 0


async def test_port_0_is_one_port_for_all_processes_also_with_udp_beside(runtime: Path) -> None:
    async with supervised(runtime, *arguments(0, "--env=both=yes")) as running:
        pids, ports = await serving(running, 4)
        assert len(set(ports)) == 1
        os.kill(pids[0], signal.SIGKILL)
        assert set((await serving(running, 2))[1]) == set(ports)
        assert await terminate(running) == 0


class Flow:
    """Connects and asks, one connection after the other, as long as it runs. served: by OS process."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.served: dict[int, int] = {}

    async def run(self) -> None:
        while True:
            with connected(self._port, 1) as (sock,):
                pid = await asked(sock)
            self.served[pid] = self.served.get(pid, 0) + 1
            await asyncio.sleep(0)

    async def more(self) -> None:
        before = sum(self.served.values())
        await eventually(lambda: sum(self.served.values()) > before + 50, "more connections served")


@asynccontextmanager
async def flow(port: int) -> AsyncIterator[Flow]:
    """Fails if a connection is refused, reset, or closed without an answer."""
    made = Flow(port)
    task = asyncio.create_task(made.run())
    try:
        await made.more()
        yield made
        await made.more()
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def test_sigusr2_upgrades_the_processes_and_every_connection_is_served(runtime: Path) -> None:
    port = free_port()
    async with run(runtime, *arguments(port)) as running:
        before, _ = await serving(running, 2)
        async with flow(port) as flowing:
            running.process.send_signal(signal.SIGUSR2)
            after, _ = await serving(running, 2)
            await running.line_with("all 2 processes are upgraded")
        assert set(flowing.served) & set(after)
        assert set(flowing.served) <= {*before, *after}
        assert await terminate(running) == 0


async def test_a_second_command_takes_over_and_every_connection_is_served(runtime: Path) -> None:
    port = free_port()
    async with run(runtime, *arguments(port)) as old, AsyncExitStack() as stack:
        await serving(old, 2)
        async with flow(port):
            new = await stack.enter_async_context(run(runtime, *arguments(port, "--takeover")))
            await serving(new, 2)
            assert await the_end(old) == 0
        with connected(port, 20) as later:
            await asyncio.gather(*map(asked, later))
        assert await terminate(new) == 0
