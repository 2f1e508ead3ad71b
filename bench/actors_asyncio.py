"""The simplest actor on bare asyncio: a task and a queue, and a future for the answer to a call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import process_time
from typing import Any

from .actors import BURST, OPEN
from .memory import resident


async def _sink(queue: asyncio.Queue[int], expected: int) -> None:
    for _ in range(expected):
        await queue.get()


async def _source(queue: asyncio.Queue[int], bursts: int) -> None:
    for _ in range(bursts):
        for _ in range(BURST):
            queue.put_nowait(1)
        await asyncio.sleep(0)


async def _player(mine: asyncio.Queue[int], other: asyncio.Queue[int], rounds: int) -> None:
    for _ in range(rounds):
        other.put_nowait(await mine.get())


async def _callee(queue: asyncio.Queue[tuple[int, asyncio.Future[int]]]) -> None:
    while True:
        request, answer = await queue.get()
        answer.set_result(request)


async def _idle(queue: asyncio.Queue[int]) -> None:
    while True:
        await queue.get()


class Bare:
    """`actors.Contestant`."""

    def __init__(self, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None) -> None:
        self._loop_factory = loop_factory

    def _run(self, measure: Any) -> float:
        with asyncio.Runner(loop_factory=self._loop_factory) as runner:
            seconds: float = runner.run(measure)
            return seconds

    def send(self, n: int) -> float:
        async def measure() -> float:
            queue: asyncio.Queue[int] = asyncio.Queue()
            begin = process_time()
            await asyncio.gather(_sink(queue, n), _source(queue, n // BURST))
            return process_time() - begin

        return self._run(measure())

    def pingpong(self, n: int) -> float:
        async def measure() -> float:
            ping: asyncio.Queue[int] = asyncio.Queue()
            pong: asyncio.Queue[int] = asyncio.Queue()
            begin = process_time()
            ping.put_nowait(1)
            await asyncio.gather(_player(ping, pong, n // 2), _player(pong, ping, n // 2))
            return process_time() - begin

        return self._run(measure())

    def call(self, n: int) -> float:
        async def measure() -> float:
            queue: asyncio.Queue[tuple[int, asyncio.Future[int]]] = asyncio.Queue()
            callee = asyncio.create_task(_callee(queue))
            loop = asyncio.get_running_loop()
            begin = process_time()
            for _ in range(n):
                answer: asyncio.Future[int] = loop.create_future()
                queue.put_nowait((1, answer))
                await answer
            seconds = process_time() - begin
            callee.cancel()
            return seconds

        return self._run(measure())

    def forward(self, n: int) -> float:
        async def measure() -> float:
            loop, rounds = asyncio.get_running_loop(), n // OPEN
            waiting: list[tuple[int, asyncio.Future[int]]] = []

            async def ask(question: int) -> int:
                answer: asyncio.Future[int] = loop.create_future()
                waiting.append((question, answer))
                if len(waiting) == OPEN:
                    for asked, future in waiting:
                        future.set_result(asked)
                    waiting.clear()
                return await answer

            begin = process_time()
            for _ in range(rounds):
                await asyncio.gather(*(ask(question) for question in range(OPEN)))
            return (process_time() - begin) * n / (rounds * OPEN)

        return self._run(measure())

    def spawn(self, n: int) -> float:
        async def measure() -> float:
            tasks = []
            begin = process_time()
            for count in range(n):
                tasks.append(asyncio.create_task(_idle(asyncio.Queue())))
                if count % BURST == 0:
                    await asyncio.sleep(0)
            await asyncio.sleep(0)
            return process_time() - begin

        return self._run(measure())

    def memory(self, n: int, used: bool) -> float:
        async def measure() -> float:
            before = resident()
            queues: list[asyncio.Queue[int]] = [asyncio.Queue() for _ in range(n)]
            tasks = [asyncio.create_task(_idle(queue)) for queue in queues]
            await asyncio.sleep(0)
            if used:
                for queue in queues:
                    queue.put_nowait(1)
                while not all(queue.empty() for queue in queues):
                    await asyncio.sleep(0)
            return (resident() - before) / len(tasks)

        return self._run(measure())
