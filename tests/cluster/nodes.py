"""Nodes of a cluster in memory, in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec

import homing
from homing import act, gen
from homing.cluster.memory_engine import MemoryNetwork
from homing.testing import run_virtual

T = TypeVar("T")


class Reading(msgspec.Struct, frozen=True):
    """A message that may travel."""

    device: str
    value: float
    at: int = 0


OPTIONS: dict[str, Any] = {"name": "test", "types": (Reading,)}


class Keeper(act.Actor):
    """Keeps what it gets, and answers requests with them."""

    def init(self) -> None:
        self.got: list[tuple[Any, Any]] = []

    def handle_message(self, sender: Any, message: Any) -> None:
        self.got.append((sender, message))

    def handle_call(self, sender: Any, ref: Any, request: Any) -> Any:
        self.got.append((sender, request))
        return f"answer to {request}"

    def handle_event(self, event: gen.MessageEvent) -> None:
        self.got.append((None, event.message))


class Member:
    """A node of a cluster. kept: its `Keeper`, registered as "keeper"."""

    def __init__(self, node: homing.Node, cluster: Any, engine: Any, pid: gen.PID) -> None:
        self.node = node
        self.cluster = cluster
        self.engine = engine
        self.pid = pid
        self.keeper: Keeper = behavior_of(node, pid)

    @property
    def messages(self) -> list[Any]:
        return [message for _, message in self.keeper.got]


def behavior_of(node: homing.Node, pid: gen.PID) -> Any:
    return node._core.processes[pid].behavior


async def member(network: MemoryNetwork, name: str, **options: Any) -> Member:
    node = await homing.start_node(f"{name}@localhost")
    pid = await node.spawn(Keeper, name="keeper")
    engine = network.engine()
    cluster = await homing.cluster.join(node, gen.ClusterOptions(**(OPTIONS | options)), engine=engine)
    return Member(node, cluster, engine, pid)


@asynccontextmanager
async def members(*names: str, network: MemoryNetwork | None = None, **options: Any) -> AsyncIterator[Any]:
    """Nodes that are up for each other."""
    network = network or MemoryNetwork()
    started = [await member(network, name, **options) for name in names]
    try:
        for one in started:
            await until(lambda one=one: len(one.cluster.links) == len(started) - 1)
        yield started
    finally:
        for one in started:
            await one.node.stop()


async def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Waits, in virtual time, until a condition is true."""
    import asyncio

    async with asyncio.timeout(seconds):
        while not (value := condition()):
            await asyncio.sleep(0.001)
    return value


def virtual(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs an `async def` test in virtual time."""

    def run(**arguments: Any) -> None:
        async def main() -> None:
            await test(**arguments)

        run_virtual(main)

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run
