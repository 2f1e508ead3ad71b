"""Homing's actors under test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from time import process_time
from typing import Any

import homing
from homing import act, gen

from .actors import BURST
from .memory import resident


class Sink(act.Actor):
    def init(self, expected: int, done: asyncio.Event) -> None:
        self.left = expected
        self.done = done

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.left -= 1
        if self.left == 0:
            self.done.set()


class Source(act.Actor):
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


class Pong(act.Actor):
    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.send(sender, message)


class Ping(act.Actor):
    def init(self, peer: gen.PID, rounds: int, done: asyncio.Event) -> None:
        self.peer = peer
        self.left = rounds
        self.done = done

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        if self.left == 0:
            self.done.set()
        else:
            self.left -= 1
            self.send(self.peer, message)


class Callee(act.Actor):
    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return request


class Caller(act.Actor):
    def init(self, peer: gen.PID) -> None:
        self.peer = peer

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: int) -> int:
        for _ in range(request):
            await self.call(self.peer, 1)
        return request


class Idle(act.Actor):
    def handle_message(self, sender: gen.PID, message: Any) -> None:
        pass


class Homing:
    """`actors.Contestant`. options: those of its node. clock: called before the first operation and after the last."""

    def __init__(
        self,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None,
        options: gen.NodeOptions | None = None,
        clock: Callable[[], float] = process_time,
    ) -> None:
        self._loop_factory = loop_factory
        self._options = options
        self._clock = clock

    def _run(self, measure: Callable[[homing.Node], Coroutine[Any, Any, float]]) -> float:
        async def main() -> float:
            async with homing.start_node("bench@localhost", self._options) as node:
                return await measure(node)

        with asyncio.Runner(loop_factory=self._loop_factory) as runner:
            return runner.run(main())

    def send(self, n: int) -> float:
        async def measure(node: homing.Node) -> float:
            done = asyncio.Event()
            sink = await node.spawn(Sink, n, done)
            source = await node.spawn(Source, sink, n // BURST)
            begin = self._clock()
            node.send(source, 1)
            await done.wait()
            return self._clock() - begin

        return self._run(measure)

    def pingpong(self, n: int) -> float:
        async def measure(node: homing.Node) -> float:
            done = asyncio.Event()
            pong = await node.spawn(Pong)
            ping = await node.spawn(Ping, pong, n // 2, done)
            begin = self._clock()
            node.send(ping, 1)
            await done.wait()
            return self._clock() - begin

        return self._run(measure)

    def call(self, n: int) -> float:
        async def measure(node: homing.Node) -> float:
            caller = await node.spawn(Caller, await node.spawn(Callee))
            begin = self._clock()
            await node.call(caller, n, timeout=60.0)
            return self._clock() - begin

        return self._run(measure)

    def spawn(self, n: int) -> float:
        async def measure(node: homing.Node) -> float:
            begin = self._clock()
            for _ in range(n):
                await node.spawn(Idle)
            return self._clock() - begin

        return self._run(measure)

    def memory(self, n: int, used: bool) -> float:
        async def measure(node: homing.Node) -> float:
            await node.spawn(Idle)
            before = resident()
            pids = [await node.spawn(Idle) for _ in range(n)]
            if used:
                for pid in pids:
                    node.send(pid, 1)
                await asyncio.sleep(0.1)
                while node.process_info(pids[-1]).messages_in == 0:
                    await asyncio.sleep(0.01)
            return (resident() - before) / n

        return self._run(measure)
