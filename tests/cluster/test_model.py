"""Whatever happens to nodes and networks: order without holes in an epoch, no call without an end, and all join again.

Steps that hypothesis chooses run in virtual time on a network in memory. Links and monitors have a place in `STEPS` and
in `World.check`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homing import gen
from homing.cluster.memory_engine import MemoryNetwork
from homing.testing import run_virtual

from ..support import examples
from .nodes import Member, member, until

NAMES = ("a", "b", "c")
CALL_SECONDS = 6.0

node = st.sampled_from(NAMES)
pair = st.tuples(node, node).filter(lambda both: both[0] != both[1])
STEPS = st.one_of(
    st.tuples(st.just("send"), pair, st.integers(1, 300)),
    st.tuples(st.just("send"), pair, st.integers(1, 3)),
    st.tuples(st.just("call"), pair),
    st.tuples(st.just("partition"), pair, st.booleans()),
    st.tuples(st.just("heal")),
    st.tuples(st.just("freeze"), node),
    st.tuples(st.just("thaw"), node),
    st.tuples(st.just("restart"), node, st.booleans()),
    st.tuples(st.just("drop"), pair),
    st.tuples(st.just("duplicate"), pair),
    st.tuples(st.just("wait"), st.sampled_from((0.0, 0.0005, 0.01, 0.6, 2.5))),
)


class World:
    """The nodes, and what they have sent."""

    def __init__(self, seed: int) -> None:
        self.network = MemoryNetwork(seed=seed, jitter=0.002)
        self.members: dict[str, Member] = {}
        self.stopped: list[Member] = []
        self.calls: list[asyncio.Task[Any]] = []
        self.sent: dict[Any, int] = defaultdict(int)

    async def start(self, name: str) -> None:
        self.members[name] = await member(self.network, name, link_window=64 << 10)

    async def send(self, pair: tuple[str, str], count: int) -> None:
        source, target = self.members[pair[0]], self.members[pair[1]]
        link = source.cluster.links.get(target.node.name)
        if link is None or link.peer.creation != target.pid.creation:
            return
        stream = (source.node.name, source.pid.creation, link.outbox.epoch)
        for _ in range(count):
            number = self.sent[stream, target.node.name]
            self.sent[stream, target.node.name] += 1
            source.keeper.send(target.pid, (*stream, number, "x" * (number % 5) * 400))

    async def call(self, pair: tuple[str, str]) -> None:
        source, target = self.members[pair[0]], self.members[pair[1]]

        async def ask() -> None:
            try:
                answer = await source.node.call(target.pid, "question", timeout=CALL_SECONDS)
                assert answer == "answer to question"
            except gen.HomingError:
                pass

        self.calls.append(asyncio.create_task(ask()))

    async def partition(self, pair: tuple[str, str], one_way: bool) -> None:
        self.network.partition(*(f"{name}@localhost" for name in pair), one_way=one_way)

    async def heal(self) -> None:
        self.network.heal()

    async def freeze(self, name: str) -> None:
        self.network.freeze(f"{name}@localhost")

    async def thaw(self, name: str) -> None:
        self.network.thaw(f"{name}@localhost")

    async def restart(self, name: str, abruptly: bool) -> None:
        earlier = self.members[name]
        if abruptly:
            self.network.kill(earlier.node.name)
        self.network.thaw(earlier.node.name)
        await earlier.node.stop(timeout=1.0)
        self.stopped.append(earlier)
        await self.start(name)

    async def drop(self, pair: tuple[str, str]) -> None:
        self.network.drop_next(*(f"{name}@localhost" for name in pair))

    async def duplicate(self, pair: tuple[str, str]) -> None:
        self.network.duplicate_next(*(f"{name}@localhost" for name in pair))

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def all_up(self) -> bool:
        return all(len(one.cluster.links) == len(NAMES) - 1 for one in self.members.values())

    def check(self) -> None:
        """The promises of messages. Those of links and monitors belong here too."""
        for one in [*self.stopped, *self.members.values()]:
            streams: dict[Any, list[int]] = defaultdict(list)
            latest: dict[str, Any] = {}
            for message in one.messages:
                if not isinstance(message, tuple):
                    continue
                sender, creation, epoch, number, _ = message
                assert (creation, epoch) >= latest.get(sender, (0, 0)), "a message of an earlier epoch"
                latest[sender] = (creation, epoch)
                streams[sender, creation, epoch].append(number)
            for stream, numbers in streams.items():
                assert numbers == list(range(len(numbers))), f"a hole or another order in {stream}"


async def live(seed: int, steps: list[Any]) -> None:
    world = World(seed)
    for name in NAMES:
        await world.start(name)
    await until(world.all_up)
    for step, *arguments in steps:
        await getattr(world, step)(*arguments)
    for name in NAMES:
        world.network.thaw(f"{name}@localhost")
    world.network.heal()
    world.network.lossy.clear()
    await asyncio.sleep(CALL_SECONDS + 1)
    assert all(call.done() for call in world.calls), "a call without an end"
    for call in world.calls:
        call.result()
    await asyncio.sleep(2)  # a batch lost behind which nothing was sent is noticed within a second
    await until(world.all_up)
    await asyncio.sleep(1)
    for one in world.members.values():
        assert len(one.node._core.calls) == 0
    await until(world.all_up)
    for pair in (("a", "b"), ("b", "c"), ("c", "a")):
        assert await world.members[pair[0]].node.call(world.members[pair[1]].pid, "question") == "answer to question"
    world.check()
    for one in world.members.values():
        await one.node.stop()


@pytest.mark.timeout(300)
@settings(max_examples=examples(20, 150))
@given(st.integers(0, 1000), st.lists(STEPS, max_size=25))
def test_whatever_happens_messages_keep_their_order_calls_end_and_nodes_meet_again(seed: int, steps: list[Any]) -> None:
    run_virtual(live, seed, steps)
