"""The exchange: all flows of datagrams between this node and the others, and their frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any

from ...datagram.message import MessageUDP
from ...gen import PID, Alias, TerminateNormal
from ...gen.foreign import safe_repr
from ...meta.udp.sender import Sender
from ...node.mailbox.lane import COMPILED
from ...node.processes.meta_process import MetaRunner
from ..datagram_frames import Credit, Datagrams, Flow, FlowEnd, Replies
from ..engine import MAIN
from .away import start_away
from .columns import BadColumns, read, unpack
from .edge import Edge
from .inflow import Inflow
from .members import Members
from .moving import Moving
from .session_table import SessionTable
from .sessions import start_sessions

if TYPE_CHECKING:
    from ...meta.udp_server.elsewhere import Receivers
    from ...meta.udp_server.options import UDPServerOptions
    from ..cluster import Cluster
    from .outflow import Outflow

MOST_FLOWS = 10_000
"""Flows of one node: one for each pair of a server there and a receiver here."""

_LATE = 10.0
"""Seconds after the end of a server's last flow in which answers still go the short way."""

_MOST_MARKS = 256
"""Sockets of one server that are told apart: the present one, and those it was moved away from within seconds."""


class Exchange:
    """The datagrams between this node and the others.

    replied: answers sent to servers of other nodes. sent_for_others: answers that servers of this node got to send.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.core = cluster.core
        self.replied = self.sent_for_others = 0
        self._counters: Counter[str] = Counter()
        self._number = 0
        self._outflows: dict[int, Outflow] = {}
        self._all_outflows: dict[Outflow, None] = {}
        self._inflows: dict[Any, dict[int, Inflow]] = {}
        self._edges: dict[Any, dict[int, Edge]] = {}
        self._marks: dict[Alias, list[Alias]] = {}
        self._owed: dict[Inflow, Any] = {}
        self._gathering: dict[Outflow, None] = {}
        self.receiver_of_sessions: Callable[[str], PID | None] = _nobody
        for kind, handler in (
            (Flow, self._flow),
            (Datagrams, self._datagrams),
            (Replies, self._replies),
            (Credit, self._credit),
            (FlowEnd, self._flow_end),
        ):
            cluster.on_frame(kind, handler)
        self.members = Members(self)
        cluster.on_up(self._up)
        cluster.on_down(self._down)

    # --- for UDP servers: `meta.udp_server.elsewhere.Carrier` ------------------------------------------------------

    async def start_away(
        self, server: MetaRunner, options: UDPServerOptions, current: Callable[[], object]
    ) -> Receivers:
        """See `Carrier`."""
        return await start_away(self, server, options, current)

    async def start_sessions(
        self, server: MetaRunner, options: UDPServerOptions, current: Callable[[], object]
    ) -> Receivers:
        """See `Carrier`."""
        return await start_sessions(self, server, options, current)

    def make_moving(self, table: SessionTable) -> Moving:
        """Returns what moves the sessions of a table."""
        return Moving(table)

    def drain(self) -> None:
        """Moves all sessions of this node to others."""
        for table in tuple(self.members.tables.values()):
            table.moving.begin()

    def drained(self) -> bool:
        """Returns False while sessions move to other nodes."""
        return all(table.moving.done for table in self.members.tables.values())

    def waiting_for_sessions(self, receiver: PID) -> int:
        """Returns how many datagrams of other nodes wait for room in the mailbox of `receiver`."""
        return sum(
            flow.waiting for flows in self._inflows.values() for flow in flows.values() if flow.receiver == receiver
        )

    # --- for the parts ----------------------------------------------------------------------------------------

    def link_to(self, node: str) -> Any:
        """Returns the connection to a node, None if it is not up."""
        return self.cluster.links.get(node)

    def post(self, link: Any, frame: Any, *, must: bool = False) -> bool:
        """Sends a frame. Returns False if the outbox is so full that datagrams have to wait; `must`: sends it anyway.
        The policy `overflow` of the cluster does not apply: datagrams have limits of their own."""
        outbox = link.outbox
        if not must and outbox.waiting > outbox.high:
            return False
        kind = type(frame)
        if self._gathering and kind is not Credit and kind is not Replies:
            self._send_gathered()  # no datagram of these flows comes after the frame
        if link.up:
            outbox.post(frame, MAIN, must=True)
        return True

    def post_datagrams(self, link: Any, frame: Datagrams) -> None:
        """Sends datagrams of a flow, for which there is room."""
        if link.up:
            link.outbox.post(frame, MAIN, must=True)

    def gathers(self, flow: Outflow, outbox: Any) -> None:
        """Sends what a flow gathers at the end of the loop's iteration, or before another frame."""
        self._gathering[flow] = None
        outbox.before_flush(partial(self.core.attempt, flow.send_gathered))

    def gathered(self, flow: Outflow) -> None:
        """A flow has sent what it had gathered, or has lost it."""
        self._gathering.pop(flow, None)

    def _send_gathered(self) -> None:
        for flow in tuple(self._gathering):
            self.core.attempt(flow.send_gathered)

    def count(self, what: str, number: int = 1) -> None:
        """Counts datagrams that were lost."""
        self._counters[what] += number

    def refused(self, edge: Edge, error: Exception) -> None:
        """Counts something that cannot be sent to a server of another node, and logs it at a bounded rate."""
        self._counters["unfit"] += 1
        core = self.core
        text = "an answer for %s was not sent: %s"
        core.limited_log.warning(core.loop.time(), f"answer {type(error).__name__}", text, edge.title, safe_repr(error))

    def on_loop(self, function: Callable[..., None], *args: Any) -> None:
        """Calls `function(*args)` soon, from whatever thread."""
        try:
            self.core.loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            pass  # the loop is closed

    def facts(self) -> dict[str, int]:
        """Returns the counters."""
        waiting = sum(flow.waiting for flows in self._inflows.values() for flow in flows.values())
        return {
            "flows_out": len(self._all_outflows),
            "flows_in": sum(map(len, self._inflows.values())),
            "on_the_way": sum(flow.on_the_way for flow in self._all_outflows),
            "waiting": waiting,
            "replied": self.replied,
            "sent_for_others": self.sent_for_others,
            **self._counters,
        }

    # --- out --------------------------------------------------------------------------------------------------

    def next_number(self) -> int:
        """Returns the number of a new flow."""
        self._number += 1
        return self._number

    def add_outflow(self, flow: Outflow) -> None:
        """Adds a flow: it is notified when its node comes up."""
        self._all_outflows[flow] = None

    def opened(self, flow: Outflow, before: int, number: int) -> None:
        """A flow was opened under a new number."""
        self._outflows.pop(before, None)
        self._outflows[number] = flow

    def remove_outflow(self, flow: Outflow) -> None:
        """Removes a flow that has ended."""
        self._all_outflows.pop(flow, None)
        self._outflows.pop(flow.number, None)

    def mark_of(self, server: Alias, id: Alias) -> int:
        """Returns the number of the socket to which a datagram with this `id` came: 0, the present one, for the
        server's own alias object."""
        if id is server:
            return 0
        known = self._marks.setdefault(server, [server])
        for number, alias in enumerate(known):
            if alias is id:
                return number
        if len(known) >= _MOST_MARKS:
            return 0
        known.append(id)
        return len(known) - 1

    def forget_server(self, server: Alias) -> None:
        """Forgets the sockets of a server that has ended."""
        self._marks.pop(server, None)

    def _credit(self, link: Any, frame: Credit) -> None:
        flow = self._outflows.get(frame.flow)
        if flow is not None and flow.node == link.peer.name:
            flow.credit(frame.taken)

    def target(self, edge: Edge) -> Any:
        """Returns the ordinary way to the alias of a server of another node, None if that is down."""
        if not edge.alive:
            return None
        return self.cluster.others.find(edge.id)

    # --- in ---------------------------------------------------------------------------------------------------

    def _flow(self, link: Any, frame: Flow) -> None:
        flows = self._inflows.setdefault(link, {})
        if frame.number in flows or len(flows) >= MOST_FLOWS or not 0 < frame.high < 1 << 24:
            link.undelivered["flow"] += 1
            return
        to: Any = frame.to
        if frame.sessions:
            to = self.receiver_of_sessions(str(to))
        elif isinstance(to, int):
            registry = self.core.registry
            target = registry.routes.get((registry.node, to, registry.creation))
            to = PID(registry.node, to, registry.creation) if target is None else target.id
        elif not any(fnmatchcase(to, pattern) for pattern in self.cluster.options.exposed):
            to = None
        if to is None:
            link.undelivered["nobody"] += 1
            return
        edge = self._edge(link, frame.server, frame.owner)
        edge.flows += 1
        flows[frame.number] = Inflow(self, edge, frame.number, to, (frame.high, frame.low, frame.most_bytes))

    def _edge(self, link: Any, server: int, owner: int) -> Edge:
        edges = self._edges.setdefault(link, {})
        edge = edges.get(server)
        if edge is None:
            peer = link.peer
            alias, sender = Alias(peer.name, server, peer.creation), PID(peer.name, owner, peer.creation)
            edge = edges[server] = Edge(self, link, alias, sender)
            self.core.registry.routes[alias] = edge
        return edge

    def edge_of(self, alias: Alias) -> None:
        """Makes the stand-in for a server of another node, from which a session was adopted, unless there is one."""
        link = self.cluster.links.get(alias.node)
        if link is not None and link.peer.creation == alias.creation:
            self._edge(link, alias.id, 1)

    def _datagrams(self, link: Any, frame: Datagrams) -> None:
        flow = self._inflows.get(link, {}).get(frame.flow)
        if flow is None:
            link.undelivered["flow"] += 1
            self.post(link, Credit(frame.flow, -1), must=True)
            return
        try:
            flow.take(frame)
        except BadColumns:
            link.undelivered["invalid"] += 1

    def owe_credit(self, flow: Inflow) -> None:
        """Tells the other end of a flow, at the end of the loop's iteration, how much has found room."""
        if not self._owed:
            self.core.loop.call_soon(self._pay)
        self._owed[flow] = None

    def _pay(self) -> None:
        owed, self._owed = self._owed, {}
        for flow in owed:
            link = flow.link
            if link.up and flow.told < flow.taken:
                flow.told = flow.taken
                self.post(link, Credit(flow.number, flow.taken), must=True)

    def _flow_end(self, link: Any, frame: FlowEnd) -> None:
        flow = self._inflows.get(link, {}).get(frame.flow)
        if flow is not None:
            flow.end_after_rest()

    def flow_ended(self, flow: Inflow) -> None:
        """Forgets a flow that has ended and has nothing more to deliver."""
        if self._inflows.get(flow.link, {}).pop(flow.number, None) is not None:
            flow.edge.flows -= 1
            if flow.edge.flows == 0:
                self.core.loop.call_later(_LATE, self._forget_edge, flow.edge)

    def _forget_edge(self, edge: Edge) -> None:
        """Ends the stand-in for a server without flows, which has most likely ended. Later answers go the ordinary way
        to another node."""
        if not edge.alive or edge.flows:
            return
        if edge.main:
            self.core.loop.call_later(_LATE, self._forget_edge, edge)
            return
        self._edges.get(edge.link, {}).pop(edge.id.id, None)
        edge.end(TerminateNormal())

    def _replies(self, link: Any, frame: Replies) -> None:
        registry = self.core.registry
        target: Any = registry.routes.get((registry.node, frame.server, registry.creation))
        if not isinstance(target, MetaRunner) or target.hooks.datagram is not MessageUDP:
            link.undelivered["nobody"] += 1
            return
        known = self._marks.get(target.id)
        alias = known[frame.mark] if known is not None and 0 <= frame.mark < len(known) else target.id
        try:
            if target.scheduled or target.paused or target.main or not isinstance(target.forwarder, Sender):
                messages = unpack(alias, frame)
            else:
                messages = self.core.scheduler.run_for(
                    target, partial(self._send_answers, frame, alias), target.forwarder, True
                )
        except BadColumns:
            link.undelivered["invalid"] += 1
            return
        if messages:
            self._queue_answers(link, target, messages)

    def _send_answers(self, frame: Replies, alias: Alias, sender: Sender) -> list[MessageUDP]:
        """Sends answers while nothing waits in the server's mailbox: in columns, the others as messages. Returns those
        that are to go through the mailbox. Raises `BadColumns`."""
        columns = read(frame)
        done = 0 if frame.infos else sender.send_columns(*columns)
        self.sent_for_others += done
        if done == len(columns[2]):
            return []
        messages = unpack(alias, frame)[done:]
        done = sender.send_at_once(messages)
        self.sent_for_others += done
        return messages[done:]

    def _queue_answers(self, link: Any, target: MetaRunner, messages: list[MessageUDP]) -> None:
        if target.limit:
            room = max(0, target.limit - len(target.main or ()))
            if room < len(messages):
                link.undelivered["full"] += len(messages) - room
                messages = messages[:room]
        self.sent_for_others += len(messages)
        lane: Any = target.main_lane()
        sender = self.core.pid
        if COMPILED:
            lane.extend_from(sender, messages)
        else:
            lane.extend([(sender, message) for message in messages])
        if lane is not target.main:
            target.settle(lane)
        if not target.scheduled:
            self.core.scheduler.schedule(target)

    # --- connections --------------------------------------------------------------------------------------------

    def _up(self, link: Any) -> None:
        for flow in tuple(self._all_outflows):
            if flow.node == link.peer.name:
                flow.wake()

    def _down(self, link: Any, reason: Exception) -> None:
        for flow in tuple(self._all_outflows):
            if flow.node == link.peer.name:
                lost = flow.down(link)
                if lost:
                    self._counters["lost_node_down"] += lost
                flow.wake()
        for inflow in tuple(self._inflows.pop(link, {}).values()):
            waiting = inflow.close()
            if waiting:
                self._counters["dropped_node_down"] += waiting
        for edge in self._edges.pop(link, {}).values():
            edge.end(reason)


def _nobody(name: str) -> PID | None:
    """Returns None: there are no sessions."""
    return None
