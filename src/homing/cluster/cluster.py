"""The cluster, as a node is a member of it: its links, and what happens when nodes come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from time import time_ns
from typing import TYPE_CHECKING, Any

from ..gen import (
    ClusterOptions,
    Event,
    MessageNodeBusy,
    MessageNodeDown,
    MessageNodeReady,
    MessageNodeUp,
    NodeDown,
    NodeUnknown,
    RemoteNodeInfo,
    Superseded,
    TerminateNormal,
)
from ..node.node import internals
from . import wire
from .engine import SIGNALS, Engine, Peer
from .frames import Frames
from .groups import ClusterGroups, groups, members
from .ignored import GARBAGE, IgnoredPeers
from .important import ImportantMessages
from .link import Link
from .notices import LEAVING, InOrder, Notices, Watchers, log_down, log_up
from .other_nodes import OtherNodes
from .placing import place
from .pools import PoolFeed, RemoteWorkers
from .relations import Relations
from .rendezvous import node_number
from .singleton import Placements, singleton, singletons, whereis, withdraw
from .spawning import Spawning
from .types import Types
from .udp.exchange import Exchange

if TYPE_CHECKING:
    from ..act.pool.options import PoolOptions
    from ..act.pool.workers import Workers
    from ..node.node import Node
    from ..node.processes.process import Process

_SUSPECT_AGAIN, _SUSPECT_MOST = 20.0, 80.0
"""Seconds from one suspicion of a silent peer to the next: at first, and at most."""

_LOOK = 0.005
"""Seconds between two looks whether all sessions have moved."""


class Cluster:
    """A node's membership. Made by `homing.cluster.join`; also `node.cluster`.

    options: as given. name: of the cluster. engine: carries the batches. types: the message types that may travel.
    links: the connections that are up, by the name of the node. draining: True once `drain` was called.
    """

    def __init__(self, node: Node, options: ClusterOptions, engine: Engine, types: Types) -> None:
        self.core = internals(node).core
        self._stopping = internals(node).stopping
        self._node = node
        self.options = options
        self.name = options.name
        self.engine = engine
        self.types = types
        self.own = Peer(self.core.name, self.core.registry.creation)
        self.draining = False
        self.links: dict[str, Link] = {}
        self.peers: dict[str, Link] = {}
        self.handlers: dict[type, list[Callable[[Any, Any], None]]] = {}
        self.watchers = Watchers(self.core)
        self.others = OtherNodes(self)
        self._on_up: list[Callable[[Link], None]] = []
        self._on_down: list[Callable[[Link, Exception], Iterator[object] | None]] = []
        self._in_order = InOrder(self.core)
        self._resets: dict[str, int] = {}
        self._suspected: dict[str, tuple[float, float]] = {}
        self._ignored = IgnoredPeers(self.core.loop, self._begin)
        self._rooms: dict[str, list[asyncio.Future[None]]] = {}
        self._epoch = time_ns() // 1000
        self._notices: Notices | None = None
        self._left = False
        self._frames = Frames(self)
        self.important = ImportantMessages(self)
        self.relations = Relations(self.core, self)
        self.membership = ClusterGroups(self, self.core)
        self.placements = Placements(self, self.core)
        self.spawning = Spawning(self, self.core)
        self.workers = RemoteWorkers(self, self.core)
        self.udp = Exchange(self)

    def __repr__(self) -> str:
        return f"<Cluster {self.name!r}, {len(self.links)} other nodes>"

    # --- for programs -------------------------------------------------------------------------------------------

    @property
    def event(self) -> Event:
        """The event of the cluster: publishes `MessageNodeUp`, `MessageNodeDown`, `MessageNodeBusy` and
        `MessageNodeReady`."""
        return Event("cluster", self.core.name)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where this node listens."""
        return self.engine.addresses

    def nodes(self) -> list[RemoteNodeInfo]:
        """Returns a snapshot of each other node that is present, in the order in which they came."""
        self.core.require_thread()
        return [self.node(name) for name in self.peers]

    def node(self, name: str) -> RemoteNodeInfo:
        """Returns a snapshot of a node. Raises `NodeUnknown` if it is not present."""
        self.core.require_thread()
        link = self.peers.get(name)
        if link is None:
            raise NodeUnknown(name, name)
        return link.info(self._resets.get(name, 0))

    async def room(self, name: str) -> None:
        """Returns when there is room in the outbox to a node: at once, unless three quarters of it are full; then when
        it has drained to a quarter. Raises `NodeUnknown`, and `NodeDown` if the node goes down meanwhile."""
        self.core.require_thread()
        link = self.links.get(name)
        if link is None:
            raise NodeUnknown(name, name)
        if link.outbox.queued <= link.outbox.high and not link.outbox.over:
            return
        future = self.core.loop.create_future()
        self._rooms.setdefault(name, []).append(future)
        link.outbox.over = True
        await future

    def drain(self) -> None:
        """Tells all nodes that this one takes no new work: it will leave soon."""
        self.core.require_thread()
        if not self.draining:
            self.draining = True
            for link in self.links.values():
                link.say_hello()
            self.placements.drain()
            self.udp.drain()

    async def drained(self) -> None:
        """Returns when no singleton and no placed application runs here any more, and the sessions of this node have
        moved to other nodes, after `drain`."""
        self.core.require_thread()
        await self.placements.drained()
        while not self.udp.drained():
            await asyncio.sleep(_LOOK)

    members = members
    groups = groups
    singleton = singleton
    singletons = singletons
    place = place
    withdraw = withdraw
    whereis = whereis

    @property
    def node_number(self) -> int:
        """The number of this node, of 32 bits, for `meta.Sessions.number`: a hash of its name. A server that writes it
        into the ids of its sessions needs no table to find their owner."""
        return node_number(self.core.name)

    async def leave(self) -> None:
        """Leaves the cluster: the other nodes see this one go down at once. A second call does nothing."""
        self.core.require_thread()
        if self._left:
            return
        self._left = True
        await self.placements.close()
        self._ignored.clear()
        for link in tuple(self.peers.values()):
            link.post(wire.Bye(wire.LEFT), SIGNALS)
            link.outbox.flush()
            self._end(link, LEAVING, link.reason(LEAVING, "down"))
        if self.core.registry.elsewhere is self.others:
            self.core.registry.elsewhere = self.core.links.remote = None
        if self.leave in self._stopping.before_ends:
            self._stopping.before_ends.remove(self.leave)
        try:
            await self.engine.close()
        finally:
            notices, self._notices = self._notices, None
            if notices is not None and not self.core.stopping:
                self._node.send_exit(notices.pid, TerminateNormal)

    # --- for the parts of the cluster -----------------------------------------------------------------------------

    def pool_feed(self, process: Process, workers: Workers, options: PoolOptions) -> PoolFeed:
        """Returns the object that gives a pool workers on other nodes."""
        return self.workers.feed(process, workers, options)

    def on_frame(self, kind: type, handler: Callable[[Any, Any], None]) -> None:
        """Calls `handler(link, frame)` for each frame of that class, behind the handlers before it."""
        self.handlers.setdefault(kind, []).append(handler)

    def on_up(self, handler: Callable[[Link], None]) -> None:
        """Calls `handler(link)` when a node has come up, in the order of registration."""
        self._on_up.append(handler)

    def on_down(self, handler: Callable[[Link, Exception], Iterator[object] | None]) -> None:
        """Calls `handler(link, reason)` when a node is down, after its calls have failed, in the order of
        registration; all before anything else runs on the loop. A handler with much to do returns the rest as steps:
        they run after those of the handlers before it, and before the notices of the node."""
        self._on_down.append(handler)

    async def open(self) -> None:
        """Joins. Raises what the engine's `open` raises."""
        pid = await self._node.spawn(Notices)
        behavior: Any = self.core.processes[pid].behavior
        self._notices = behavior
        self.core.registry.elsewhere = self.others
        self.core.links.remote = self.relations
        try:
            await self.engine.open(self.own, self)
        except BaseException:
            self.core.registry.elsewhere = self.core.links.remote = None
            self._notices = None
            self._node.send_exit(pid, TerminateNormal)
            raise
        self._stopping.on_stopping.append(self._stop_begins)
        self._stopping.before_ends.append(self.leave)

    def _stop_begins(self) -> None:
        if not self._left:
            self.drain()

    def hello(self, link: Link) -> wire.Hello:
        """Returns this node's hello for a link."""
        options = self.options
        return wire.Hello(
            protocol=wire.PROTOCOL,
            cluster=self.name,
            name=self.own.name,
            creation=self.own.creation,
            epoch=link.outbox.epoch,
            peer_epoch=link.outbox.peer_epoch,
            features=[],
            window=options.link_window,
            max_message=options.max_message,
            types=self.types.table(),
            weight=options.weight,
            tags=list(options.tags),
            draining=self.draining,
            addresses=list(self.engine.addresses),
        )

    def refusal(self, peer: Peer, hello: wire.Hello) -> str:
        """Returns why a hello is not accepted, "" if it is."""
        if hello.protocol != wire.PROTOCOL:
            return f"it speaks protocol {hello.protocol}, this node {wire.PROTOCOL}"
        if hello.cluster != self.name:
            return f"it is of the cluster {hello.cluster!r}"
        if (hello.name, hello.creation) != tuple(peer):
            return f"it says that it is {hello.name!r}, creation {hello.creation}"
        return ""

    def refuse(self, link: Link, why: str) -> None:
        """Ends a link, and ignores the peer for a while; then a new one begins, if the peer is still there."""
        peer = link.peer
        self.core.log.warning("node %r is refused: %s", peer.name, why)
        if link.up:
            link.post(wire.Bye(why), SIGNALS)
            link.outbox.flush()
        self._ignored.add(peer, link.address)
        self._end(link, why, link.reason(why, "fault"))

    def count_garbage(self, link: Link) -> None:
        """Counts a batch that could not be read; closes the link if there were many."""
        if self._ignored.is_too_much(link.peer.name):
            self.refuse(link, f"{GARBAGE} of its batches could not be read")

    # --- nodes come and go: `engine.Receiver` -----------------------------------------------------------------------

    def peer_up(self, peer: Peer, address: str) -> None:
        """See `Receiver`."""
        if self._left or peer == self.own:
            return
        if peer.name == self.own.name:
            self.core.log.error("another node has the name %r: it is ignored; give it another name", peer.name)
            return
        present = self.peers.get(peer.name)
        if present is not None:
            if peer.creation < present.peer.creation:
                return
            if peer.creation > present.peer.creation:
                self._end(present, "it was started again", Superseded())
            else:
                self._end(present, "it has connected anew", present.reason("it has connected anew", "fault"))
        if not self._ignored.has(peer, address):
            self._begin(peer, address)

    def peer_down(self, peer: Peer, reason: str) -> None:
        """See `Receiver`."""
        self._ignored.lost(peer)
        link = self.peers.get(peer.name)
        if link is not None and link.peer == peer:
            self._end(link, reason, link.reason(reason, "down"))

    def batch(self, peer: Peer, lane: int, data: bytes) -> None:
        """See `Receiver`."""
        link = self.peers.get(peer.name)
        if link is not None and link.peer == peer:
            link.batch(lane, data)

    def _begin(self, peer: Peer, address: str) -> Link:
        self._epoch += 1
        link = Link(self, peer, address, self._epoch)
        self.peers[peer.name] = link
        link.start()
        return link

    def reset(self, link: Link, why: str, hello: tuple[wire.Hello, int] | None, *, silently: bool = False) -> None:
        """Ends a link whose peer is still there, and begins a new one. silently: the peer knows already."""
        if self.peers.get(link.peer.name) is not link:
            return
        self._resets[link.peer.name] = self._resets.get(link.peer.name, 0) + 1
        if hello is None and link.up and not silently:
            link.post(wire.Bye(why), SIGNALS)
            link.outbox.flush()
        self._end(link, why, link.reason(why, "fault"))
        if not self._left:
            fresh = self._begin(link.peer, link.address)
            if hello is not None:
                fresh.meet(*hello)

    def suspect(self, peer: Peer, why: str) -> None:
        """Has the engine connect anew to a peer that is silent; ever more rarely while it stays so. Its loop may be
        blocked, or it ignores this node, and with zenoh the links to all other nodes end for that."""
        now = self.core.loop.time()
        due, pause = self._suspected.get(peer.name, (now, _SUSPECT_AGAIN))
        if now >= due:
            self._suspected[peer.name] = (now + pause, min(2 * pause, _SUSPECT_MOST))
            self.engine.suspect(peer, why)

    def link_up(self, link: Link) -> None:
        """A link has come up."""
        name = link.peer.name
        self._suspected.pop(name, None)
        self.links[name] = link
        link.outbox.on_dropped = lambda batch: self._frames.dropped(link, batch)
        link.outbox.on_high = lambda: self._busy(link)
        link.outbox.on_low = lambda: self._ready(link)
        for handler in self._on_up:
            self.core.attempt(handler, link)
        log_up(self.core, self.name, name)
        self._notify(name, MessageNodeUp(name, link.peer.creation))

    def _end(self, link: Link, cause: str, reason: Exception) -> None:
        """A link has ended: calls fail first, then all that was registered, then the notices."""
        name, was_up = link.peer.name, link.up
        link.close(cause)
        if self.peers.get(name) is link:
            del self.peers[name]
        if not was_up:
            return
        del self.links[name]
        self.others.forget(link)
        link.fail_calls(cause)
        for handler in self._on_down:
            steps = self.core.attempt(handler, link, reason)
            if steps is not None:
                self._in_order.add(steps)
        for future in self._rooms.pop(name, ()):
            if not future.done():
                future.set_exception(NodeDown(name, name, cause))
        log_down(self.core, self.name, name, cause)
        self._notify(name, MessageNodeDown(name, link.peer.creation, reason))

    def _notify(self, name: str, notice: Any) -> None:
        self._in_order.add(self._told(name, notice))

    def _told(self, name: str, notice: Any) -> Iterator[object]:
        yield from self.watchers.tell(name, notice)
        self._publish(notice)

    def _publish(self, notice: Any) -> None:
        if self._notices is not None:
            self.core.attempt(self._notices.publish, notice)

    def _busy(self, link: Link) -> None:
        self._publish(MessageNodeBusy(link.peer.name, link.peer.creation, link.outbox.waiting))

    def _ready(self, link: Link) -> None:
        for future in self._rooms.pop(link.peer.name, ()):
            if not future.done():
                future.set_result(None)
        self._publish(MessageNodeReady(link.peer.name, link.peer.creation, link.outbox.waiting))
