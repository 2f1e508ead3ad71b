"""Sessions that move from a node that is draining to their next owners, each with its state.

For up to `PART` sessions at a time:

    1. the owner tells all nodes that take part: `Hold`. From then on they keep datagrams for these sessions
    2. each answers `Held`: nothing for these sessions comes from it any more
    3. behind all datagrams that came before, each process returns its state from `handle_release`, and ends
    4. the state goes to the next owner: `Adopt`. A process starts there, and gets it by `handle_adopt`
    5. the next owner tells all: `Here`. They send it what they have kept, and all that follows

Where step 5 does not come within `hold_seconds`, the session begins anew at the owner that the hash then chooses. When
no session is left, an empty `Hold` says so: from then on nothing is sent to the drained node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from ...datagram.message import MessageUDP
from ...gen import Alias, HomingError
from ...gen.foreign import safe_repr
from ...meta.peers.peer import Peer
from ...meta.sessions.entries import AdoptState, PeerMoved, Release
from ...meta.sessions.keys import pack_key
from ..datagram_frames import Adopt, Hold
from ..inbound import NOTHING
from .columns import BadColumns, info_fields, read_addresses, read_infos

if TYPE_CHECKING:
    from ...node.scheduling.activity import Activity
    from .session_table import SessionTable

PART = 256
"""Sessions that move at a time: their states are on the way together, and their datagrams wait."""

_PATIENCE = 1.0
"""Seconds for which `Held` is awaited: a round trip takes milliseconds, and a node that is down is not awaited."""

_PAUSE = 0.01
"""Seconds between two looks for a session whose process is just starting."""


class Moving:
    """The moves of the sessions of one server.

    draining: the sessions of this node move away, and it gets no new ones.
    done: no move is under way. drained_away: all have moved.
    """

    def __init__(self, table: SessionTable) -> None:
        self._table = table
        self._core = table.core
        self.draining = False
        self.done = True
        self.drained_away = False
        self._number = 0
        self._missing: set[str] = set()
        self._heard = asyncio.Event()
        self._left: set[Any] = set()
        self._released_all = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    # --- the owner that is draining -----------------------------------------------------------------------------

    def begin(self) -> None:
        """Moves all sessions of this node to others, and gets no new ones. A second call does nothing."""
        if self.draining:
            return
        self.draining = True
        self._table.members.offer(self._table)
        if self._table.members.owners(self._table.name):
            self.done = False
            self._task = self._core.loop.create_task(self._run(), name="sessions move")

    async def _run(self) -> None:
        table = self._table
        said = False
        try:
            while table.members.owners(table.name):
                part = [peer for peer in table.life.table.peers() if peer.reason is None]
                ready = [peer for peer in part if not peer.starting][:PART]
                if ready:
                    await self._move({table.key_of_peer(peer): peer for peer in ready})
                elif part:
                    await asyncio.sleep(_PAUSE)
                elif said:
                    self.drained_away = True
                    break
                else:
                    await self._ask_to_hold([])
                    self._forget_own()
                    said = True
        except Exception as error:
            self._core.log_failure(self._core.log, "sessions could not move: %s", safe_repr(error), fault=error)
        finally:
            self.done = True

    def _forget_own(self) -> None:
        table = self._table
        table.pins.forget_node(table.own)
        table.again(table.take_back(table.own))

    async def _move(self, peers: dict[Any, Peer]) -> None:
        table = self._table
        self._hold_here(table.own, peers)
        await self._ask_to_hold([pack_key(key) for key in peers])
        self._left = set(peers)
        self._released_all.clear()
        entry = _ReleaseAll([partial(self._release, key, peer) for key, peer in peers.items()])
        table.peers.process.put_runtime(entry, 0)
        try:
            async with asyncio.timeout(table.options.hold_seconds):
                await self._released_all.wait()
        except TimeoutError:
            table.counters["moved_too_late"] += len(self._left)
            for key in self._left:
                table.life.end(peers[key], PeerMoved())
            self._left = set()

    async def _ask_to_hold(self, keys: list[bytes]) -> None:
        """Tells all other nodes to hold these sessions, and waits until nothing more comes for them."""
        table = self._table
        self._number += 1
        links = table.members.others(table.name)
        self._missing = {link.peer.name for link in links}
        for link in links:
            table.exchange.post(link, Hold(table.name, self._number, keys), must=True)
        try:
            async with asyncio.timeout(_PATIENCE):
                while self._missing:
                    self._heard.clear()
                    await self._heard.wait()
                while table.exchange.waiting_for_sessions(table.peers.address):
                    await asyncio.sleep(_PAUSE)
        except TimeoutError:
            table.counters["held_too_late"] += 1
        finally:
            self._missing = set()

    def held(self, node: str, move: int) -> None:
        """A node holds the sessions."""
        if move == self._number:
            self._missing.discard(node)
            self._heard.set()

    def _release(self, key: Any, peer: Peer) -> None:
        if peer.reason is not None:
            self._over(key)
            return
        peer._process.put_runtime(Release(key, partial(self._released, key, peer)), 0)

    def _released(self, key: Any, peer: Peer, state: Any, released: bool) -> None:
        if key not in self._left:
            return
        self._over(key)
        table = self._table
        if peer.reason is not None:
            table.counters["ended_moving"] += 1
            return
        if not released:
            table.counters["moved_without_state"] += 1
        node = table.owner_by_hash(key)
        link = table.exchange.link_to(node)
        if link is None:  # no other node is left: the session stays
            table.again(table.pins.release(key))
            return
        kind, body = self._encoded(link, state)
        server, info = peer.way
        address = peer.address
        frame = Adopt(
            table.name,
            pack_key(key),
            address,
            (server.node, server.id, server.creation),
            info_fields(info),
            peer.is_proven,
            kind,
            Raw(body),
        )
        table.exchange.post(link, frame, must=True)
        table.counters["moved_away"] += 1
        table.life.end(peer, PeerMoved(node))

    def _encoded(self, link: Any, state: Any) -> tuple[int, bytes]:
        try:
            found: tuple[int, bytes] = link.outbox.encode(state)
            return found
        except HomingError as error:
            self._table.counters["moved_without_state"] += 1
            text = "the state of a session cannot be sent, the session moves without it: %s"
            self._core.log_failure(self._core.log, text, error, fault=error)
            none: tuple[int, bytes] = link.outbox.encode(None)
            return none

    def _over(self, key: Any) -> None:
        self._left.discard(key)
        if not self._left:
            self._released_all.set()

    # --- all nodes ------------------------------------------------------------------------------------------------

    def hold(self, node: str, keys: list[Any], *, all_gone: bool) -> None:
        """Keeps datagrams of the sessions of `node` that are moving. all_gone: it has none any more."""
        if all_gone:
            table = self._table
            table.pins.forget_node(node)
            table.again(table.take_back(node))
        else:
            self._hold_here(node, keys)

    def _hold_here(self, node: str, keys: Iterable[Any]) -> None:
        table = self._table
        now = self._core.loop.time()
        wanted = set(keys)
        for key in wanted:
            table.pins.hold(key, now)
        for message in table.take_back(node, wanted):
            pin = table.pins.find(table.key_of(message))
            if pin is not None:
                table.counters["dropped_held"] += table.pins.keep(pin, message)
        self._core.loop.call_later(table.options.hold_seconds, self._hold_over, wanted)

    def _hold_over(self, keys: set[Any]) -> None:
        """Lets sessions begin anew that have not arrived anywhere."""
        table = self._table
        late = [key for key in keys if table.pins.is_held(key)]
        for key in late:
            self._begin_anew(key)

    def _begin_anew(self, key: Any) -> None:
        table = self._table
        table.counters["sessions_lost"] += 1
        messages = table.pins.release(key)
        table.pins.forget(key)
        table.again(messages)

    def lost_node(self, node: str) -> None:
        """A node is down: it is not awaited any more."""
        self._missing.discard(node)
        self._heard.set()

    def here(self, node: str, keys: list[Any]) -> None:
        """`node` owns these sessions: it gets what was kept for them."""
        table = self._table
        now = self._core.loop.time()
        messages: list[MessageUDP] = []
        for key in keys:
            messages += table.pins.release(key)
            table.pins.pin(key, node, now)
        table.again(messages)

    # --- the next owner -------------------------------------------------------------------------------------------

    def adopt(self, link: Any, key: Any, frame: Adopt) -> None:
        """Starts the process of a session that has come, with its state, and tells all that it is here."""
        table = self._table
        try:
            address = read_addresses([frame.address])[0]
            infos = read_infos([] if frame.info is None else [frame.info])
        except BadColumns:
            link.undelivered["invalid"] += 1
            return
        state = link.inbound.read(frame.kind, frame.body)
        if state is NOTHING:
            table.counters["moved_without_state"] += 1
            state = None
        alias = Alias(*frame.server)
        if alias.node == table.own:
            server = self._core.registry.routes.get(alias)
            alias = alias if server is None else server.id  # type: ignore[assignment]
        table.exchange.edge_of(alias)
        first = MessageUDP(alias, address, b"", info=infos[0] if infos else None)
        if self._start(key, first, state, frame.proven):
            table.counters["adopted"] += 1
        self.here(table.own, [key])
        table.members.say_here(table.name, [frame.key])

    def _start(self, key: Any, first: MessageUDP, state: Any, proven: bool) -> bool:
        table, life = self._table, self._table.life
        identity = table.identity_of(key)
        if life.table.get(identity) is not None:
            table.counters["adopted_twice"] += 1
            return False
        if not life.make_place():
            table.counters["adopted_no_place"] += 1
            return False
        own_key = None if table.options.key == "source" else key
        peer = Peer(life, identity, own_key, first, self._core.loop.time())
        if not life.add(peer):
            table.counters["adopted_not_started"] += 1
            return False
        if proven:
            life.table.prove(peer)
        peer._process.put_runtime(AdoptState(key, state), 0)
        return True

    def close(self) -> None:
        """Ends all moves."""
        self.done = True
        if self._task is not None:
            self._task.cancel()


class _ReleaseAll:
    """An entry of the mailbox of a table of peers, behind all datagrams that came before."""

    __slots__ = ("_steps",)

    def __init__(self, steps: list[Callable[[], None]]) -> None:
        self._steps = steps

    def handle(self, activity: Activity) -> None:
        """Asks each process for its state."""
        for step in self._steps:
            step()
