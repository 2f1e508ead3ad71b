"""`homing run --processes`: the ports that the processes share outlive each of them. What waits for a process that is
killed is answered by the next one, steering stays right, and upgrades lose nothing."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Self

import pytest

from ..examples.test_examples import Program, program, terminate
from ..faults.figures import figure
from ..support import DEADLINE, eventually, free_port
from .nodes import HERE, environment, files, run, run_to_the_end, the_end

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sockets are handed over on Linux only")
HOST = "127.0.0.1"
NAME = "--name=shop@host"


def arguments(count: int, port: int, *more: str, target: str = "steered:Service", steer: int = 0) -> list[str]:
    """The options: `count` processes; `steer` is what the first byte is divided by."""
    env = [f"--env=ports={port}", *([f"--env=count={steer}"] if steer else [])]
    return [target, f"--processes={count}", NAME, *env, "--log-level=warning", *more]


@asynccontextmanager
async def supervised(runtime: Path, *options: str) -> AsyncIterator[Program]:
    """`homing run`, but processes are started again at once, however often."""
    env = environment(runtime)
    command = ("supervised.py", "run", *options)
    async with program(*command, stderr=asyncio.subprocess.STDOUT, cwd=HERE, env=env) as running:
        yield running


async def serves(running: Program, count: int) -> list[int]:
    """The OS processes of the next `count` banners."""
    pids, seen = [], 0
    while seen < count:
        line = await running.line_with("")
        if found := re.search(r"OS process +(\d+), Python", line):
            pids.append(int(found[1]))
        seen += line.startswith(f"  {HOST}:")
    return pids


class Client:
    """Sends numbered datagrams, each with the byte by which it is steered; keeps the answers as they come.

    answers: for each number, the numbers of the nodes that answered, and their OS processes.
    """

    def __init__(self, port: int) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.setblocking(False)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
        self._sock.connect((HOST, port))
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._sock.fileno(), self._read)
        self.sent: list[int] = []
        self.answers: dict[int, list[tuple[int, int]]] = {}
        self.lost: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()

    def send(self, key: int, count: int = 1) -> range:
        """Sends `count` datagrams with this first byte, and returns their numbers."""
        first = len(self.sent)
        for number in range(first, first + count):
            self._sock.send(bytes([key]) + b"%d" % number)
            self.sent.append(key)
        return range(first, first + count)

    def _read(self) -> None:
        try:
            payload, node, process = self._sock.recv(100)[1:].split()
        except (BlockingIOError, ConnectionRefusedError):
            return
        self.answers.setdefault(int(payload), []).append((int(node), int(process)))

    @property
    def open(self) -> int:
        """Numbers without an answer yet."""
        return len(self.sent) - len(self.answers)

    async def answered(self, numbers: range) -> list[tuple[int, int]]:
        """The answers to these, each exactly one."""
        await eventually(lambda: all(number in self.answers for number in numbers), f"answers to {numbers}")
        assert all(len(self.answers[number]) == 1 for number in numbers)
        return [self.answers[number][0] for number in numbers]

    async def more(self, count: int = 300) -> None:
        """Waits for so many answers more."""
        before = len(self.answers)
        await eventually(lambda: len(self.answers) >= before + count, f"{count} answers more")

    @asynccontextmanager
    async def flowing(self, keys: int) -> AsyncIterator[None]:
        """Sends as long as the block lasts, never more than `OUTSTANDING` that may still be answered."""
        flow = asyncio.create_task(self._flow(keys))
        try:
            await self.more()
            yield
            await self.more()
        finally:
            flow.cancel()

    async def _flow(self, keys: int) -> None:
        while True:
            if self.open - len(self.lost) < OUTSTANDING:
                self.send(len(self.sent) // 10 % keys, 10)
            await asyncio.sleep(0.001)

    async def settled(self, steer: int = 0) -> None:
        """Each was answered once, and by the process of its byte."""
        await eventually(lambda: self.open == len(self.lost), "the last answers")
        assert Counter(map(len, self.answers.values())) == {1: len(self.sent) - len(self.lost)}
        for number, ((node, _),) in self.answers.items() if steer else ():
            assert node - 1 == self.sent[number] % steer

    async def killed(self, key: int, pid: int) -> int:
        """Notes which datagrams with this byte a killed process took with it: it had read them. Returns how many.

        They are those that follow the last one that it answered, without a hole; all others are answered.
        """
        (last,) = await_all = self.send(key)
        await self.answered(await_all)
        mine = [number for number in range(last) if self.sent[number] == key and number not in self.lost]
        gone = [number for number in mine if number not in self.answers]
        before = sum(number in self.answers and self.answers[number][0][1] == pid for number in mine)
        first = len(mine) if not gone else mine.index(gone[0])
        assert mine[first : first + len(gone)] == gone
        assert all(self.answers[number][0][1] != pid for number in mine[first + len(gone) :])
        assert before <= first
        self.lost.update(gone)
        return len(gone)


OUTSTANDING = 200
"""Datagrams that wait at most: the smallest receive buffer of a system holds them."""


# --- processes that are killed --------------------------------------------------------------------------------


async def kill(runtime: Path, times: int, count: int = 3) -> None:
    """A random process is frozen, gets 20 datagrams, and is killed: so often. The others serve on meanwhile."""
    chance, port = random.Random(times), free_port()
    async with supervised(runtime, *arguments(count, port, steer=count)) as running:
        await serves(running, count)
        with Client(port) as client:
            for _ in range(times):
                victim = chance.randrange(count)
                ((node, pid),) = await client.answered(client.send(victim))
                assert node == victim + 1
                os.kill(pid, signal.SIGSTOP)
                waiting = client.send(victim, 20)
                os.kill(pid, signal.SIGKILL)
                others = {key: client.send(key, 20) for key in range(count) if key != victim}
                for key, numbers in others.items():
                    assert {node for node, _ in await client.answered(numbers)} == {key + 1}
                answers = await client.answered(waiting)
                assert {node for node, _ in answers} == {victim + 1}
                assert {process for _, process in answers}.isdisjoint({pid})
                await serves(running, 1)
            await client.settled(count)
            figure(50, f"datagrams that waited for {times} killed processes, all answered once", f"{20 * times}")
        assert await terminate(running) == 0


async def test_what_waits_for_a_process_that_is_killed_is_answered_once_by_the_next_one(runtime: Path) -> None:
    await kill(runtime, 2)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_what_waits_in_twenty_kills_is_answered_once_by_the_next_one(runtime: Path) -> None:
    await kill(runtime, 20)


async def kill_under_load(runtime: Path, times: int, count: int = 3) -> None:
    """Random processes are killed in a steady flow: only what a process had read at that moment has no answer."""
    chance, port, in_hand = random.Random(times), free_port(), []
    async with supervised(runtime, *arguments(count, port, steer=count)) as running:
        pids = await nodes_of(running, port, count)
        with Client(port) as client:
            async with client.flowing(count):
                for _ in range(times):
                    victim = chance.randrange(count)
                    os.kill(pids[victim], signal.SIGKILL)
                    (successor,) = await serves(running, 1)
                    in_hand.append(await client.killed(victim, pids[victim]))
                    pids[victim] = successor
                    await client.more()
            await client.settled(count)
            figure(50, f"datagrams in a flow with {times} killed processes", f"{len(client.sent):,}")
            figure(50, "of these in the hands of a process when it was killed", f"{in_hand}")
        assert await terminate(running) == 0


async def nodes_of(running: Program, port: int, count: int) -> list[int]:
    """The OS process of each node, in the order of their numbers."""
    await serves(running, count)
    with Client(port) as client:
        found = [await client.answered(client.send(key)) for key in range(count)]
    return [pid for ((_, pid),) in found]


async def test_in_a_flow_only_what_a_killed_process_had_read_is_lost_and_steering_stays_right(runtime: Path) -> None:
    await kill_under_load(runtime, 1)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_in_a_flow_with_twenty_kills_only_what_was_read_is_lost_and_steering_stays_right(runtime: Path) -> None:
    await kill_under_load(runtime, 20)


async def test_port_0_is_one_port_for_all_and_for_a_process_that_is_started_again(runtime: Path) -> None:
    async with supervised(runtime, *arguments(2, 0)) as running:
        pids, ports = [], []
        while len(ports) < 3:
            line = await running.line_with("")
            if found := re.search(r"OS process +(\d+), Python", line):
                pids.append(int(found[1]))
            if found := re.match(rf"  {HOST}:(\d+)", line):
                ports.append(int(found[1]))
                if len(ports) == 2:
                    os.kill(pids[0], signal.SIGKILL)
        assert len(set(ports)) == 1
        assert ports[0] > 0
        assert await terminate(running) == 0


# --- SIGUSR2 --------------------------------------------------------------------------------------------------


def processes_of(client: Client) -> dict[int, int]:
    """How many OS processes have answered as each node."""
    return Counter(node for node, _ in {answer[0] for answer in client.answers.values()})


async def upgrade(runtime: Path, times: int) -> None:
    """So many upgrades in place, under load."""
    port = free_port()
    async with run(runtime, *arguments(2, port, steer=2)) as running:
        await serves(running, 2)
        with Client(port) as client:
            async with client.flowing(2):
                for _ in range(times):
                    running.process.send_signal(signal.SIGUSR2)
                    await serves(running, 2)
                    await running.line_with("all 2 processes are upgraded")
                    await client.more()
            await client.settled(2)
            assert processes_of(client) == {1: times + 1, 2: times + 1}
            figure(31, f"datagrams to 2 processes, all answered once, across {times} upgrades", f"{len(client.sent):,}")
        assert await terminate(running) == 0


async def test_sigusr2_replaces_the_processes_one_by_one_and_loses_nothing(runtime: Path) -> None:
    await upgrade(runtime, 1)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_ten_upgrades_by_sigusr2_lose_nothing(runtime: Path) -> None:
    await upgrade(runtime, 10)


async def test_a_successor_that_fails_leaves_all_processes_as_they_are(runtime: Path) -> None:
    port, file = free_port(), runtime / "fails"
    async with run(runtime, *arguments(2, port, f"--env=fails={file}", target="steered:Fragile", steer=2)) as running:
        await serves(running, 2)
        file.touch()
        with Client(port) as client:
            async with client.flowing(2):
                running.process.send_signal(signal.SIGUSR2)
                await running.line_with("process 1 was not replaced: a process failed with exit code 1")
            await client.settled(2)
            assert processes_of(client) == {1: 1, 2: 1}
        assert await terminate(running) == 0


async def test_sigusr2_for_one_of_the_processes_is_refused_with_the_one_to_send_it_to(runtime: Path) -> None:
    async with run(runtime, *arguments(2, free_port())) as running:
        (first, _) = await serves(running, 2)
        os.kill(first, signal.SIGUSR2)
        await running.line_with(f"send it to OS process {running.process.pid}, which upgrades all of them")
        assert await terminate(running) == 0


async def test_a_route_by_a_part_of_the_data_keeps_a_session_in_one_process_wherever_it_comes_from(
    runtime: Path,
) -> None:
    port = free_port()
    async with run(runtime, *arguments(3, port, target="steered:BySession")) as running:
        await serves(running, 3)
        found: dict[bytes, set[bytes]] = {}
        loop = asyncio.get_running_loop()
        for _ in range(4):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.setblocking(False)
                client.connect((HOST, port))
                for session in range(12):
                    key = session.to_bytes(4, "big")
                    await loop.sock_sendall(client, key + b"data")
                    async with asyncio.timeout(DEADLINE):
                        answer = await loop.sock_recv(client, 100)
                    assert answer[:4] == key
                    found.setdefault(key, set()).add(answer[4:])
        assert all(len(nodes) == 1 for nodes in found.values()), found
        assert set.union(*found.values()) == {b"1", b"2", b"3"}
        assert await terminate(running) == 0


# --- a second command -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [pytest.param(2, marks=pytest.mark.slow), 3])
async def test_a_second_command_takes_over_from_two_processes_and_loses_nothing(runtime: Path, count: int) -> None:
    port = free_port()
    async with run(runtime, *arguments(2, port, steer=2)) as old, AsyncExitStack() as stack:
        await serves(old, 2)
        with Client(port) as client:
            async with client.flowing(6):
                new = await stack.enter_async_context(run(runtime, *arguments(count, port, "--takeover", steer=count)))
                await serves(new, count)
                assert await the_end(old) == 0
            await client.settled()
            for key in range(6):
                ((node, _),) = await client.answered(client.send(key))
                assert node - 1 == key % count
        assert await terminate(new) == 0
    assert files(runtime / "homing") == []


@pytest.mark.slow
async def test_after_a_takeover_a_killed_process_loses_nothing_and_the_next_takeover_works(runtime: Path) -> None:
    port = free_port()
    async with (
        supervised(runtime, *arguments(2, port, steer=2)) as first,
        AsyncExitStack() as stack,
    ):
        await serves(first, 2)
        with Client(port) as client:
            second = await stack.enter_async_context(supervised(runtime, *arguments(2, port, "--takeover", steer=2)))
            await serves(second, 2)
            assert await the_end(first) == 0
            ((_, pid),) = await client.answered(client.send(1))
            os.kill(pid, signal.SIGSTOP)
            waiting = client.send(1, 20)
            os.kill(pid, signal.SIGKILL)
            assert {node for node, _ in await client.answered(waiting)} == {2}
            await serves(second, 1)
            third = await stack.enter_async_context(supervised(runtime, *arguments(2, port, "--takeover", steer=2)))
            await serves(third, 2)
            assert await the_end(second) == 0
            await client.answered(client.send(0, 5))
        assert await terminate(third) == 0


@pytest.mark.slow
async def test_if_the_successor_is_killed_while_it_starts_the_predecessor_serves_on_and_loses_nothing(
    runtime: Path,
) -> None:
    port, go = free_port(), [f"--env=file={runtime}/go"]
    async with supervised(runtime, *arguments(2, port, steer=2)) as old:
        await serves(old, 2)
        with Client(port) as client:
            async with client.flowing(2):
                options = ["--takeover", "--stop-timeout=1", *go]
                waiting = arguments(2, port, *options, target="steered:Waiting", steer=2)
                async with supervised(runtime, *waiting) as new:
                    await new.line_with("has its sockets")
                    new.process.kill()
                    await new.end()
                await old.line_with("has not taken over: it has ended")
            await client.settled(2)
        assert await terminate(old) == 0


# --- what cannot work -----------------------------------------------------------------------------------------


async def test_fewer_processes_than_run_cannot_take_over_and_are_told_why(runtime: Path) -> None:
    port = free_port()
    async with run(runtime, *arguments(2, port)) as old:
        await serves(old, 2)
        code, text = await run_to_the_end(runtime, *arguments(1, port, "--takeover"))
        assert code == 1
        assert "2 processes run under the name shop@host: take over with --processes 2 or more" in text
        with Client(port) as client:
            await client.answered(client.send(0, 5))
        assert await terminate(old) == 0


async def test_several_processes_cannot_take_over_from_one(runtime: Path) -> None:
    port = free_port()
    async with run(runtime, *arguments(1, port)) as old:
        await serves(old, 1)
        code, text = await run_to_the_end(runtime, *arguments(2, port, "--takeover"))
        assert code == 1
        assert "one OS process runs under this name, not several: leave --processes out" in text
        with Client(port) as client:
            await client.answered(client.send(0, 5))
        assert await terminate(old) == 0
