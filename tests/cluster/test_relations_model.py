"""Links, monitors and subscriptions against a model: whatever order they are made and removed in, processes end, nodes
are cut off and started again, each has exactly one end: it is removed, or its process is notified once."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homing import gen
from homing.cluster.memory_engine import MemoryNetwork
from homing.testing import run_virtual

from ..support import examples
from .nodes import Member, member, until
from .relating import NONE_LEFT, Publisher, Watcher, process, relations_left

NODES = ("a", "b")
EACH = 2
"""Consumers and subjects of each node."""

_node, _one = st.sampled_from(NODES), st.integers(0, EACH - 1)
_relation = (_node, _one, _node, _one, st.sampled_from(["pid", "name", "alias", "event"]), st.booleans())
STEPS = st.one_of(
    st.tuples(st.just("relate"), *_relation),
    st.tuples(st.just("relate"), *_relation),
    st.tuples(st.just("part"), *_relation),
    st.tuples(st.sampled_from(["end subject", "end consumer", "rename", "publish"]), _node, _one),
    st.tuples(st.sampled_from(["cut", "heal"])),
    st.tuples(st.just("restart"), _node, st.booleans()),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.005, 0.03, 0.1, 3.0])),
)
SUBJECT = {
    gen.MessageExitPID: ("pid", True),
    gen.MessageExitName: ("name", True),
    gen.MessageExitAlias: ("alias", True),
    gen.MessageExitEvent: ("event", True),
    gen.MessageDownPID: ("pid", False),
    gen.MessageDownName: ("name", False),
    gen.MessageDownAlias: ("alias", False),
    gen.MessageDownEvent: ("event", False),
}


class Consumer(Watcher):
    """A watcher, and the model of it: how many of its relations should have ended by a notice."""

    def init(self) -> None:
        super().init()
        self.expected: Counter[Any] = Counter()

    @property
    def notified(self) -> Counter[Any]:
        found = Counter[Any]()
        for notice in self.got:
            if type(notice) in SUBJECT:
                field, link = SUBJECT[type(notice)]
                found[getattr(notice, field), link] += 1
        return found


class World:
    """Two nodes, each with consumers and subjects."""

    def __init__(self, seed: int) -> None:
        self.network = MemoryNetwork(delay=0.01, jitter=0.02, seed=seed, lease=1.0)
        self.members: dict[str, Member] = {}
        self.consumers: dict[tuple[str, int], Consumer] = {}
        self.subjects: dict[tuple[str, int], Publisher] = {}
        self.aliases: dict[tuple[str, int], gen.Alias] = {}
        self.published: dict[int, tuple[str, int]] = {}

    async def start(self, name: str) -> None:
        self.members[name] = await member(self.network, name)
        for number in range(EACH):
            self.consumers[name, number] = await process(self.members[name], Consumer)
            await self.start_subject(name, number)

    async def start_subject(self, name: str, number: int) -> None:
        self.subjects[name, number] = subject = await process(self.members[name], Subject, f"news {number}")
        subject.register_name(f"subject {number}")
        self.aliases[name, number] = subject.create_alias()

    def address(self, name: str, number: int, kind: str) -> gen.Subject:
        node = self.members[name].node.name
        if kind == "name":
            return gen.ProcessID(f"subject {number}", node)
        if kind == "event":
            return gen.Event(f"news {number}", node)
        return self.aliases[name, number] if kind == "alias" else self.subjects[name, number].pid

    async def step(self, what: str, *args: Any) -> None:
        await getattr(self, what.replace(" ", "_"))(*args)

    async def relate(self, at: str, consumer: int, name: str, number: int, kind: str, link: bool) -> None:
        one, subject = self.consumers[at, consumer], self.address(name, number, kind)
        try:
            (one.link if link else one.monitor)(subject)
        except gen.HomingError:
            return
        one.expected[subject, link] += 1

    async def part(self, at: str, consumer: int, name: str, number: int, kind: str, link: bool) -> None:
        one, subject = self.consumers[at, consumer], self.address(name, number, kind)
        if (one.unlink if link else one.demonitor)(subject):
            one.expected[subject, link] -= 1

    async def end_subject(self, name: str, number: int) -> None:
        self.members[name].node.kill(self.subjects[name, number].pid)
        await self.start_subject(name, number)

    async def rename(self, name: str, number: int) -> None:
        subject = self.subjects[name, number]
        subject.unregister_name()
        subject.register_name(f"subject {number}")
        subject.delete_alias(self.aliases[name, number])
        self.aliases[name, number] = subject.create_alias()
        subject.unregister_event(subject.topic)
        subject.token = subject.register_event(subject.topic)

    async def end_consumer(self, name: str, number: int) -> None:
        self.members[name].node.kill(self.consumers[name, number].pid)
        self.check(self.consumers[name, number], at_most=True)
        self.consumers[name, number] = await process(self.members[name], Consumer)

    async def publish(self, name: str, number: int) -> None:
        count = len(self.published)
        self.published[count] = (name, number)
        self.subjects[name, number].publish(count)

    async def cut(self) -> None:
        self.network.partition(*(one.node.name for one in self.members.values()))

    async def heal(self) -> None:
        self.network.heal()

    async def restart(self, name: str, orderly: bool) -> None:
        if not orderly:
            self.network.kill(self.members[name].node.name)
        await self.members[name].node.stop()
        await self.start(name)

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def check(self, one: Consumer, at_most: bool = False) -> None:
        notified = one.notified
        assert all(notified[key] <= one.expected[key] for key in notified)
        assert at_most or +notified == +one.expected
        for source in set(self.published.values()):
            numbers = [each for each in one.got if isinstance(each, int) and self.published[each] == source]
            assert numbers == sorted(set(numbers))

    async def finish(self) -> None:
        """Ends all subjects once all can be reached: then every relation has had its end."""
        self.network.heal()
        await until(lambda: all(one.cluster.links for one in self.members.values()))
        await asyncio.sleep(1)
        for (name, _), subject in self.subjects.items():
            self.members[name].node.kill(subject.pid)
        await asyncio.sleep(1)
        for one in self.consumers.values():
            self.check(one)
        assert [relations_left(one) for one in self.members.values()] == [NONE_LEFT] * len(NODES)


class Subject(Publisher):
    """A publisher of an event of its own."""

    def init(self, topic: str) -> None:  # type: ignore[override]
        self.topic = topic
        self.got = []
        self.token = self.register_event(topic)

    def publish(self, message: Any) -> int:
        return self.send_event(self.topic, self.token, message)


async def play(seed: int, steps: list[tuple[Any, ...]]) -> None:
    world = World(seed)
    for name in NODES:
        await world.start(name)
    await until(lambda: all(one.cluster.links for one in world.members.values()))
    try:
        for each in steps:
            await world.step(*each)
        await world.finish()
    finally:
        for one in world.members.values():
            await one.node.stop()


@pytest.mark.thorough
@settings(max_examples=examples(40, 2000))
@given(st.integers(0, 1000), st.lists(STEPS, max_size=40))
def test_each_link_and_monitor_ends_exactly_once(seed: int, steps: list[tuple[Any, ...]]) -> None:
    run_virtual(play, seed, steps)
