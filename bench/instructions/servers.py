"""The UDP and TCP servers, and the UDP client, whose instructions are counted."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import homing
from homing import act, gen, meta

from ..udp_common import HOST, RECEIVE_BUFFER
from .catalog import Program
from .marks import Steps, announce

NODE = gen.NodeOptions(slow_callback_seconds=None)
"""Options of every node that is counted: without the watchdog's thread, which takes its turns by the clock."""


class _Stepping:
    """Counts the operations down. saturated: waits for more load after each step, in the handler."""

    def prepare(self, program: Program, steps: Steps) -> None:
        self.left = self.step = program.step
        self.steps = steps
        self.saturated = program.load in ("backlog", "joined")

    def ended(self) -> None:
        self.left = self.step
        self.steps.ended()
        if self.saturated:
            self.steps.more()


class _Handler(_Stepping, act.Actor):
    async def init(self, program: Program, steps: Steps) -> None:
        self.prepare(program, steps)
        server = await meta.listen_udp(self, host=HOST, port=0, receive_buffer=RECEIVE_BUFFER)
        announce(server.local_address[1])


class Count(_Handler):
    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        self.left -= 1
        if not self.left:
            self.ended()


class Echo(_Handler):
    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        self.send(message.id, message.reply(message.data))
        self.left -= 1
        if not self.left:
            self.ended()


class EchoAsync(_Handler):
    async def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        self.send(message.id, message.reply(message.data))
        self.left -= 1
        if not self.left:
            self.ended()


class EchoLine(_Stepping, act.Actor):
    """Answers lines that come by TCP."""

    async def init(self, program: Program, steps: Steps) -> None:
        self.prepare(program, steps)
        server = await meta.listen_tcp(self, host=HOST, frame=meta.Delimiter(b"\n"), announce=False)
        announce(server.local_address[1])

    def handle_message(self, sender: gen.PID, message: meta.MessageTCP) -> None:
        self.reply(message, message.data)
        self.left -= 1
        if not self.left:
            self.ended()


class EchoElsewhere(_Stepping, act.Actor):
    """Answers what a socket of another node receives."""

    def init(self, program: Program, steps: Steps) -> None:
        self.prepare(program, steps)

    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        self.reply(message, message.data)
        self.left -= 1
        if not self.left:
            self.ended()


class Edge(act.Actor):
    """Has a socket, for a receiver on another node."""

    async def init(self, to: gen.PID) -> None:
        server = await meta.listen_udp(
            self, host=HOST, port=0, receive_buffer=RECEIVE_BUFFER, process=to, high_water=4096, reply_guard=None
        )
        announce(server.local_address[1])


class EchoService(_Stepping):
    """A service of one function."""

    def __init__(self) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        sock.bind((HOST, 0))
        self.port = sock.getsockname()[1]
        self.service = homing.Service("echo")
        self.service.udp(self.echo, socket=sock)

    def echo(self, packet: meta.MessageUDP) -> bytes:
        self.left -= 1
        if not self.left:
            self.ended()
        return packet.data


class EchoProtocol(_Stepping, asyncio.DatagramProtocol):
    transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(data, addr)
        self.left -= 1
        if not self.left:
            self.ended()


class _Caller(act.Actor):
    async def init(self, port: int, step: int, steps: Steps) -> None:
        self.client = (await meta.connect_udp(self, host=HOST, port=port)).alias
        self.step = step
        self.steps = steps
        self.send(self.pid, "begin")

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        data = bytes(64)
        while True:
            for _ in range(self.step):
                await self.call(self.client, data)
            self.steps.ended()


@asynccontextmanager
async def linked() -> AsyncIterator[list[homing.Node]]:
    """Starts two nodes of a cluster in this process."""
    from homing.cluster.memory_engine import MemoryNetwork

    network = MemoryNetwork(delay=0.0)
    nodes = [await homing.start_node(f"{name}@localhost", NODE) for name in ("edge", "worker")]
    for node in nodes:
        await homing.cluster.join(node, gen.ClusterOptions(name="bench", link_window=2 << 20), engine=network.engine())
    while not all(node.cluster.links for node in nodes):
        await asyncio.sleep(0.01)
    try:
        yield nodes
    finally:
        for node in nodes:
            await node.stop()


async def serve(program: Program, steps: Steps) -> None:
    """Serves until the last step ends the process."""
    behavior = globals()[program.behavior]
    if behavior is EchoElsewhere:
        async with linked() as (edge, worker):
            await edge.spawn(Edge, await worker.spawn(behavior, program, steps))
            await asyncio.Event().wait()
    if issubclass(behavior, act.Actor):
        async with homing.start_node("bench@localhost", NODE) as node:
            await node.spawn(behavior, program, steps)
            await asyncio.Event().wait()
    protocol = behavior()
    protocol.prepare(program, steps)
    if isinstance(protocol, EchoService):
        async with protocol.service.started(options=NODE):
            announce(protocol.port)
            await asyncio.Event().wait()
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    sock.bind((HOST, 0))
    sock.setblocking(False)
    await asyncio.get_running_loop().create_datagram_endpoint(lambda: protocol, sock=sock)
    announce(sock.getsockname()[1])
    await asyncio.Event().wait()


async def call(program: Program, steps: Steps, port: int) -> None:
    """Calls the server at `port` until the last step ends the process."""
    async with homing.start_node("bench@localhost", NODE) as node:
        await node.spawn(_Caller, port, program.step, steps)
        await asyncio.Event().wait()
