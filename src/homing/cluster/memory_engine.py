"""The memory engine: nodes of one program, on one event loop, joined by a network that a test controls.

On a `homing.testing.VirtualLoop` a run depends on its seed only.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass, field
from typing import TypeAlias

from ..gen import NodeTaken
from .engine import MAIN, SIGNALS, Peer, Receiver

Pair: TypeAlias = tuple[str, str]


@dataclass
class _Path:
    """The batches on their way from one node to another, in one lane: a batch never overtakes another one there."""

    due: float = 0.0
    batches: deque[bytes] = field(default_factory=deque)


class MemoryNetwork:
    """A network of memory engines. Make one, and give each node `network.engine()`.

    delay, jitter: seconds that a batch takes: `delay`, and up to `jitter` more.
    lease: seconds without a way between two nodes after which they are down for each other.
    seed: of its random numbers.
    """

    def __init__(self, *, seed: int = 0, delay: float = 0.001, jitter: float = 0.0, lease: float = 2.0) -> None:
        self.delay = delay
        self.jitter = jitter
        self.lease = lease
        self.random = random.Random(seed)  # noqa: S311 # repeatable, not secret
        self.engines: dict[str, MemoryEngine] = {}
        self.frozen: set[str] = set()
        self.cut: set[Pair] = set()
        self.lossy: dict[Pair, int] = {}
        self.doubled: dict[Pair, int] = {}
        self.held: dict[str, list[tuple[MemoryEngine, Peer, int, bytes]]] = {}

    def engine(self) -> MemoryEngine:
        """Returns an engine for one node."""
        return MemoryEngine(self)

    # --- faults -----------------------------------------------------------------------------------------------

    def partition(self, a: str, b: str, *, one_way: bool = False) -> None:
        """Loses all that `a` sends to `b` from now on, and unless `one_way` all that `b` sends to `a`. After a lease
        they are down for each other."""
        self.cut.add((a, b))
        if not one_way:
            self.cut.add((b, a))
        self._later(self.lease, self._expire, a, b)

    def heal(self, a: str = "", b: str = "") -> None:
        """Ends the partition of `a` and `b`; without names, all partitions."""
        pairs = {(a, b), (b, a)} if a else set(self.cut)
        self.cut -= pairs
        for one, other in pairs:
            self._meet(one, other)

    def freeze(self, name: str) -> None:
        """Stops a node, as SIGSTOP does: it neither sends nor receives. After a lease it is down for all others."""
        self.frozen.add(name)
        self._later(self.lease, self._freeze_expires, name)

    def thaw(self, name: str) -> None:
        """Lets a frozen node run again. If its lease has ended, what was on its way is lost."""
        self.frozen.discard(name)
        engine = self.engines.get(name)
        held = self.held.pop(name, [])
        if engine is None:
            return
        for source, peer, lane, data in held:
            if source is engine:
                if self._holds(engine, peer.name):
                    self._carry(engine, peer, lane, data)
            elif source.own is not None and self._holds(source, name):
                engine.take(source.own, lane, data)
        for other in tuple(self.engines):
            if other != name:
                if other in engine.up and name not in self.engines[other].up:
                    engine.lose(other, "the lease has ended")
                self._meet(name, other)

    def drop_next(self, a: str, b: str, batches: int = 1, lane: int = MAIN) -> None:
        """Loses the next batches from `a` to `b` in that lane, silently."""
        self.lossy[(a, b)] = self.lossy.get((a, b), 0) + batches

    def duplicate_next(self, a: str, b: str, batches: int = 1) -> None:
        """Delivers the next batches from `a` to `b` twice."""
        self.doubled[(a, b)] = self.doubled.get((a, b), 0) + batches

    def inject(self, a: str, b: str, data: bytes, lane: int = MAIN) -> None:
        """Delivers `data` to `b` as a batch of `a`."""
        source, target = self.engines[a], self.engines[b]
        if source.own is not None:
            target.take(source.own, lane, data)

    def kill(self, name: str) -> None:
        """Ends a node's engine without a word, as SIGKILL does: the others know at once."""
        engine = self.engines.pop(name, None)
        if engine is not None:
            engine.own = None
            for other in tuple(self.engines.values()):
                other.lose(name, "the connection was closed")

    # --- for its engines ----------------------------------------------------------------------------------------

    def add(self, engine: MemoryEngine, own: Peer) -> None:
        """Adds an engine. Raises `NodeTaken`."""
        present = self.engines.get(own.name)
        if present is not None and present.own is not None:
            if own.creation <= present.own.creation:
                raise NodeTaken(own.name, present.own.creation, "memory")
            self.remove(present)
        self.engines[own.name] = engine
        for name in tuple(self.engines):
            self._meet(own.name, name)

    def remove(self, engine: MemoryEngine) -> None:
        """Removes an engine: the others see it go down."""
        if engine.own is not None and self.engines.get(engine.own.name) is engine:
            self.kill(engine.own.name)

    def _meet(self, a: str, b: str) -> None:
        one, other = self.engines.get(a), self.engines.get(b)
        if one is None or other is None or one is other or {a, b} & self.frozen or {(a, b), (b, a)} & self.cut:
            return
        one.find(other)
        other.find(one)

    def _holds(self, source: MemoryEngine, name: str) -> bool:
        """Returns True if two nodes are up for each other."""
        own, target = source.own, self.engines.get(name)
        return own is not None and target is not None and name in source.up and own.name in target.up

    def _carry(self, source: MemoryEngine, peer: Peer, lane: int, data: bytes) -> None:
        own = source.own
        if own is None:
            return
        pair = (own.name, peer.name)
        if own.name in self.frozen:
            self.held.setdefault(own.name, []).append((source, peer, lane, data))
            return
        if pair in self.cut:
            return
        if lane != SIGNALS and self.lossy.get(pair, 0):
            self.lossy[pair] -= 1
            return
        copies = 1
        if lane != SIGNALS and self.doubled.get(pair, 0):
            self.doubled[pair] -= 1
            copies = 2
        path = source.paths.setdefault((peer, lane), _Path())
        loop = asyncio.get_running_loop()
        path.due = max(path.due, loop.time() + self.delay + self.jitter * self.random.random())
        for _ in range(copies):
            path.batches.append(data)
            loop.call_at(path.due, self._arrive, source, own, peer, lane, path)

    def _arrive(self, source: MemoryEngine, own: Peer, peer: Peer, lane: int, path: _Path) -> None:
        data = path.batches.popleft()
        target = self.engines.get(peer.name)
        if (own.name, peer.name) in self.cut or target is None or target.own != peer:
            return
        if peer.name in self.frozen:
            self.held.setdefault(peer.name, []).append((source, own, lane, data))
        else:
            target.take(own, lane, data)

    def _later(self, seconds: float, function: object, *args: object) -> None:
        asyncio.get_running_loop().call_later(seconds, function, *args)  # type: ignore[arg-type]

    def _expire(self, a: str, b: str) -> None:
        if {(a, b), (b, a)} & self.cut:
            for one, other in ((a, b), (b, a)):
                if one in self.engines:
                    self.engines[one].lose(other, "the lease has ended")

    def _freeze_expires(self, name: str) -> None:
        if name in self.frozen:
            for other in tuple(self.engines.values()):
                if other.own is not None and other.own.name != name:
                    other.lose(name, "the lease has ended")


