"""A node of the cluster benchmarks, as a program: `python -m bench.cluster_node NAME SECRET|CERTIFICATE PORT PORT...`.

The first port is its own, the others are those of nodes that it joins. It reads commands, one a line, and answers
each with a line of numbers: see `cluster.py`. `cluster_node.erl` is the same program for Erlang.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Any

import msgspec

import homing
from homing import act, gen

from . import child

GROUP = 256
"""Messages that a sender sends before others run."""

TICK_SECONDS = 0.005
TICK_BYTES = 16 * 1024


class Reading(msgspec.Struct, array_like=True, frozen=True):
    """A message of four fields, about 64 bytes."""

    device: str
    value: float
    at: int
    note: str


MESSAGES: dict[str, list[Any]] = {
    "typed": [Reading(f"device-{number}", 20.5, 1_764_397_000 + number, "x" * 30) for number in range(GROUP)],
    "bytes": [os.urandom(64) for _ in range(GROUP)],
}


class Sink(act.Actor):
    """Counts messages, and answers calls."""

    def init(self) -> None:
        self.count = 0

    def handle_message(self, sender: Any, message: Any) -> None:
        self.count += 1

    def handle_call(self, sender: Any, ref: Any, request: Any) -> Any:
        return request


class Source(act.Actor):
    """Sends groups of messages, as long as there is room for them."""

    def init(self, to: Any, messages: list[Any]) -> None:
        self.to, self.messages = to, messages
        self.send(self.pid, "go")

    def handle_message(self, sender: Any, message: Any) -> None:
        to, send = self.to, self.send
        try:
            for one in self.messages:
                send(to, one)
        except gen.NodeBusy:
            self.send_after(self.pid, "go", 0.001)
        else:
            send(self.pid, "go")


class Ticks(act.Actor):
    """Keeps the longest time between two ticks, and counts those that are missing."""

    def init(self) -> None:
        self.next, self.at, self.gap, self.lost = 0, 0.0, 0.0, 0

    def handle_message(self, sender: Any, message: Any) -> None:
        number, _ = message
        now = time.monotonic()
        if number == 0:
            self.next, self.gap, self.lost = 0, 0.0, 0
        else:
            self.gap = max(self.gap, now - self.at)
        self.lost += number - self.next
        self.next, self.at = number + 1, now


class Ticker(act.Actor):
    """Sends a tick to each of the nodes every 5 ms."""

    def init(self, nodes: list[str]) -> None:
        self.targets = [gen.ProcessID("ticks", node) for node in nodes]
        self.number = 0
        self.send(self.pid, "tick")

    def handle_message(self, sender: Any, message: Any) -> None:
        self.send_after(self.pid, "tick", TICK_SECONDS)
        tick = (self.number, bytes(TICK_BYTES))
        self.number += 1
        for to in self.targets:
            try:
                self.send(to, tick)
            except gen.DeliveryError:
                pass


class Program:
    """The commands."""

    def __init__(self, node: homing.Node, options: gen.ClusterOptions) -> None:
        self.node, self.options = node, options
        self.worst = 0.0
        self.downs: dict[str, float] = {}
        self.started: list[gen.PID] = []

    def behavior(self, name: str) -> Any:
        return self.node._core.processes[self.node._core.registry.names[name]].behavior

    async def begin(self) -> None:
        self.sink = await self._spawn(Sink, name="sink")
        self.ticks = await self._spawn(Ticks, name="ticks")
        self.lagging = asyncio.ensure_future(self._lag())

    async def _spawn(self, kind: type[act.Actor], *args: Any, name: str | None = None) -> Any:
        pid = await self.node.spawn(kind, *args, name=name, options=gen.ProcessOptions(mailbox_size=10_000_000))
        if name is None:
            self.started.append(pid)
        return self.node._core.processes[pid].behavior

    async def _lag(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(TICK_SECONDS)
            self.worst = max(self.worst, time.monotonic() - before - TICK_SECONDS)

    # --- commands: each returns numbers ---------------------------------------------------------------------------

    async def join(self) -> tuple[float, ...]:
        """Joins the cluster."""
        self.cluster = await homing.cluster.join(self.node, self.options)
        await self._spawn(self._watcher())
        return ()

    def _watcher(self) -> type[act.Actor]:
        downs, event = self.downs, self.cluster.event

        class Watcher(act.Actor):
            def init(self) -> None:
                self.link(event)

            def handle_event(self, message: Any) -> None:
                match message.message:
                    case gen.MessageNodeDown(name=name):
                        downs[name] = time.time()

        return Watcher

    async def up(self, count: str) -> tuple[float, ...]:
        """Waits until so many others are up; returns the time."""
        while len(self.cluster.links) < int(count):
            await asyncio.sleep(0.001)
        return (time.time(),)

    async def count(self) -> tuple[float, ...]:
        """Returns the messages counted so far, the time, the processor time used, and the worst lag since the last."""
        worst, self.worst = self.worst, 0.0
        return (self.sink.count, time.time(), time.process_time(), worst)

    async def send(self, kind: str, to: str) -> tuple[float, ...]:
        """Begins to send to the sink of a node."""
        await self._spawn(Source, gen.ProcessID("sink", to), MESSAGES[kind])
        return ()

    async def tick(self, *nodes: str) -> tuple[float, ...]:
        """Begins to send ticks to nodes."""
        await self._spawn(Ticker, list(nodes))
        return ()

    async def stop(self) -> tuple[float, ...]:
        """Ends what was begun."""
        for pid in self.started:
            self.node.kill(pid)
        return ()

    async def gap(self) -> tuple[float, ...]:
        """Returns the ticks that came, the longest time between two, and how many are missing."""
        return (self.ticks.next, self.ticks.gap, self.ticks.lost)

    async def down(self, name: str) -> tuple[float, ...]:
        """Waits until a node is down; returns when that was."""
        while name not in self.downs:
            await asyncio.sleep(0.001)
        return (self.downs.pop(name),)

    async def call(self, to: str, open_calls: str, seconds: str) -> tuple[float, ...]:
        """Calls the sink of a node, with so many calls open. Returns calls per second and percentiles 50 and 99."""
        target, took = gen.ProcessID("sink", to), list[float]()
        began = time.perf_counter()
        warm, end = began + 0.1 * float(seconds), began + 1.1 * float(seconds)

        async def caller() -> None:
            while (before := time.perf_counter()) < end:
                await self.node.call(target, b"ping")
                if before > warm:
                    took.append(time.perf_counter() - before)

        await asyncio.gather(*(caller() for _ in range(int(open_calls))))
        took.sort()
        return (len(took) / float(seconds), took[len(took) // 2], took[len(took) * 99 // 100])


async def main() -> None:
    name, proof, own, *others = sys.argv[1:]
    secure = os.path.isdir(proof)
    protocol = "tls" if secure else "tcp"
    options = gen.ClusterOptions(
        name="bench",
        listen=(f"{protocol}/127.0.0.1:{own}",),
        join=tuple(f"{protocol}/127.0.0.1:{other}" for other in others),
        **({"cert": proof} if secure else {"secret_file": proof}),  # type: ignore[arg-type]
        types=(Reading,),
        link_window=2 << 20,
    )
    node = await homing.start_node(name, gen.NodeOptions(handle_signals=False))
    program = Program(node, options)
    await program.begin()
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command, *words = line.split()
        print(*await getattr(program, command)(*words), flush=True)
    program.lagging.cancel()
    await node.stop()


if __name__ == "__main__":
    child.limit_life()
    with asyncio.Runner(loop_factory=homing.new_event_loop) as runner:
        runner.run(main())
