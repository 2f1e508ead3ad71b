"""A service of three nodes is restarted node by node under load: each datagram is answered once, no state is lost."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from homing.testing import FakeNetwork

from ...support import DEADLINE, eventually, free_port
from ..nodes import Member, member, members, until
from .services import answers, in_memory
from .test_sessions import SESSIONS, know, serve

NAMES = ("a", "b", "c")


@in_memory
async def test_each_node_in_turn_is_drained_restarted_and_rejoins_and_nothing_is_lost() -> None:
    with FakeNetwork(seed=1) as network:
        async with members(*NAMES) as started, AsyncExitStack() as later:
            nodes: dict[str, Member] = dict(zip(NAMES, started, strict=True))
            memory = started[0].engine.network
            ports = {name: (await serve(one)).local_address for name, one in nodes.items()}
            await know(*nodes.values())
            client = network.socket(receive_buffer=1 << 24)
            sent: Counter[bytes] = Counter()
            open_edges = list(NAMES)

            async def load() -> None:
                while True:
                    for number, session in enumerate(SESSIONS):
                        edge = open_edges[(number + sent.total()) % len(open_edges)]
                        client.send(session, ports[edge])
                        sent[session] += 1
                    await asyncio.sleep(0.01)

            task = asyncio.create_task(load())
            for name in NAMES:
                await asyncio.sleep(0.3)
                open_edges.remove(name)  # as a load balancer does, which asks for readiness
                await asyncio.sleep(0.1)
                nodes[name].cluster.drain()
                await nodes[name].cluster.drained()
                await nodes[name].node.stop()
                nodes[name] = await member(memory, name)
                later.push_async_callback(nodes[name].node.stop)
                await until(lambda name=name: len(nodes[name].cluster.links) == 2)
                ports[name] = (await serve(nodes[name])).local_address
                await know(*nodes.values())
                open_edges.append(name)
            await asyncio.sleep(0.3)
            task.cancel()
            found = [one.split() for one in await answers(client, sent.total())]
            for session in SESSIONS:
                counts = sorted(int(count) for _, key, count in found if key == session)
                assert counts == list(range(1, sent[session] + 1)), session
            await asyncio.sleep(1)
            assert client.waiting() == []


class Running:
    """One node of the service, in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def says(self, word: bytes) -> bytes:
        assert self.process.stdout is not None
        async with asyncio.timeout(DEADLINE):
            line = await self.process.stdout.readline()
        assert line.startswith(word), line
        return line[len(word) :]


class Client(asyncio.DatagramProtocol):
    """Sends numbered datagrams of sessions, and counts the answers."""

    def __init__(self) -> None:
        self.answers: Counter[bytes] = Counter()
        self.counts: dict[bytes, list[int]] = {}
        self.sent: list[bytes] = []
        self.burst = 3

    def connection_made(self, transport: Any) -> None:
        """Sends 1000 datagrams a second where the kernel keeps the answers to all that waited for a node: they come at
        once. By default it keeps about 250 of them, or 500."""
        self.transport = transport
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 1 << 22:
            self.burst = 10

    def datagram_received(self, data: bytes, source: Any) -> None:
        question, _, count = data.rpartition(b" ")
        self.answers[question] += 1
        self.counts.setdefault(question[:4], []).append(int(count))

    async def load(self, addresses: list[Any], over: asyncio.Event) -> None:
        number = 0
        while not over.is_set():
            for _ in range(self.burst):
                data = b"s%03d %d" % (number % 40, number)
                self.transport.sendto(data, addresses[number % 7 % len(addresses)])
                self.sent.append(data)
                number += 1
            await asyncio.sleep(0.01)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="passes sockets to programs: Linux only")
def test_three_programs_are_restarted_in_turn_under_load_and_each_datagram_is_answered_once(tmp_path: Path) -> None:
    asyncio.run(_roll(tmp_path))


async def _roll(folder: Path) -> None:
    secret = folder / "secret"
    secret.write_text("a secret of the rolling upgrade")
    secret.chmod(0o600)
    ports = {name: free_port() for name in NAMES}
    sockets = {}
    for name in NAMES:  # the supervisor's: what comes while a node is restarted waits in them
        sockets[name] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sockets[name].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        sockets[name].bind(("127.0.0.1", 0))

    async def start(name: str) -> Running:
        listen = f"tcp/127.0.0.1:{ports[name]}"
        join = ",".join(f"tcp/127.0.0.1:{port}" for other, port in ports.items() if other != name)
        descriptor = os.dup(sockets[name].fileno())
        try:
            arguments = (name, str(descriptor), listen, join, str(secret))
            return Running(
                await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "tests.cluster.udp.rolling", *arguments),
                    pass_fds=(descriptor,),
                    stdout=asyncio.subprocess.PIPE,
                )
            )
        finally:
            os.close(descriptor)

    running = {name: await start(name) for name in NAMES}
    over = asyncio.Event()
    try:
        for one in running.values():
            await one.says(b"ready")
        transport, client = await asyncio.get_running_loop().create_datagram_endpoint(
            Client, local_addr=("127.0.0.1", 0)
        )
        load = asyncio.create_task(client.load([sockets[name].getsockname() for name in NAMES], over))
        for name in NAMES:
            await asyncio.sleep(0.5)
            running[name].process.terminate()
            lost = json.loads(await running[name].says(b"ended"))
            assert not {what for what in lost if what.startswith(("lost", "dropped")) and lost[what]}, lost
            await running[name].process.wait()
            running[name] = await start(name)
            await running[name].says(b"ready")
        await asyncio.sleep(0.5)
        over.set()
        await load
        await eventually(
            lambda: len(client.answers) == len(client.sent), f"the answers to {len(client.sent)} datagrams"
        )
        assert set(client.answers.values()) == {1}
        for counts in client.counts.values():
            assert sorted(counts) == list(range(1, len(counts) + 1))  # no session has lost its state
        transport.close()
    finally:
        for one in running.values():
            if one.process.returncode is None:
                one.process.kill()
                await one.process.wait()
        for sock in sockets.values():
            sock.close()
