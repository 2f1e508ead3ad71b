"""Groups and singletons against a model, in virtual time: nodes die, come back, drain, and do not see each other.

After whatever happens, and some quiet time: a node knows exactly the members on the nodes that it sees; with a quorum
of more than half a singleton runs at most once; without one at most once in each part whose nodes all see each other.
When all see each other again it runs exactly once.
"""

from __future__ import annotations

import asyncio
from itertools import combinations
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homing import act
from homing.cluster.memory_engine import MemoryNetwork
from homing.testing import run_virtual

from ..support import examples
from .nodes import Member, behavior_of, member

NAMES = ("a", "b", "c")
PAIRS = list(combinations(NAMES, 2))
QUIET = 30.0
"""Seconds, virtual, in which a lease ends, links come up, an owner settles, and what has to end has ended."""

pairs = st.sampled_from(PAIRS)
names = st.sampled_from(NAMES)
steps = st.one_of(
    st.tuples(st.sampled_from(["partition", "heal", "one way"]), pairs),
    st.tuples(st.sampled_from(["kill", "start", "drain", "join", "end member", "crash"]), names),
    st.tuples(st.just("wait"), st.sampled_from([0.01, 0.6, 2.5])),
    st.tuples(st.just("quiet"), st.none()),
)


class Alone(act.Actor):
    """The singleton. alive: those that run, by node."""

    alive: ClassVar[set[Alone]] = set()

    def init(self) -> None:
        Alone.alive.add(self)

    async def terminate(self, reason: Exception) -> None:
        await asyncio.sleep(0.3)
        Alone.alive.discard(self)


class World:
    """Three nodes and what is known of them."""

    def __init__(self, quorum: int, seed: int) -> None:
        self.network = MemoryNetwork(seed=seed, jitter=0.01)
        self.quorum = quorum
        self.nodes: dict[str, Member] = {}
        self.groups: dict[str, set[Any]] = {}
        self.drained: set[str] = set()

    async def start(self, name: str) -> None:
        if name not in self.nodes:
            one = self.nodes[name] = await member(self.network, name)
            self.groups[name] = set()
            one.cluster.singleton("alone", Alone, quorum=self.quorum)

    async def do(self, word: str, what: Any) -> None:
        if word == "wait":
            await asyncio.sleep(what)
        elif word == "quiet":
            await asyncio.sleep(QUIET)
            self.check()
        elif word == "heal":
            self.network.heal(*(f"{name}@localhost" for name in what))
        elif word in ("partition", "one way"):
            a, b = (f"{name}@localhost" for name in what)
            if a in self.network.engines and b in self.network.engines:
                self.network.partition(a, b, one_way=word == "one way")
        elif word == "start":
            await self.start(what)
        elif what in self.nodes:
            await self.do_node(word, what)

    async def do_node(self, word: str, name: str) -> None:
        one = self.nodes[name]
        if word == "kill":
            del self.nodes[name], self.groups[name]
            self.drained.discard(name)
            self.network.kill(one.node.name)
            Alone.alive -= {each for each in Alone.alive if each.node == one.node.name}
            await one.node.stop()
            Alone.alive -= {each for each in Alone.alive if each.node == one.node.name}
        elif word == "drain":
            self.drained.add(name)
            one.cluster.drain()
        elif word == "join":
            pid = await one.node.spawn(act.Actor)
            behavior_of(one.node, pid).join_group("g")
            self.groups[name].add(pid)
        elif word == "end member" and self.groups[name]:
            one.node.kill(self.groups[name].pop())
        elif word == "crash":
            for each in [each for each in Alone.alive if each.node == one.node.name]:
                one.node.kill(each.pid)
                Alone.alive.discard(each)

    def check(self) -> None:
        sees = {name: {name} for name in self.nodes}
        for name, one in self.nodes.items():
            sees[name] |= {link.partition("@")[0] for link in one.cluster.links}
            expected = set().union(*(self.groups[other] for other in sees[name]))
            assert set(one.cluster.members("g")) == expected
        running = [each.node.partition("@")[0] for each in Alone.alive]
        assert len(set(running)) == len(running)
        if self.quorum == 2:
            assert len(running) <= 1
        for size in (1, 2, 3):
            for part in combinations(self.nodes, size):
                whole = all(sees[name] == set(part) for name in part)
                inside = [name for name in running if name in part]
                if whole:
                    able = set(part) - self.drained and size >= self.quorum
                    assert len(inside) == (1 if able else 0), (part, inside)

    async def end(self) -> None:
        self.network.heal()
        for name in NAMES:
            await self.start(name)
        await asyncio.sleep(QUIET)
        assert all(len(one.cluster.links) == 2 for one in self.nodes.values())
        self.check()
        for one in self.nodes.values():
            await one.node.stop()


@pytest.mark.thorough
@settings(max_examples=examples(15, 60), deadline=None)
@given(st.lists(steps, max_size=12), st.sampled_from([1, 2]), st.integers(0, 1000))
def test_whatever_happens_no_view_has_two_owners_and_after_healing_there_is_exactly_one(
    life: list[tuple[str, Any]], quorum: int, seed: int
) -> None:
    async def main() -> None:
        Alone.alive = set()
        world = World(quorum, seed)
        for name in NAMES:
            await world.start(name)
        for word, what in life:
            await world.do(word, what)
        await world.end()

    run_virtual(main)
