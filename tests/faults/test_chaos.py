"""A storm over a whole tree: crashes, kills, requests, datagrams and changes of the tree, drawn from a seed.

At the end everything that was sent was begun with once, or is a dead letter, or was refused with an error; nothing is
both, nothing is doubled, and what comes from one source is in order.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ..meta.servers import bind_again
from ..support import UDPPeer, eventually, free_port

pytestmark = pytest.mark.backends

HOST = "127.0.0.1"
STEPS = 1500
SEEDS = [*range(2), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 6))]
TYPES = (act.SupervisorType.ONE_FOR_ONE, act.SupervisorType.ALL_FOR_ONE, act.SupervisorType.REST_FOR_ONE)
FATES = ("do",) * 20 + ("wait",) * 6 + ("crash", "crash late")
LETTERS = "letters"
TOP = "top"


@dataclass
class Item:
    """What is sent: where, as which number there, and what becomes of its receiver."""

    to: str
    number: int
    fate: str


class Request(Item):
    """An item to be answered."""


@dataclass
class World:
    """What the test knows: what was sent, and what it has seen of that."""

    sent: dict[str, int] = field(default_factory=Counter)
    begun: dict[str, list[int]] = field(default_factory=dict)
    letters: dict[str, list[int]] = field(default_factory=dict)
    failed: dict[str, list[int]] = field(default_factory=dict)
    restarts: int = 0

    def note(self, where: dict[str, list[int]], item: Item) -> None:
        name = "calls" if isinstance(item, Request) else item.to
        where.setdefault(name, []).append(item.number)


def item_of(message: Any) -> Item:
    """The item that came, by datagram or by message."""
    if isinstance(message, meta.MessageUDP):
        to, number, fate = bytes(message.data).decode().split(":")
        return Item(to, int(number), fate)
    assert isinstance(message, Item)
    return message


class Mortal(act.Actor):
    """Notes what it begins with, and meets its fate."""

    def init(self, world: World) -> None:
        self.world = world

    def handle_message(self, sender: gen.PID, message: Any) -> Any:
        return self.meet(item_of(message))

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        if (pending := self.meet(request)) is not None:
            await pending
        return request.number

    def meet(self, item: Item) -> Any:
        self.world.note(self.world.begun, item)
        if item.fate == "crash":
            raise RuntimeError("a crash")
        return None if item.fate == "do" else self.later(item)

    async def later(self, item: Item) -> None:
        await asyncio.sleep(item.number % 3 / 1000)
        if item.fate == "crash late":
            raise RuntimeError("a late crash")


class Owner(Mortal):
    """Has a socket that outlives it; gets the datagrams itself, or lets workers have them."""

    async def init(self, world: World, options: meta.UDPServerOptions) -> None:  # type: ignore[override]
        self.world = world
        await self.spawn_meta(meta.create_udp_server(options))


class Batches(Owner):
    """Gets batches; those with one that is to crash it crash it when all have been noted."""

    def handle_datagrams(self, batch: meta.DatagramBatch) -> Any:
        items = [item_of(message) for message in batch]
        for item in items:
            self.world.note(self.world.begun, item)
        if any(item.fate == "crash" for item in items):
            raise RuntimeError("a crash")
        late = [item for item in items if item.fate != "do"]
        return self.later(late[0]) if late else None


class Workers(act.Pool):
    def init(self, world: World, route: Any) -> act.PoolOptions:
        options = gen.ProcessOptions(dead_letters=LETTERS)
        return act.PoolOptions(
            worker=Mortal, worker_args=(world,), worker_mailbox_size=8, worker_options=options, route=route
        )

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return await self.add_workers(1) if request == "more" else self.remove_workers(1)


def key_of(sender: gen.PID, item: Item) -> int:
    return item.number % 4


KEPT = gen.ProcessOptions(preserve_mailbox=True, dead_letters=LETTERS)


class Roads(act.Router):
    def init(self, world: World) -> act.RouterOptions:
        self.world = world
        return act.RouterOptions(
            routes=tuple(
                act.RouteSpec(name=name, behavior=Workers, args=(world, route), options=KEPT)
                for name, route in (("turn", "round_robin"), ("least", "least"), ("key", key_of))
            )
        )

    def route_message(self, sender: gen.PID, message: Any) -> str:
        return str(message.to)

    def handle_route_failed(self, route: str, sender: gen.PID, message: Any, error: gen.HomingError) -> None:
        self.world.note(self.world.failed, message)


class Top(act.Supervisor):
    def init(self, kind: act.SupervisorType, world: World, sockets: dict[str, meta.UDPServerOptions]) -> Any:
        behaviors = {"datagrams": Owner, "pooled": Owner, "batches": Batches, "workers": Owner}
        children = [
            act.ChildSpec(name="router", behavior=Roads, args=(world,), options=KEPT),
            act.ChildSpec(name="plain", behavior=Mortal, args=(world,), options=KEPT),
            *(
                act.ChildSpec(name=name, behavior=behaviors[name], args=(world, options), options=KEPT)
                for name, options in sockets.items()
            ),
        ]
        return act.SupervisorSpec(type=kind, children=tuple(children), intensity=10_000)


class Letters(act.Actor):
    """Opens the dead letters."""

    def init(self, world: World) -> None:
        self.world = world

    def handle_message(self, sender: gen.PID, letter: gen.MessageDeadLetter) -> None:
        if letter.in_hand or letter.message is None:
            return  # it was begun with, and noted
        messages = letter.message if isinstance(letter.message, meta.DatagramBatch) else [letter.message]
        for message in messages:
            if isinstance(message, (Item, meta.MessageUDP)):  # else it is a request to a pool itself
                self.world.note(self.world.letters, item_of(message))


class Storm:
    """Draws what happens."""

    def __init__(self, seed: int, node: homing.Node, world: World, ports: dict[str, int], peer: UDPPeer) -> None:
        self.random = random.Random(seed)
        self.node = node
        self.world = world
        self.ports = ports
        self.peer = peer
        self.calls: set[asyncio.Task[Any]] = set()
        self.steps = (self.message,) * 6 + (self.datagram,) * 9 + (self.call,) * 3 + (self.administer, self.kill)

    async def blow(self, steps: int = STEPS) -> None:
        for _ in range(steps):
            self.random.choice(self.steps)()
            if self.random.random() < 0.3:
                await asyncio.sleep(0)
            if self.random.random() < 0.03:
                await asyncio.sleep(0.003)

    def item(self, to: str) -> Item:
        return Item(to, self.world.sent[to], self.random.choice(FATES))

    def message(self) -> None:
        to = self.random.choice(("turn", "least", "key", "plain"))
        item = self.item(to)
        with suppress(gen.HomingError):
            self.node.send("plain" if to == "plain" else "router", item)
            self.world.sent[to] += 1

    def datagram(self) -> None:
        to = self.random.choice(tuple(self.ports))
        item = self.item(to)
        self.world.sent[to] += 1
        self.peer.send(f"{to}:{item.number}:{item.fate}".encode(), (HOST, self.ports[to]))

    def call(self) -> None:
        to = self.random.choice(("turn", "least", "key", "plain"))
        name = "plain" if to == "plain" else "router"
        request = Request(to, self.world.sent["calls"], self.random.choice(FATES))
        self.world.sent["calls"] += 1
        self.begin(self.node.call(name, request, timeout=self.random.choice((0.01, 1.0, 3.0))))

    def begin(self, pending: Any) -> None:
        task = asyncio.ensure_future(pending)
        self.calls.add(task)
        if self.random.random() < 0.05:
            asyncio.get_running_loop().call_later(0.002, task.cancel)

    def administer(self) -> None:
        request = self.random.choice(
            (
                act.WhichChildren(),
                act.CountChildren(),
                act.StartChild(act.ChildSpec(name=f"extra{self.random.randrange(4)}", behavior=Mortal, args=(None,))),
                act.TerminateChild(f"extra{self.random.randrange(4)}"),
                act.DeleteChild(f"extra{self.random.randrange(4)}"),
                "more",
                "less",
            )
        )
        to: Any = TOP
        if isinstance(request, str):
            pools = [info.pid for info in self.infos() if info.behavior == "Workers"]
            if not pools:
                return
            to = self.random.choice(pools)
        self.begin(self.node.call(to, request, timeout=2.0, priority=gen.MessagePriority.HIGH))

    def kill(self) -> None:
        mortals = ("Mortal", "Workers", "Roads", "Owner", "Batches")
        pids = [info.pid for info in self.infos() if info.behavior in mortals]
        if pids:
            self.node.kill(self.random.choice(pids))

    def infos(self) -> list[gen.ProcessInfo]:
        found = []
        for pid in self.node.processes():
            with suppress(gen.HomingError):
                found.append(self.node.process_info(pid))
        return found


def quiet(node: homing.Node) -> bool:
    return not any(process.runnable or process.hand is not None for process in node._core.processes.values())


async def storm_over(seed: int, node: homing.Node, peer: UDPPeer, world: World, pool: meta.BufferPool) -> Storm:
    """Starts the tree and gives the storm, that has not begun."""
    ports = {name: free_port() for name in ("datagrams", "pooled", "batches", "workers")}
    special: dict[str, dict[str, Any]] = {
        "pooled": {"buffer_pool": pool},
        "workers": {
            "worker": Mortal,
            "worker_args": (world,),
            "worker_options": gen.ProcessOptions(dead_letters=LETTERS),
            "route": "source",
            "workers": 3,
            "overflow": "pause",  # else what comes for a worker while it ends is dropped
        },
    }
    sockets = {
        name: meta.UDPServerOptions(host=HOST, port=port, linger=30.0, **special.get(name, {}))
        for name, port in ports.items()
    }
    await node.spawn(Letters, world, name=LETTERS)
    await node.spawn(Top, TYPES[seed % 3], world, sockets, name=TOP)
    return Storm(seed, node, world, ports, peer)


def start_node() -> Any:
    return homing.start_node(
        "chaos@localhost", gen.NodeOptions(handle_signals=False, stop_timeout=5.0, slow_callback_seconds=None)
    )


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_storm_over_a_whole_tree_loses_and_doubles_nothing(
    seed: int, peer: UDPPeer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")
    world, pool = World(), meta.BufferPool()
    accounted = {}
    async with start_node() as node:
        storm = await storm_over(seed, node, peer, world, pool)
        await storm.blow()
        outcomes = await asyncio.wait_for(asyncio.gather(*storm.calls, return_exceptions=True), 10)

        def settled() -> bool:
            for name in ("turn", "least", "key", "plain", *storm.ports):
                seen = (*world.begun.get(name, ()), *world.letters.get(name, ()), *world.failed.get(name, ()))
                accounted[name] = Counter(seen)
            return quiet(node) and all(found.total() >= world.sent[name] for name, found in accounted.items())

        await eventually(settled, f"the calm after the storm of seed {seed}")
        info = node.info()
        assert (info.open_calls, info.discarded) == (0, 0)
        assert await node.stop()
    for name, found in accounted.items():
        assert found == Counter(range(world.sent[name])), f"seed {seed}, {name}"
    for name in ("key", "plain", *storm.ports):
        for key in range(4) if name == "key" else (None,):
            numbers = [number for number in world.begun[name] if key is None or number % 4 == key]
            assert numbers == sorted(numbers), f"seed {seed}, {name}"
    assert all(not isinstance(outcome, Exception) or isinstance(outcome, gen.HomingError) for outcome in outcomes)
    assert pool.lent == 0
    assert info.crashes > 20, "a storm that harms nobody proves nothing"


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_node_stopped_in_the_midst_of_a_storm_ends_clean(
    seed: int, peer: UDPPeer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")
    world, pool = World(), meta.BufferPool()
    async with start_node() as node:
        storm = await storm_over(seed, node, peer, world, pool)
        storm.steps = (*storm.steps, storm.kill, storm.kill)
        await storm.blow(100 + 37 * seed)
        stop = asyncio.create_task(node.stop())
        await storm.blow(200)
        assert await stop, "something had to be killed"
        outcomes = await asyncio.wait_for(asyncio.gather(*storm.calls, return_exceptions=True), 10)
    info = node.info()
    assert (info.processes, info.metas, info.open_calls) == (0, 0, 0)
    assert all(not isinstance(outcome, Exception) or isinstance(outcome, gen.HomingError) for outcome in outcomes)
    for port in storm.ports.values():
        bind_again((HOST, port))
    for name, numbers in world.begun.items():
        assert len(numbers) == len(set(numbers)), f"seed {seed}, {name}: begun with twice"
    assert pool.lent == 0
