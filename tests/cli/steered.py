"""What the tests of shared sockets run: a server whose datagrams are steered to the process of their first byte."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from homing import act, gen, meta

ME = os.getpid()
HOST = "127.0.0.1"


def program(count: int) -> tuple[tuple[int, int, int, int], ...]:
    """The first byte of the payload, modulo the number of processes."""
    return ((0x30, 0, 0, 0), (0x94, 0, 0, count), (0x16, 0, 0, 0))


class Echo(act.Actor):
    """Answers each datagram with it, the number of its node, and its OS process."""

    async def init(self) -> None:
        _, _, number = self.node.partition("@")[0].rpartition("-")
        self.number = number.encode() if number.isdecimal() else b"1"
        for port in self.env["ports"].split():
            await self.spawn_meta(meta.create_udp_server(self.options(int(port))))

    def options(self, port: int) -> meta.UDPServerOptions:
        steering = program(int(self.env["count"])) if "count" in self.env else None
        return meta.UDPServerOptions(
            host=HOST, port=port, reuse_port=True, reuse_port_steering=steering, receive_buffer=2_000_000
        )

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.send(message.id, message.reply(b"%s %s %d" % (bytes(message.data), self.number, ME)))


class Service(act.Supervisor):
    def init(self) -> act.SupervisorSpec:
        return act.SupervisorSpec(children=(act.ChildSpec(name="echo", behavior=Echo),), intensity=100)


class BySession(Echo):
    """The first four bytes choose the worker, and so the process. Answers with its number."""

    def options(self, port: int) -> meta.UDPServerOptions:
        return meta.UDPServerOptions(
            host=HOST, port=port, reuse_port=True, worker=Answering, worker_args=(self.number,), route=meta.where[0:4]
        )


class Answering(act.Actor):
    def init(self, number: bytes) -> None:
        self.number = number

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.reply(message, message.data[:4] + self.number)


class Fragile(Echo):
    """Fails if the file is there that its environment names."""

    async def init(self) -> None:
        if os.access(self.env["fails"], os.F_OK):
            raise ValueError("fault")
        await super().init()


class Waiting(Echo):
    """Has its sockets and goes on when the file is there that its environment names."""

    async def init(self) -> None:
        await super().init()
        print("has its sockets", flush=True)
        while not os.access(self.env["file"], os.F_OK):
            await asyncio.sleep(0.01)
