"""Homing's UDP server under test, with the handlers of each contestant."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import homing
from homing import act, gen, meta

from .udp_common import HOST, RECEIVE_BUFFER, Counter
from .work import work


class Handler(act.Actor):
    """The base of all handlers."""

    def init(self, counter: Counter) -> None:
        self.counter = counter


class Count(Handler):
    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        self.counter.packets += 1


class CountAndRelease(Handler):
    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        self.counter.packets += 1
        message.release()


class CountAsync(Handler):
    async def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        self.counter.packets += 1


class Echo(Handler):
    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        self.counter.packets += 1
        self.send(message.id, message.reply(message.data))


class EchoAsync(Handler):
    async def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        self.counter.packets += 1
        self.send(message.id, message.reply(message.data))


class Work(Handler):
    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        self.counter.packets += 1
        self.send(message.id, message.reply(work(message.data)))


class WorkAsync(Handler):
    async def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        self.counter.packets += 1
        self.send(message.id, message.reply(work(message.data)))


class Workers(act.Pool):
    def init(self, worker: type[act.Actor], counter: Counter) -> act.PoolOptions:
        return act.PoolOptions(worker=worker, worker_args=(counter,), pool_size=4)


class Owner(act.Actor):
    """Owns the UDP server, whose packets go to the process named `handler`."""

    async def init(
        self,
        buffer_pool: meta.BufferPool | None,
        peers: meta.PeerOptions | None,
        announce: Callable[[int], None],
        ended: asyncio.Event,
    ) -> None:
        self.ended = ended
        self.monitor("handler")
        options = meta.UDPServerOptions(
            host=HOST,
            process="handler" if peers is None else None,
            peers=peers,
            receive_buffer=RECEIVE_BUFFER,
            buffer_pool=buffer_pool,
            gro="BENCH_SINGLY" not in os.environ,
        )
        server = meta.create_udp_server(options)
        await self.spawn_meta(server)
        announce(server.local_address[1])

    def handle_message(self, sender: gen.PID, message: gen.MessageDownName) -> None:
        self.ended.set()


def _handler(contestant: str, job: str) -> type[act.Actor]:
    if job == "dns":
        from .udp_dns import Answer

        return Answer
    if "batch" in contestant:
        from .udp_homing_batch import SumBatch

        return SumBatch
    if "async" in contestant:
        return {"count": CountAsync, "echo": EchoAsync, "work": WorkAsync}[job]
    if "buffer" in contestant and job == "count":
        return CountAndRelease
    return {"count": Count, "echo": Echo, "work": Work}[job]


async def serve(contestant: str, job: str, counter: Counter, announce: Callable[[int], None]) -> None:
    """Serves until the OS process ends. Raises if the handler ends before."""
    handler = _handler(contestant, job)
    buffer_pool = meta.BufferPool(size=2048) if "buffer" in contestant else None
    peers = None
    if "peers" in contestant:
        peers = meta.PeerOptions(worker=handler, worker_args=(counter,), most=20_000, unproven_share=1.0)
    async with homing.start_node("bench@localhost") as node:
        if "pool of" in contestant:
            await node.spawn(Workers, handler, counter, name="handler")
        else:
            await node.spawn(handler, counter, name="handler")
        ended = (
            asyncio.Event()
        )  # no timer, which the others do not have either: it costs 1 us of a packet that comes alone
        await node.spawn(Owner, buffer_pool, peers, announce, ended)
        await ended.wait()
    raise RuntimeError("the handler has ended: the figures would be those of a server without a handler")
