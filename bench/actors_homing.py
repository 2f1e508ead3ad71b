"""Homing's actors under test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from time import process_time
from typing import Any

import homing
from homing import act, gen

from .actors import BURST, OPEN
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


class Requester(act.Actor):
    """Sends a request for each response, as `Caller` calls one after another."""

    def init(self, peer: gen.PID, requests: int, done: asyncio.Event) -> None:
        self.peer = peer
        self.left = requests
        self.done = done

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.send_request(self.peer, message)

    def handle_response(self, label: Any, answer: Any) -> None:
        self.left -= 1
        if self.left == 0:
            self.done.set()
        else:
            self.send_request(self.peer, answer)


class Upstream(act.Actor):
    """Answers when `OPEN` questions wait."""

    def init(self) -> None:
        self.waiting: list[tuple[gen.PID, gen.Ref, Any]] = []

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        self.waiting.append((sender, ref, request))
        if len(self.waiting) == OPEN:
            waiting, self.waiting = self.waiting, []
            for question in waiting:
                self.send_response(*question)
        return gen.NO_REPLY


class Forwarder(act.Actor):
    def init(self, upstream: gen.PID) -> None:
        self.upstream = upstream

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.send_request(self.upstream, message, label=sender)

    def handle_response(self, label: Any, answer: Any) -> None:
        self.send(label, answer)


class ForwarderAsync(act.Actor):
    def init(self, upstream: gen.PID) -> None:
        self.upstream = upstream

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.send(sender, await self.call(self.upstream, message))


class Asker(act.Actor):
    """Asks `OPEN` questions, and the next ones when all are answered."""

    def init(self, forwarder: gen.PID, rounds: int, done: asyncio.Event) -> None:
        self.forwarder, self.rounds, self.done = forwarder, rounds, done
        self.left = 1

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.left -= 1
        if self.left:
            return
        if self.rounds == 0:
            self.done.set()
            return
        self.rounds -= 1
        self.left = OPEN
        for question in range(OPEN):
            self.send(self.forwarder, question)


class Idle(act.Actor):
    def handle_message(self, sender: gen.PID, message: Any) -> None:
        pass


class Homing:
    """`actors.Contestant`. options: those of its node. clock: called before the first operation and after the last.
    side_by_side: its forwarder has asynchronous callbacks that run side by side.

    message: what `send` sends.
    """

    message: Any = 1

    def __init__(
        self,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None,
        options: gen.NodeOptions | None = None,
        clock: Callable[[], float] = process_time,
        side_by_side: bool = False,
    ) -> None:
        self._side_by_side = side_by_side
        self._loop_factory = loop_factory
        self._options = options
        self._clock = clock

    def _run(self, measure: Callable[[homing.Node], Coroutine[Any, Any, float]]) -> float:
        async def main() -> float:
            async with homing.start_node("bench@localhost", self._options) as node:
                return await measure(node)

        with asyncio.Runner(loop_factory=self._loop_factory) as runner:
            return runner.run(main())

    def other(self, node: homing.Node) -> homing.Node:
        """Returns the node of those that receive."""
        return node

    def send(self, n: int) -> float:
        async def measure(node: homing.Node) -> float:
            done = asyncio.Event()
            sink = await self.other(node).spawn(Sink, n, done)
            source = await node.spawn(Source, sink, n // BURST)
            begin = self._clock()
            node.send(source, self.message)
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
            caller = await node.spawn(Caller, await self.other(node).spawn(Callee))
            begin = self._clock()
            await node.call(caller, n, timeout=60.0)
            return self._clock() - begin

        return self._run(measure)

    def request(self, n: int) -> float:
        async def measure(node: homing.Node) -> float:
            done = asyncio.Event()
            requester = await node.spawn(Requester, await node.spawn(Callee), n, done)
            begin = self._clock()
            node.send(requester, 1)
            await done.wait()
            return self._clock() - begin

        return self._run(measure)

    def forward(self, n: int) -> float:
        async def measure(node: homing.Node) -> float:
            done, rounds = asyncio.Event(), n // OPEN
            behavior, at_once = (ForwarderAsync, OPEN) if self._side_by_side else (Forwarder, 1)
            options = gen.ProcessOptions(concurrency=at_once)
            forwarder = await node.spawn(behavior, await node.spawn(Upstream), options=options)
            asker = await node.spawn(Asker, forwarder, rounds, done)
            begin = self._clock()
            node.send(asker, "begin")
            await done.wait()
            return (self._clock() - begin) * n / (rounds * OPEN)

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