class MemoryEngine:
    """An engine of a `MemoryNetwork`.

    up: the peers that are up for this node, by name.
    """

    def __init__(self, network: MemoryNetwork) -> None:
        self.network = network
        self.own: Peer | None = None
        self.receiver: Receiver | None = None
        self.up: dict[str, Peer] = {}
        self.paths: dict[tuple[Peer, int], _Path] = {}
        self.suspected: list[tuple[Peer, str]] = []

    async def open(self, own: Peer, receiver: Receiver) -> None:
        """Adds the node to the network. Raises `NodeTaken`."""
        self.own, self.receiver = own, receiver
        try:
            self.network.add(self, own)
        except NodeTaken:
            self.own = self.receiver = None
            raise

    async def close(self) -> None:
        """Removes the node."""
        self.network.remove(self)
        self.own = self.receiver = None

    def put(self, peer: Peer, lane: int, data: bytes | bytearray, light: bool = False) -> None:
        """Sends a batch."""
        self.network._carry(self, peer, lane, bytes(data))

    def suspect(self, peer: Peer, why: str) -> None:
        """Connects anew: the peer goes down and, if there is a way, up again."""
        self.suspected.append((peer, why))
        if self.own is not None and self.up.get(peer.name) == peer:
            self.lose(peer.name, why)
            self.network._meet(self.own.name, peer.name)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the node is."""
        return ("memory",) if self.own is not None else ()

    def find(self, other: MemoryEngine) -> None:
        """Notifies the node of another one, unless it knows it."""
        if other.own is None or self.receiver is None or self.up.get(other.own.name) == other.own:
            return
        self.up[other.own.name] = other.own
        asyncio.get_running_loop().call_soon(self._tell_up, other.own)

    def _tell_up(self, peer: Peer) -> None:
        if self.receiver is not None and self.up.get(peer.name) == peer:
            self.receiver.peer_up(peer, "memory")

    def lose(self, name: str, why: str) -> None:
        """Notifies the node that another one is down, if it knew it."""
        peer = self.up.pop(name, None)
        if peer is not None and self.receiver is not None:
            self.receiver.peer_down(peer, why)

    def take(self, source: Peer, lane: int, data: bytes) -> None:
        """Hands a batch to the node, if the sender is up for it."""
        if self.receiver is not None and self.up.get(source.name) == source:
            self.receiver.batch(source, lane, data)
