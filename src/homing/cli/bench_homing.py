"""`homing bench`: Homing under test, as a process."""

from __future__ import annotations

import asyncio
import os
import sys
from time import process_time
from typing import Any

import homing
from homing import act, gen, meta

from .bench_bare import BURST, HOST, RECEIVE_BUFFER, Counter, announce, rates, run


class _Count(act.Actor):
    """Owns the UDP server, and counts its packets."""

    async def init(self, counter: Counter) -> None:
        self.counter = counter
        joined = "BENCH_SINGLY" not in os.environ
        server = meta.create_udp_server(meta.UDPServerOptions(host=HOST, receive_buffer=RECEIVE_BUFFER, gro=joined))
        alias = await self.spawn_meta(server)
        facts = await self.inspect_meta(alias, "backend")
        announce(counter, server.local_address[1], backend=facts["backend"])

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.counter.packets += 1


class _Echo(_Count):
    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        self.counter.packets += 1
        self.send(message.id, message.reply(message.data))


class _Sink(act.Actor):
    def init(self, expected: int, done: asyncio.Event) -> None:
        self.left = expected
        self.done = done

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.left -= 1
        if self.left == 0:
            self.done.set()


class _Source(act.Actor):
    """Sends a burst for each message that it receives, and sends itself a message for the next burst."""

    def init(self, sink: gen.PID, bursts: int) -> None:
        self.sink = sink
        self.left = bursts

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        for _ in range(BURST):
            self.send(self.sink, message)
        self.left -= 1
        if self.left > 0:
            self.send(self.pid, message)


class _Callee(act.Actor):
    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return request


class _Caller(act.Actor):
    def init(self, peer: gen.PID) -> None:
        self.peer = peer

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: int) -> int:
        for _ in range(request):
            await self.call(self.peer, 1)
        return request


class _Idle(act.Actor):
    def handle_message(self, sender: gen.PID, message: Any) -> None:
        """Takes it."""


async def _send(count: int) -> float:
    done = asyncio.Event()
    async with homing.start_node("bench@localhost") as node:
        sink = await node.spawn(_Sink, count, done)
        source = await node.spawn(_Source, sink, count // BURST)
        begin = process_time()
        node.send(source, 1)
        await done.wait()
        return process_time() - begin


async def _call(count: int) -> float:
    async with homing.start_node("bench@localhost") as node:
        caller = await node.spawn(_Caller, await node.spawn(_Callee))
        begin = process_time()
        await node.call(caller, count, timeout=60.0)
        return process_time() - begin


async def _spawn(count: int) -> float:
    async with homing.start_node("bench@localhost") as node:
        begin = process_time()
        for _ in range(count):
            await node.spawn(_Idle)
        return process_time() - begin


async def _serve(behavior: type[_Count]) -> None:
    async with homing.start_node("bench@localhost") as node:
        await node.spawn(behavior, Counter())
        await node.wait()


def main(loop: str, job: str, seconds: str, core: str) -> None:
    """Runs one job. seconds: for actors, CPU seconds of each measurement."""

    async def body() -> None:
        if job == "actors":
            await rates({"send": _send, "call": _call, "spawn": _spawn}, float(seconds))
        else:
            await _serve(_Count if job == "flood" else _Echo)

    run(body, loop, core)


if __name__ == "__main__":
    main(*sys.argv[1:])
