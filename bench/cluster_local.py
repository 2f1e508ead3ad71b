"""The cost of a message to another node, without a transport: `python -m bench.cluster_local [SECONDS]`.

Two nodes in one process on one loop; batches go from one to the other in memory. The figures are processor time of all
that a message takes: encoding at `send`, batches, decoding, the mailbox, and a `handle_message` that counts.
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
from homing.cluster.memory_engine import MemoryNetwork

GROUP = 256


class Reading(msgspec.Struct, array_like=True, frozen=True):
    """A typed message of four fields."""

    device: str
    value: float
    at: int
    note: str


class Sink(act.Actor):
    """Counts."""

    def init(self) -> None:
        self.count = 0

    def handle_message(self, sender: Any, message: Any) -> None:
        self.count += 1

    def handle_call(self, sender: Any, ref: Any, request: Any) -> Any:
        return request


class Source(act.Actor):
    """Sends groups of messages, as long as there is room."""

    def init(self, to: Any, messages: list[Any]) -> None:
        self.to, self.messages, self.sending = to, messages, 0.0

    def handle_message(self, sender: Any, message: Any) -> None:
        to = self.to
        start = time.perf_counter()
        try:
            for one in self.messages:
                self.send(to, one)
        except gen.NodeBusy:
            self.send_after(self.pid, "go", 0.001)
        else:
            self.sending += time.perf_counter() - start
            self.send(self.pid, "go")


async def main() -> None:
    """Measures each kind of message, and calls."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    network = MemoryNetwork(delay=0.0)
    nodes = [await homing.start_node(f"{name}@localhost") for name in ("a", "b")]
    options = gen.ClusterOptions(name="bench", types=(Reading,))
    for node in nodes:
        await homing.cluster.join(node, options, engine=network.engine())
    while not nodes[0].cluster.nodes() or not nodes[0].cluster.nodes()[0].up:
        await asyncio.sleep(0.01)
    kinds: dict[str, list[Any]] = {
        "typed, 4 fields": [Reading(f"dev{i}", 1.5, 1764397000 + i, "x" * 30) for i in range(GROUP)],
        "bytes, 64": [os.urandom(64) for _ in range(GROUP)],
    }
    for name, messages in kinds.items():
        sink = await nodes[1].spawn(Sink)
        source = await nodes[0].spawn(Source, sink, messages)
        began = time.process_time()
        nodes[0].send(source, "go")
        await asyncio.sleep(seconds)
        behavior: Any = nodes[0]._core.processes[source].behavior
        sent = nodes[0]._core.processes[source].messages_out
        sending = behavior.sending
        nodes[0].kill(source)
        counter: Any = nodes[1]._core.processes[sink].behavior
        last = -1
        while counter.count != last:
            last = counter.count
            await asyncio.sleep(0.1)
        used = time.process_time() - began
        print(f"{name}: {used / last * 1e6:.2f} us a message, both ends; {sending / sent * 1e6:.2f} us in send; {last}")
    sink = await nodes[1].spawn(Sink)
    began, count = time.process_time(), 2000
    for _ in range(count):
        await nodes[0].call(sink, b"ping")
    print(f"call, one at a time: {(time.process_time() - began) / count * 1e6:.0f} us")
    for node in nodes:
        await node.stop()


if __name__ == "__main__":
    asyncio.run(main())
