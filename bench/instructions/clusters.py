"""The actors of `python -m bench`, with a cluster open, and with one of the two on another node of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import msgspec

import homing
from homing import gen
from homing.cluster.memory_engine import MemoryNetwork

from ..actors_homing import Homing
from .servers import NODE


class Reading(msgspec.Struct, array_like=True, frozen=True):
    """A message of four fields."""

    device: str
    value: float
    at: int
    note: str


class Clustered(Homing):
    """The node is in a cluster. What it sends to itself costs what it costs without."""

    names: tuple[str, ...] = ()
    """Other nodes of the cluster, in this process."""

    def _run(self, measure: Callable[[homing.Node], Coroutine[None, None, float]]) -> float:
        async def main() -> float:
            network = MemoryNetwork(delay=0.0)
            options = gen.ClusterOptions(name="bench", types=(Reading,))
            nodes = [await homing.start_node(f"{name}@localhost", NODE) for name in ("bench", *self.names)]
            for node in nodes:
                await homing.cluster.join(node, options, engine=network.engine())
            while len(nodes[0].cluster.links) < len(self.names):
                await asyncio.sleep(0.01)
            self._nodes = nodes
            try:
                return await measure(nodes[0])
            finally:
                for node in nodes:
                    await node.stop()

        with asyncio.Runner(loop_factory=self._loop_factory) as runner:
            return runner.run(main())


class Remote(Clustered):
    """The receiver is on another node: batches go from one to the other in memory. Both ends are counted."""

    names = ("other",)
    message = Reading("device", 1.5, 1764397000, "x" * 30)

    def other(self, node: homing.Node) -> homing.Node:
        return self._nodes[1]
