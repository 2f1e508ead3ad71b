"""The table of sessions of one UDP server: which node gets a datagram.

    socket -> `sessions.UDPSessions` -> own sessions: the table of peers of this node
                                     -> others: an `Outflow` to the owner, whose peers get them directly: one hop

Rule 1: an owner is looked up among the pins first; otherwise it is chosen by number or hash, and pinned.
Rule 2: a session is owned by its pin on each node. An owner that is not the one of the hash says so (`Here`).
Rule 3: datagrams for an owner whose mailbox is full wait here, `high_water` of them; then `overflow` decides.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from ...act.pool.forwarder import Drops
from ...datagram import MessageUDPError
from ...datagram.message import MessageUDP
from ...gen import PID, TerminateKill, TerminateShutdown
from ...gen.foreign import safe_repr
from ...meta.sessions.keys import NoKey, key_reader, number_reader, pack_key
from ...meta.udp.options import flow_limits
from ...node.mailbox.envelope import exit_signal
from ..rendezvous import choose
from .away import QUIET
from .outflow import Outflow
from .pins import Pins
from .ways import Way

if TYPE_CHECKING:
    from ...meta.peers.lifecycle import Lifecycle
    from ...meta.udp_server.options import UDPServerOptions
    from ...meta.udp_server.peers import Peers
    from ...node.processes.meta_process import MetaRunner
    from ...node.processes.process import Process
    from .exchange import Exchange
    from .members import Joining, Members
    from .moving import Moving


class SessionTable:
    """The sessions of one server, as this node sees them: `meta.udp_server.elsewhere.Receivers`.

    name: of the sessions. pins: who owns which. peers: the processes of the sessions that this node owns.
    counters: datagrams dropped, and sessions moved or lost, by cause.
    last: when a datagram was last sent to another node.
    """

    def __init__(
        self, exchange: Exchange, server: MetaRunner, options: UDPServerOptions, peers: Peers, process: Process
    ) -> None:
        sessions: Any = options.sessions
        self.exchange = exchange
        self.server = server
        self.process = process
        self.core = process.core
        self.own = process.core.name
        self.options = sessions
        self.name: str = sessions.name or options.name
        self.peers = peers
        self.pins = Pins(sessions.most, sessions.idle, sessions.hold)
        self.counters: Counter[str] = Counter()
        self.drops = Drops()
        self.last = -QUIET
        self._stopping = False
        self.read_key = key_reader(sessions)
        self._read_number = number_reader(sessions)
        self._ways: dict[str, Way] = {}
        self._given = options
        self._limits = flow_limits(options, "pause")
        self._overflow = options.overflow or "drop_newest"
        self.members: Members = exchange.members
        self.moving: Moving = exchange.make_moving(self)
        self._ways[self.own] = self._own_way()
        self.joining: Joining | None = None
        self.members.join(self)
        self._timer = self.core.loop.call_later(self._period, self._look)

    @property
    def life(self) -> Lifecycle:
        """The peers of this node."""
        return self.peers.life

    # --- the owner of a datagram ------------------------------------------------------------------------------

    def route(self, messages: list[MessageUDP]) -> list[MessageUDP]:
        """Forwards datagrams to the owners of their sessions. Returns those for which there is no owner: all from the
        first such one on."""
        if self.joining is not None:
            return messages
        now, pins, find = self.core.loop.time(), self.pins, self.pins.find
        ways = self._ways
        touched: dict[str, Way] = {}
        left: list[MessageUDP] = []
        for at, message in enumerate(messages):
            key = self.key_of(message)
            if key is None:
                message.release()
                continue
            pin = find(key)
            if pin is not None:
                node = pin.node
                pins.use(key, pin, now)
                if pin.held is not None:
                    self.counters["dropped_held"] += pins.keep(pin, message)
                    continue
            else:
                node = self._choose(key, message, now)
                if not node:
                    left = messages[at:]
                    break
            way = ways.get(node) or self._way_to(node)
            touched[node] = way
            self._add(way, message)
        for node, way in touched.items():
            self._pump(node, way)
        return left

    def key_of(self, message: MessageUDP) -> Any:
        """Returns the key of a datagram's session; None if it has none, which is counted."""
        try:
            return self.read_key(message)
        except MemoryError:
            raise
        except NoKey:
            self.counters["dropped_no_key"] += 1
        except Exception as error:
            self.counters["dropped_no_key"] += 1
            text = "Sessions.key failed, the datagram is dropped: %s"
            self.core.limited_log.warning(self.core.loop.time(), "sessions key", text, safe_repr(error))
        return None

    def _choose(self, key: Any, message: MessageUDP, now: float) -> str:
        """Returns the owner of a session that has no pin; "" if no node can own it."""
        if self._read_number is not None:
            node = self.members.by_number(self.name, self._read_number(message))
            if node:
                return node
        node = self.owner_by_hash(key)
        if node:
            self.pins.pin(key, node, now)
        return node

    def owner_by_hash(self, key: Any, without: str = "") -> str:
        """Returns the node that the hash chooses, "" if there is none. without: a node that cannot be chosen."""
        nodes = self.members.owners(self.name)
        if without in nodes:
            nodes = {name: weight for name, weight in nodes.items() if name != without}
        return choose(pack_key(key), nodes)

    # --- the ways ---------------------------------------------------------------------------------------------

    def _own_way(self) -> Way:
        limits = self._limits
        inlet = self.core.make_inlet(
            self.server,
            self.peers.address,
            limits.high_water,
            limits.low_water,
            partial(self._ready, self.own),
            "pause",
            limits.high_water_bytes,
        )

        def put(messages: list[MessageUDP]) -> int:
            size = sum([len(message.data) for message in messages])
            return inlet.put(messages, size) or len(messages)  # 0: the table has ended, and the server with it

        return Way(inlet.room, put)

    def _way_to(self, node: str) -> Way:
        limits = self._limits
        window = (limits.high_water, limits.low_water, limits.high_water_bytes)
        flow = Outflow(self.exchange, self.server, node, self.name, window, partial(self._ready, node))

        def put(messages: list[MessageUDP]) -> int:
            done = flow.put(messages)
            for message in messages[:done]:
                if message._lease is not None:
                    message.release()
            self.last = self.core.loop.time()
            return done

        way = self._ways[node] = Way(flow.room, put, flow)
        return way

    def _add(self, way: Way, message: MessageUDP) -> None:
        waiting = way.waiting
        if len(waiting) >= self._limits.high_water and self._overflow != "pause":
            way.pump()
            if len(waiting) >= self._limits.high_water:
                self.counters["dropped_overflow"] += 1
                if self._overflow == "drop_newest":
                    self.drops.newest += 1
                    message.release()
                    return
                self.drops.oldest += 1
                waiting.popleft().release()
        waiting.append(message)

    def _pump(self, node: str, way: Way) -> None:
        self.counters["own" if node == self.own else "forwarded"] += way.pump()
        if self._overflow == "pause" and len(way.waiting) >= self._limits.high_water:
            self.process.pause()

    def _ready(self, node: str) -> None:
        way = self._ways.get(node)
        if way is None:
            return
        self._pump(node, way)
        if not any(len(each.waiting) >= self._limits.high_water for each in self._ways.values()):
            self.process.resume()

    def take_back(self, node: str, keys: set[Any] | None = None) -> list[MessageUDP]:
        """Takes what waits for a node out of its queue: all, or the datagrams of some sessions."""
        way = self._ways.get(node)
        if way is None or not way.waiting:
            return []
        taken: list[MessageUDP] = []
        rest: deque[MessageUDP] = deque()
        for message in way.waiting:
            (taken if keys is None or self.key_of(message) in keys else rest).append(message)
        way.waiting = rest
        return taken

    # --- nodes come and go --------------------------------------------------------------------------------------

    def lost_node(self, node: str) -> None:
        """A node is down: its sessions begin anew at the next datagram, without their state."""
        lost = self.pins.forget_node(node)
        if not self._stopping:  # otherwise it is this node that leaves
            self.counters["sessions_lost"] += lost
        waiting = self.take_back(node)
        way = self._ways.pop(node, None)
        if way is not None and way.flow is not None:
            self.counters["lost_on_the_way"] += way.flow.lost
            way.flow.close()
        self.again(waiting)

    def again(self, messages: list[MessageUDP]) -> None:
        """Forwards datagrams to the owners that their sessions have now, before all others."""
        if messages:
            left = self.route(messages)
            if left:
                self.process.put_back([(self.process.parent, message) for message in left])
                self.process.pause()

    def members_changed(self) -> None:
        """Other nodes can own sessions now."""
        self.process.resume()
        self.core.scheduler.run_in_portions(self.core.attempt_steps, self._announce)

    def announce_for(self, node: str, weight: int, told: Callable[[], object]) -> None:
        """Tells the other nodes which sessions are here and stay here when `node` can own sessions too. Then calls
        `told`."""

        def work() -> Iterator[object]:
            yield from self._announce({**self.members.owners(self.name), node: weight})
            told()

        self.core.scheduler.run_in_portions(self.core.attempt_steps, work)

    def _announce(self, nodes: dict[str, int] | None = None) -> Iterator[object]:
        """Tells the others which sessions are here although the hash chooses another node. nodes: those that can own
        sessions, if they are about to change."""
        keys: list[bytes] = []
        nodes = self.members.owners(self.name) if nodes is None else nodes
        if not self.moving.draining:
            for peer in self.life.table.peers():
                if peer.reason is None:
                    self._collect(self.key_of_peer(peer), nodes, keys)
                yield None
                if len(keys) >= 512:
                    self.members.say_here(self.name, keys)
                    keys = []
        if keys:
            self.members.say_here(self.name, keys)

    def _collect(self, key: Any, nodes: dict[str, int], keys: list[bytes]) -> None:
        """Adds a session of this node to `keys` if the hash chooses another node for it, and no third one has it."""
        packed = pack_key(key)
        chosen = choose(packed, nodes)
        if chosen == self.own:
            return
        pin = self.pins.find(key)
        if pin is not None and pin.held is None and pin.node != self.own:
            if pin.node != chosen:
                return  # it has said so
            self.pins.pin(key, self.own, pin.last)  # it came here by a node that had not seen `chosen`
        keys.append(packed)

    def keeps(self, key: Any, other: str) -> bool:
        """Returns True if a session stays here although `other` has it too, as the nodes did not all see each other: of
        the two, the one whose name comes first keeps it."""
        pin = self.pins.find(key)
        if pin is None or pin.node != self.own or pin.held is not None or self.moving.draining or self.own > other:
            return False
        peer = self.life.table.get(self.identity_of(key))
        return peer is not None and peer.reason is None and self.owner_by_hash(key) != self.own

    def key_of_peer(self, peer: Any) -> Any:
        """Returns the key of the session that a peer is."""
        return peer.identity if peer.key is None else peer.key

    def identity_of(self, key: Any) -> Any:
        """Returns a session's place in the table of peers."""
        return key if type(key) is tuple else (key,)

    # --- time -----------------------------------------------------------------------------------------------------

    @property
    def _period(self) -> float:
        return max(float(self.options.idle) / 2, 0.1)

    def _look(self) -> None:
        self._timer = self.core.loop.call_later(self._period, self._look)
        self.core.scheduler.run_in_portions(self.core.attempt_steps, self._sweep)

    def _sweep(self) -> Iterator[object]:
        yield from self.pins.sweep(self.core.loop.time())
        yield from self._announce()

    # --- `Receivers` ------------------------------------------------------------------------------------------

    @property
    def address(self) -> PID:
        """The PID of the process, to which datagrams are sent."""
        return self.process.id

    def fit(self, options: UDPServerOptions) -> bool:
        """Returns True if `options` ask for these sessions and peers, maybe with other limits."""
        if options.sessions != self.options or not self.process.alive or not self.peers.fit(options):
            return False
        self.adjust(options)
        return True

    def adjust(self, options: UDPServerOptions) -> None:
        """Applies the limits of `options` from now on."""
        self._limits = flow_limits(options, "pause")
        self._overflow = options.overflow or "drop_newest"
        self.peers.adjust(options)
        self.process.resume()

    def is_proven(self, address: Any) -> bool:
        """Returns True for the address of a peer of this node that was proven."""
        return self.peers.is_proven(address)

    def lost(self, report: MessageUDPError) -> None:
        """Ends the peers of this node at the address of an ICMP error."""
        self.peers.lost(report)

    def facts(self) -> dict[str, Any]:
        """Returns the state of the sessions."""
        return {
            "peers": self.peers.facts(),
            "sessions": {
                "name": self.name,
                "pins": len(self.pins),
                "moving": self.pins.held,
                "evicted": self.pins.evicted,
                "owners": sorted(self.members.owners(self.name)),
                "draining": self.moving.draining,
                "waiting": {node: len(way.waiting) for node, way in self._ways.items()},
                **self.counters,
            },
        }

    def drain(self) -> None:
        """The node stops: its sessions move to others."""
        self._stopping = True
        self.moving.begin()

    def drained(self) -> bool:
        """Returns False while sessions move, datagrams wait, or answers to the last ones may be on their way."""
        if not self.moving.done or any(way.waiting for way in self._ways.values()):
            return False
        on_the_way = any(way.flow.on_the_way for way in self._ways.values() if way.flow is not None)
        return not on_the_way and self.core.loop.time() - self.last >= QUIET

    def retire(self) -> None:
        """Ends the process, and the peers, once all that waits was handled."""
        self.process.put_runtime(exit_signal(self.process.parent, TerminateShutdown()), 0)
        self.peers.retire()

    def when_ended(self, function: Callable[[Exception], None]) -> None:
        """Calls `function` with the reason when the process ends."""
        process = self.process
        process.when_ended(lambda: function(TerminateKill() if process.reason is None else process.reason))

    def close(self) -> None:
        """Ends the part that this node takes in the sessions."""
        self._timer.cancel()
        if self.joining is not None:
            self.joining.cancel()
        self.members.leave(self)
        self.moving.close()
        for way in self._ways.values():
            if way.flow is not None:
                way.flow.close()
        self.exchange.forget_server(self.server.id)
