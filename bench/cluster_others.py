"""Nodes of other Python libraries in the cluster benchmarks: `python -m bench.cluster_others LIBRARY NAME OTHER...`.

They know the commands that their library can do: see `cluster_node.py`. NAME is NAME@HOST:PORT for lapinbeam, and
HOST:PORT for xoscar.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from . import child

GROUP = 256
TICK_SECONDS = 0.005
CALL_TIMEOUT = 30.0


@dataclass
class Reading:
    """A message of four fields, about 64 bytes."""

    device: str
    value: float
    at: int
    note: str


TYPED = [Reading(f"device-{number}", 20.5, 1_764_397_000 + number, "x" * 30) for number in range(GROUP)]


class Program:
    """The commands. `counted`: messages that have arrived. A library fills in the methods that raise."""

    def __init__(self, name: str, others: list[str]) -> None:
        self.name, self.others = name, others
        self.counted, self.worst = 0, 0.0
        self.tasks: set[asyncio.Task[None]] = set()

    async def begin(self) -> None:
        raise NotImplementedError

    async def join(self) -> tuple[float, ...]:
        raise NotImplementedError

    async def target(self, to: str) -> tuple[Callable[[Any], Awaitable[Any]], Callable[[Any], Awaitable[Any]]]:
        """Returns what sends a message to the sink of a node, and what calls it."""
        raise NotImplementedError

    async def _lag(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(TICK_SECONDS)
            self.worst = max(self.worst, time.monotonic() - before - TICK_SECONDS)

    async def up(self, count: str) -> tuple[float, ...]:
        return (time.time(),)

    async def count(self) -> tuple[float, ...]:
        worst, self.worst = self.worst, 0.0
        return (self.counted, time.time(), time.process_time(), worst)

    async def send(self, kind: str, to: str) -> tuple[float, ...]:
        send, _ = await self.target(to)
        messages: list[Any] = list(TYPED) if kind == "typed" else self.payloads()

        async def source() -> None:
            while True:
                for message in messages:
                    try:
                        await send(message)
                    except RuntimeError:  # lapinbeam's queue to the node is full
                        await asyncio.sleep(0.001)
                await asyncio.sleep(0)

        self.run(source())
        return ()

    def payloads(self) -> list[Any]:
        """Messages of 64 bytes."""
        return [bytes(64)] * GROUP

    def run(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)

    async def call(self, to: str, open_calls: str, seconds: str) -> tuple[float, ...]:
        _, call = await self.target(to)
        took: list[float] = []
        began = time.perf_counter()
        warm, end = began + 0.1 * float(seconds), began + 1.1 * float(seconds)

        async def caller() -> None:
            while (before := time.perf_counter()) < end:
                await call("ping")
                if before > warm:
                    took.append(time.perf_counter() - before)

        await asyncio.gather(*(caller() for _ in range(int(open_calls))))
        took.sort()
        return (len(took) / float(seconds), took[len(took) // 2], took[len(took) * 99 // 100])


class Lapinbeam(Program):
    async def begin(self) -> None:
        library: Any = import_module("lapinbeam")
        program = self

        async def receive(sink: Any, message: Any) -> None:
            if message == "ping":
                await library.current_message().reply(message)
            else:
                program.counted += 1

        # its codec finds the class of a message by a marker that both nodes have registered
        self.node = library.Node(self.name)
        await self.node.start()
        self.supervisor = library.Supervisor(node=self.node)
        self.supervisor.spawn(library.actor(name="sink")(type("Sink", (), {"receive": receive})))

    async def join(self) -> tuple[float, ...]:
        for other in self.others:
            await self.node.connect_peer(other)
        return ()

    async def target(self, to: str) -> tuple[Callable[[Any], Awaitable[Any]], Callable[[Any], Awaitable[Any]]]:
        sink = self.node.get_remote_actor(to, "sink")
        return sink.send, lambda request: sink.ask(request, timeout=CALL_TIMEOUT)

    def payloads(self) -> list[Any]:
        return ["x" * 64] * GROUP  # it has no bytes


class Xoscar(Program):
    async def begin(self) -> None:
        library: Any = import_module("xoscar")
        program = self

        async def put(sink: Any, message: Any) -> None:
            program.counted += 1

        async def echo(sink: Any, request: Any) -> Any:
            return request

        kind = type("Sink", (library.Actor,), {"put": put, "echo": echo})
        self.pool = await library.create_actor_pool(self.name, n_process=0)
        await self.pool.start()
        await library.create_actor(kind, uid="sink", address=self.name)

    async def join(self) -> tuple[float, ...]:
        return ()

    async def target(self, to: str) -> tuple[Callable[[Any], Awaitable[Any]], Callable[[Any], Awaitable[Any]]]:
        sink: Any = await import_module("xoscar").actor_ref("sink", address=to)
        return sink.put.tell, sink.echo


async def main() -> None:
    library, name, *others = sys.argv[1:]
    program: Program = {"lapinbeam": Lapinbeam, "xoscar": Xoscar}[library](name, others)
    await program.begin()
    program.run(program._lag())
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command, *words = line.split()
        print(*await getattr(program, command)(*words), flush=True)


if __name__ == "__main__":
    child.limit_life()
    asyncio.run(main())
