"""What the tests of UDP over a cluster share: servers on nodes in memory, receivers, clients of a fake network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from homing import act, gen, meta

from ..nodes import Member, virtual


def in_memory(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Runs an `async def` test in virtual time, of which it may take two minutes."""

    async def limited() -> None:
        async with asyncio.timeout(120):
            await test()

    limited.__name__, limited.__doc__ = test.__name__, test.__doc__
    return virtual(limited)


class Owner(act.Actor):
    """Opens a server."""

    async def init(self, options: dict[str, Any]) -> None:
        self.server = await meta.listen_udp(self, **options)


class Worker(act.Actor):
    """Answers each datagram with its payload; keeps them. With a gate, it waits there first."""

    def init(self, gate: asyncio.Event | None = None) -> None:
        self.got: list[meta.MessageUDP] = []
        self.gate = gate

    async def handle_message(self, sender: Any, message: Any) -> None:
        self.got.append(message)
        if self.gate is not None:
            await self.gate.wait()
        self.reply(message, b"re:" + bytes(message.data))


class BatchWorker(act.Actor):
    """Answers each datagram of each batch, and keeps the sizes of the batches."""

    def init(self) -> None:
        self.sizes: list[int] = []
        self.facts: list[Any] = []

    def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        self.sizes.append(len(batch))
        self.facts.append((bytes(batch.hosts), list(batch.ports), batch.address(0), batch.payloads()))
        for message in batch:
            self.reply(message, b"re:" + message.data)


async def start(member: Member, kind: type[act.Actor], *args: Any, name: str | None = None) -> Any:
    """Starts a process and returns its behavior."""
    pid = await member.node.spawn(kind, *args, name=name)
    return member.node._core.processes[pid].behavior


async def open_server(member: Member, **options: Any) -> meta.UDPServer:
    """A server of that node, whose owner is a process of its own."""
    owner = await start(member, Owner, {"host": "127.0.0.1", **options})
    server: meta.UDPServer = owner.server
    return server


def at(member: Member, name: str) -> gen.ProcessID:
    """The address of a name of that node."""
    return gen.ProcessID(name, member.node.name)


async def facts_of(member: Member, server: meta.UDPServer) -> dict[str, Any]:
    """The facts of a server."""
    facts: dict[str, Any] = await member.node._core.calls.inspect(None, server.alias, (), 5.0)
    return facts


async def answers(client: Any, count: int) -> list[bytes]:
    """The payloads of the next `count` datagrams that a client gets."""
    return [(await client.receive())[0] for _ in range(count)]
