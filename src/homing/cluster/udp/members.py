"""The members of sessions: which nodes take part, which can own, and what they tell each other.

A node that takes part is in one of three states for the others:

    OWNS     it can own new sessions
    LEAVING  it has sessions, and gets no new ones: it is draining
    EDGE     it has none: it has no tag of the owners, or has been drained
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ...gen import NotAllowed
from ...meta.sessions.keys import NoKey, pack_key, unpack_key
from ..datagram_frames import Adopt, Held, Here, Hold, Offer, Welcome
from ..rendezvous import node_number

if TYPE_CHECKING:
    from .exchange import Exchange
    from .session_table import SessionTable

_MOST_NAMES = 10_000
"""Names of sessions that are remembered: no cluster has so many services."""

OWNS, LEAVING, EDGE = "owns", "leaving", "edge"


class Members:
    """The members of all sessions in which this node takes part, or of which others have told it."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._cluster = exchange.cluster
        self._own: str = exchange.core.name
        self.tables: dict[str, SessionTable] = {}
        self._others: dict[str, dict[str, str]] = {}
        self._owners: dict[str, dict[str, int]] = {}
        cluster = self._cluster
        cluster.on_frame(Offer, self._offer)
        cluster.on_frame(Hold, self._hold)
        cluster.on_frame(Held, self._held)
        cluster.on_frame(Adopt, self._adopt)
        cluster.on_frame(Here, self._here)
        cluster.on_frame(Welcome, self._welcome)
        cluster.on_up(self._up)
        cluster.on_down(self._down)
        exchange.receiver_of_sessions = self._receiver

    def _receiver(self, name: str) -> Any:
        table = self.tables.get(name)
        return None if table is None else table.peers.address

    # --- this node --------------------------------------------------------------------------------------------

    def join(self, table: SessionTable) -> None:
        """Takes part in sessions. Raises `NotAllowed` if another server of this node does so under that name."""
        if table.name in self.tables:
            raise NotAllowed(f"another UDP server of this node has sessions of the name {table.name!r}: give it one")
        self.tables[table.name] = table
        table.joining = Joining(table, set(self._others.get(table.name, ())))
        for link in self._cluster.links.values():
            self._exchange.post(link, self._offer_of(table), must=True)
        table.joining.look(self._cluster.links)

    def joined(self, table: SessionTable) -> None:
        """A table knows of the sessions of all others: it can own some."""
        table.joining = None
        self.offer(table)

    def _offer_of(self, table: SessionTable) -> Offer:
        joins = table.joining is not None
        return Offer(table.name, self._can_own(table) and not joins, True, joins and self._can_own(table))

    def leave(self, table: SessionTable) -> None:
        """Takes part no more."""
        if self.tables.get(table.name) is table:
            del self.tables[table.name]
            self._owners.clear()
            for link in self._cluster.links.values():
                self._exchange.post(link, Offer(table.name, False, False), must=True)

    def offer(self, table: SessionTable) -> None:
        """Tells the other nodes whether this one can own sessions."""
        self._owners.clear()
        for link in self._cluster.links.values():
            self._exchange.post(link, self._offer_of(table), must=True)
        table.members_changed()

    def _can_own(self, table: SessionTable) -> bool:
        tag = table.options.owners
        return not table.moving.draining and (tag is None or tag in self._cluster.options.tags)

    # --- who ----------------------------------------------------------------------------------------------------

    def owners(self, name: str) -> dict[str, int]:
        """Returns the nodes that can own new sessions, with their weights."""
        found = self._owners.get(name)
        if found is None:
            links = self._cluster.links
            found = {
                node: _weight(links[node])
                for node, state in self._others.get(name, {}).items()
                if state == OWNS and node in links
            }
            table = self.tables.get(name)
            if table is not None and table.joining is None and self._can_own(table):
                found[self._own] = self._cluster.options.weight
            self._owners[name] = found
        return found

    def others(self, name: str) -> list[Any]:
        """Returns the links to all other nodes that take part."""
        links = self._cluster.links
        return [links[node] for node in self._others.get(name, {}) if node in links]

    def by_number(self, name: str, number: int) -> str:
        """Returns the node that has this number and sessions, "" if there is none."""
        nodes = [node for node, state in self._others.get(name, {}).items() if state != EDGE]
        table = self.tables.get(name)
        if table is not None and not table.moving.drained_away:
            nodes.append(self._own)
        return min((node for node in nodes if node_number(node) == number), default="")

    # --- frames -------------------------------------------------------------------------------------------------

    def say_here(self, name: str, keys: list[bytes]) -> None:
        """Tells all others that this node owns these sessions."""
        for link in self.others(name):
            self._exchange.post(link, Here(name, keys), must=True)

    def _up(self, link: Any) -> None:
        for table in self.tables.values():
            self._exchange.post(link, self._offer_of(table), must=True)

    def _down(self, link: Any, reason: Exception) -> None:
        node = link.peer.name
        self._owners.clear()
        for table in tuple(self.tables.values()):
            if table.joining is not None:
                table.joining.lost(node, self._cluster.links)
        for name, others in self._others.items():
            if others.pop(node, None) is not None and name in self.tables:
                self._lost(self.tables[name], node)

    def _lost(self, table: SessionTable, node: str) -> None:
        table.moving.lost_node(node)
        table.lost_node(node)
        table.members_changed()

    def _offer(self, link: Any, frame: Offer) -> None:
        if frame.name not in self._others and len(self._others) >= _MOST_NAMES:
            link.undelivered["sessions"] += 1
            return
        others = self._others.setdefault(frame.name, {})
        node = link.peer.name
        before = others.get(node)
        self._owners.clear()
        table = self.tables.get(frame.name)
        if not frame.there:
            others.pop(node, None)
            if table is not None and before is not None:
                self._lost(table, node)
            return
        if frame.owns:
            others[node] = OWNS
        else:
            others[node] = LEAVING if before in (OWNS, LEAVING) else EDGE
        if frame.joins:
            welcome = partial(self._exchange.post, link, Welcome(frame.name, list(others)), must=True)
            if table is None:
                welcome()
            else:
                table.announce_for(node, _weight(link), welcome)
        elif table is not None:
            table.members_changed()

    def _welcome(self, link: Any, frame: Welcome) -> None:
        table = self.tables.get(frame.name)
        if table is not None and table.joining is not None:
            table.joining.welcome(link.peer.name, frame.nodes, self._cluster.links)

    def _hold(self, link: Any, frame: Hold) -> None:
        table = self.tables.get(frame.name)
        node = link.peer.name
        if not frame.keys and node in self._others.get(frame.name, {}):
            self._others[frame.name][node] = EDGE
        if table is not None:
            table.moving.hold(node, self._keys(link, frame.keys), all_gone=not frame.keys)
        self._exchange.post(link, Held(frame.name, frame.move), must=True)

    def _held(self, link: Any, frame: Held) -> None:
        table = self.tables.get(frame.name)
        if table is not None:
            table.moving.held(link.peer.name, frame.move)

    def _adopt(self, link: Any, frame: Adopt) -> None:
        table = self.tables.get(frame.name)
        if table is None:
            link.undelivered["nobody"] += 1
            return
        keys = self._keys(link, [frame.key])
        if keys:
            table.moving.adopt(link, keys[0], frame)

    def _here(self, link: Any, frame: Here) -> None:
        table = self.tables.get(frame.name)
        if table is None:
            return
        node = link.peer.name
        keys = self._keys(link, frame.keys)
        kept = [key for key in keys if table.keeps(key, node)]
        if kept:
            self.say_here(frame.name, [pack_key(key) for key in kept])
            keys = [key for key in keys if key not in kept]
        table.moving.here(node, keys)

    def _keys(self, link: Any, packed: list[bytes]) -> list[Any]:
        keys = []
        for one in packed:
            try:
                keys.append(unpack_key(one))
            except NoKey:
                link.undelivered["invalid"] += 1
        return keys


def _weight(link: Any) -> int:
    """Returns the weight of a node, as it says itself."""
    return int(link.hello.weight)


class Joining:
    """The beginning of a table: it waits until all nodes of the service have said which sessions are theirs."""

    def __init__(self, table: SessionTable, mentioned: set[str]) -> None:
        self._table = table
        self._mentioned = mentioned
        self._answered: set[str] = set()
        self._timer = table.core.loop.call_later(table.options.settle, self._over)

    def welcome(self, node: str, nodes: list[str], links: Any) -> None:
        """A node has answered."""
        self._answered.add(node)
        self._mentioned |= set(nodes) - {self._table.own}
        self.look(links)

    def lost(self, node: str, links: Any) -> None:
        """A node is down: it is not awaited."""
        self._mentioned.discard(node)
        self._answered.discard(node)
        self.look(links)

    def look(self, links: Any) -> None:
        """Ends the wait if all have answered."""
        if self._answered and self._answered >= set(links) and self._answered >= self._mentioned:
            self._over()

    def cancel(self) -> None:
        """Ends it with the table."""
        self._timer.cancel()

    def _over(self) -> None:
        self._timer.cancel()
        if self._table.joining is self:
            self._table.members.joined(self._table)
