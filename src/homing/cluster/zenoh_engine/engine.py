"""`ZenohEngine`: joins, keeps the connection, connects anew where zenoh does not, and ends.

Rule 1: nothing of zenoh is called on the loop, as any of it may block: it has threads. The exception is a `put` that
finds room: see `sender`.
Rule 2: notices come on the loop only, and none after `close`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from itertools import count
from typing import Any

from ...gen import ClusterOptions, NodeForked, NodeTaken, NotAllowed
from ...gen.cluster_errors import ListenFailed
from ..discovery import LOOKUP_INTERVAL, Seeds, is_own, reachable
from ..endpoints import Endpoint
from ..engine import Peer, Receiver
from ..security import Security, prepare
from . import joining
from .connection import Connection, ConnectionFailed
from .inbox import Arrival, Inbox
from .keys import Keys, Token
from .members import Members
from .opening import Opener
from .sender import END, Outlet, join_all
from .settings import LARGEST_BATCH, grown_buffer, lease_of
from .threads import in_thread, start_thread

_OPEN_TIMEOUT = 20.0
"""Seconds for zenoh to open a session. Milliseconds are usual."""

_ANNOUNCE_TIMEOUT, _WITHDRAW_TIMEOUT, _FLUSH_TIMEOUT, _CLOSE_TIMEOUT = 5.0, 1.0, 0.5, 2.0
"""Seconds for the parts of an end. A close that takes longer is left behind in its thread (zenoh#2675)."""

_RACE = 0.1
"""Seconds after which the token of a node of the same name that joined at the same moment has come."""

_LAST = 0.5
"""Most seconds for which the end of a node that leaves is held back until it has ended its lanes: its last batches come
by another way than its token, and have been seen 20 ms behind it on a busy machine."""

_TRIES = 5
"""Times that a free port is looked for, if another program takes it in between."""

_REOPEN_AFTER, _REOPEN_AT_MOST, _CALM = 10.0, 300.0, 600.0
"""Seconds between two new connections: all nodes are down for a moment in each, so their distance doubles up to the
second figure, until there was none for as long as the third."""

_SOON = 14.0
"""Days before the end of a certificate from which on it is logged."""

_LOG = logging.getLogger("homing.cluster")


class ZenohEngine:
    """Carries batches by zenoh: see `engine.Engine`. options: of the cluster. For one `open` and one `close`."""

    def __init__(self, options: ClusterOptions) -> None:
        self._options = options
        self._keys = Keys(options.name)
        self._process = os.getpid()
        self._name = options.name
        self._closed = False
        self._own: Peer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._security: Security | None = None
        self._opener: Opener | None = None
        self._sessions: set[str] = set()  # all of this engine: a former one may still be about to close
        self._seeds = Seeds((), secure=False)
        self._listening: tuple[Endpoint, ...] = ()
        self._dialled: tuple[Endpoint, ...] = ()
        self._connection: Connection | None = None
        self._inbox: Inbox | None = None
        self._members: Members | None = None
        self._advice: joining.Advice | None = None
        self._told: deque[tuple[float, Connection, Token, bool, bool]] = deque()
        self._pending: list[tuple[Token, bool, bool]] | None = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._reopening = False
        self._last_reopened = 0.0
        self._distance = _REOPEN_AFTER

    # --- the contract -------------------------------------------------------------------------------------

    async def open(self, own: Peer, receiver: Receiver) -> None:
        """Listens, joins, and makes `own` known. Raises `NodeTaken`, `BadOption`, `ListenFailed`, and
        `ConnectionFailed` if zenoh refuses for another reason."""
        self._check()
        if self._own is not None:
            raise NotAllowed("this engine was opened already: make another one")
        self._own, self._name = own, own.name
        self._loop = asyncio.get_running_loop()
        try:
            self._security = await in_thread("homing-prepare", lambda: prepare(self._options, own.name), _OPEN_TIMEOUT)
            self._warn_of_settings(self._security)
            self._seeds = Seeds(self._security.join, secure=self._security.uses_certificates)
            self._advice = joining.Advice(self._security, self._options.name)
            self._members = Members(receiver, self._outlets, self._post, self._address_of)
            self._inbox = Inbox(self._loop, self._arrived)
            await self._seeds.look_up()
            self._opener = Opener(own, self._options, self._security, self._keys)
            await self._listen(self._opener)
            await self._join(own)
        except BaseException:
            await self._abandon()
            raise
        self._start(self._watch())

    async def close(self) -> None:
        """Withdraws `own` and releases everything, within 4 s. The receiver is not notified any more."""
        self._check()
        if self._closed:
            return
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        senders = [] if self._members is None else self._members.forget_all()
        for sender in senders:
            sender.finish()  # what was sent last goes out before the token is withdrawn
        with suppress(TimeoutError):
            await in_thread("homing-flush", lambda: join_all(senders, _FLUSH_TIMEOUT), _FLUSH_TIMEOUT + 0.1)
        for sender in senders:
            sender.stop()
        await self._abandon()

    def put(self, peer: Peer, lane: int, data: bytes | bytearray, light: bool = False) -> None:
        """See `engine.Engine.put`. Raises `NodeForked` in a fork, and nothing else."""
        self._check()
        sender = None if self._members is None else self._members.sender_to(peer)
        if sender is None:
            return
        if len(data) > LARGEST_BATCH:  # zenoh would drop it at the other end, as silently
            _LOG.error("a batch of %d bytes for %r is not sent: at most %d", len(data), peer.name, LARGEST_BATCH)
            return
        sender.put(lane, data, light)

    def suspect(self, peer: Peer, why: str) -> None:
        """Opens a new session, soon: zenoh has no way to close one connection. All nodes are down for a moment."""
        self._check()
        if self._members is not None and self._members.sender_to(peer) is not None:
            self._reopen(f"nothing comes through to {peer.name!r}: {why}")

    @property
    def addresses(self) -> tuple[str, ...]:
        self._check()
        return tuple(str(one) for one in self._listening)

    def _check(self) -> None:
        if os.getpid() != self._process:
            raise NodeForked(self._name)

    # --- joining ------------------------------------------------------------------------------------------

    async def _listen(self, opener: Opener) -> None:
        """Opens the first session. A port 0 becomes a free port, which is kept for later sessions."""
        for attempt in range(_TRIES):
            listening = await in_thread("homing-listeners", opener.listeners, _OPEN_TIMEOUT)
            try:
                await self._connect(listening)
                return
            except ListenFailed:
                if attempt == _TRIES - 1 or self._security is None or all(one.port for one in self._security.listen):
                    raise

    async def _connect(self, listening: tuple[Endpoint, ...]) -> None:
        """Opens a session that listens there and dials the seeds known by now. Raises `ListenFailed`,
        `ConnectionFailed`."""
        opener, loop, inbox = self._opener, self._loop, self._inbox
        if opener is None or loop is None or inbox is None:
            raise NotAllowed("the engine is not open")
        others = tuple(one for one in self._seeds.current if not is_own(one, listening))
        connection = self._connection = opener.prepare(listening, others)
        self._sessions.add(connection.session_id)
        try:
            await in_thread(
                "homing-open", lambda: opener.open(connection, listening, loop, inbox, self._on_token), _OPEN_TIMEOUT
            )
        except BaseException as error:
            start_thread("homing-close", connection.close)
            if isinstance(error, TimeoutError):
                raise ConnectionFailed(f"zenoh did not open a session within {_OPEN_TIMEOUT:g} s") from None
            raise
        self._listening, self._dialled = listening, others

    async def _join(self, own: Peer) -> None:
        """Waits for the others, looks for a node of this name, and makes this one known."""
        connection = self._connection
        if connection is None:
            raise NotAllowed("the engine is not prepared")
        if self._dialled and await reachable(self._dialled):
            await in_thread("homing-join", lambda: joining.wait_for_neighbours(connection), _OPEN_TIMEOUT)
        self._check_name(own)
        await in_thread("homing-claim", connection.claim, _ANNOUNCE_TIMEOUT)
        if self._dialled:
            await asyncio.sleep(_RACE)
        self._check_name(own)
        await in_thread("homing-announce", connection.announce, _ANNOUNCE_TIMEOUT)
        self._live()

    def _check_name(self, own: Peer) -> None:
        """Raises `NodeTaken` if a node of that name is there, or one of an earlier start claims it."""
        connection = self._connection
        if connection is None:
            return
        here: dict[tuple[str, bool], Token] = {}
        for token, alive, _ in self._pending or ():
            if token.peer.name == own.name and token.session not in self._sessions:
                if alive:
                    here[token.session, token.claims] = token
                else:
                    here.pop((token.session, token.claims), None)
        for token in here.values():
            if not token.claims or (token.peer.creation, token.session) < (own.creation, connection.session_id):
                raise NodeTaken(own.name, token.peer.creation, connection.address_of(token.session))

    def _live(self) -> None:
        """From here on tokens count."""
        pending, self._pending = self._pending or [], None
        for token, alive, leaves in pending:
            if not token.claims:
                self._token(token, alive, leaves)

    # --- tokens and batches -------------------------------------------------------------------------------

    def _on_token(self, connection: Connection, token: Token, alive: bool, leaves: bool) -> None:
        due = asyncio.get_running_loop().time() + (_LAST if leaves and not alive else 0.0)
        self._told.append((due, connection, token, alive, leaves))
        if len(self._told) == 1:
            self._read_told()

    def _read_told(self) -> None:
        """Handles tokens in their order. The end of one waits for what its node has sent before."""
        loop = asyncio.get_running_loop()
        while self._told:
            due, connection, token, alive, leaves = self._told[0]
            current = connection is self._connection and not self._closed
            if current and loop.time() < due and self._members is not None and self._members.still_sends(token):
                loop.call_at(due, self._read_told)
                return
            if current and not alive and self._inbox is not None and self._inbox.waits(token.peer):
                loop.call_soon(self._read_told)
                return
            self._told.popleft()
            if not current:
                continue
            if self._pending is not None:
                self._pending.append((token, alive, leaves))
            elif not token.claims:
                self._token(token, alive, leaves)

    def _arrived(self, arrival: Arrival) -> None:
        if self._members is not None:
            self._members.arrived(arrival)
            if arrival.data == END:
                self._read_told()

    def _token(self, token: Token, alive: bool, leaves: bool) -> None:
        members, own, connection = self._members, self._own, self._connection
        if members is None or own is None or connection is None or token.session in self._sessions:
            return
        if token.peer.name == own.name:
            if alive:
                self._name_conflict(own, token)
        elif alive:
            members.appeared(token)
        else:
            left = f"the connection has ended, or nothing came for {lease_of(self._options.node_timeout):g} s"
            members.gone(token, "it has left the cluster" if leaves else left)

    def _name_conflict(self, own: Peer, token: Token) -> None:
        """Another node has this one's name, as after a network was divided: the later start stays, the earlier goes,
        which is what all other nodes do as well."""
        connection = self._connection
        if connection is None or (token.peer == own and token.session < connection.session_id):
            return  # of the same creation one goes: the one with the lesser session
        if token.peer.creation < own.creation:
            return
        _LOG.error(
            "another node %r (creation %d) is in the cluster and was started later than this one (%d): this one leaves",
            own.name,
            token.peer.creation,
            own.creation,
        )
        self._connection = None  # no token counts any more
        self._start(self._leave(connection))

    async def _leave(self, connection: Connection) -> None:
        if self._members is not None:
            self._members.all_down("a later start of this node has taken its place")
        with suppress(TimeoutError):
            await in_thread("homing-close", connection.close, _CLOSE_TIMEOUT)

    def _outlets(self, peer: Peer) -> list[Outlet]:
        connection = self._connection
        if connection is None:
            raise ConnectionFailed("the connection is closed")
        return list(connection.outlets(peer))

    def _address_of(self, session_id: str) -> str:
        connection = self._connection
        return "" if connection is None else connection.address_of(session_id)

    def _post(self, function: Callable[..., object], *args: object) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(function, *args)

    # --- while it is open ---------------------------------------------------------------------------------

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.error("cluster %r: %s", self._options.name, error, exc_info=error)

    async def _watch(self) -> None:
        """Looks names up again, dials what is new, and says why nobody is seen."""
        doubtful: set[Endpoint] = set()
        while True:
            await asyncio.sleep(LOOKUP_INTERVAL if self._members else LOOKUP_INTERVAL / 2)
            connection, loop = self._connection, self._loop
            if connection is None or loop is None or self._reopening or self._advice is None:
                continue
            if self._seeds.has_names:
                await self._seeds.look_up()
                doubtful = await self._dial_new(connection, doubtful)
            if self._members:
                self._advice.seen()
            else:
                others = [one for one in self._seeds.current if not is_own(one, self._listening)]
                neighbours = await in_thread("homing-neighbours", connection.neighbours, _OPEN_TIMEOUT)
                await self._advice.alone(others, len(neighbours), loop.time())

    async def _dial_new(self, connection: Connection, doubtful: set[Endpoint]) -> set[Endpoint]:
        """Connects anew if a seed answers that zenoh does not dial and is not connected to: at once if no node is
        there, else if it was so the last time too, as the nodes may be about to find each other."""
        new = [one for one in self._seeds.current if one not in self._dialled and not is_own(one, self._listening)]
        if not new:
            return set()
        found = await in_thread("homing-links", connection.remote_addresses, _OPEN_TIMEOUT)
        hosts = {address.partition("/")[2].rpartition(":")[0].strip("[]") for address in found.values()}
        answering = {one for one in await reachable(new) if one.host not in hosts}
        if answering and (not self._members or answering & doubtful):
            self._reopen(f"the seeds {', '.join(sorted(map(str, answering)))} are new")
            return set()
        return answering

    def _reopen(self, why: str) -> None:
        if not self._reopening and not self._closed and self._connection is not None:
            self._reopening = True
            self._start(self._reopened(why))

    async def _reopened(self, why: str) -> None:
        """Closes the session and opens another one, not too often."""
        loop, members = asyncio.get_running_loop(), self._members
        try:
            await asyncio.sleep(self._pause(loop.time()))
            former = self._connection
            if former is None or members is None:
                return
            _LOG.warning("cluster %r: connects anew: %s", self._options.name, why)
            self._connection, self._pending = None, []
            members.all_down(f"this node connects anew: {why}")
            with suppress(TimeoutError):
                await in_thread("homing-close", former.close, _CLOSE_TIMEOUT)
            await self._connect_until_it_works()
            self._live()
        finally:
            self._reopening = False

    async def _connect_until_it_works(self) -> None:
        for attempt in count():
            try:
                if attempt >= _TRIES and self._opener is not None:  # a former session may hold the port forever
                    listening = await in_thread("homing-listeners", self._opener.listeners, _OPEN_TIMEOUT)
                else:
                    listening = self._listening
                await self._connect(listening)
                if self._connection is not None:
                    await in_thread("homing-announce", self._connection.announce, _ANNOUNCE_TIMEOUT)
                return
            except (ConnectionFailed, ListenFailed, TimeoutError) as error:
                _LOG.warning("cluster %r: cannot connect anew, tried again in 1 s: %s", self._options.name, error)
                await asyncio.sleep(1.0)

    def _pause(self, now: float) -> float:
        since = now - self._last_reopened if self._last_reopened else _CALM
        self._distance = _REOPEN_AFTER if since >= _CALM else min(self._distance * 2, _REOPEN_AT_MOST)
        pause = 0.0 if since >= _CALM else max(0.0, self._distance / 2 - since)
        self._last_reopened = now + pause
        return pause

    async def _abandon(self) -> None:
        """Closes the session, in bounded time, whatever state it is in."""
        self._closed = True
        if self._inbox is not None:
            self._inbox.close()
        for sender in [] if self._members is None else self._members.forget_all():
            sender.stop()
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(TimeoutError):
                await in_thread("homing-close", connection.close, _CLOSE_TIMEOUT)

    def _warn_of_settings(self, security: Security) -> None:
        if self._options.insecure and not security.uses_certificates:
            _LOG.warning(
                "cluster %r is insecure: anybody in the network can read what nodes send; `homing cert` makes "
                "certificates",
                self._options.name,
            )
        if security.days_left is not None and security.days_left < _SOON:
            _LOG.warning(
                "the certificate in %s is over in %.0f days: no node connects then; `homing cert node` makes another",
                self._options.cert,
                max(security.days_left, 0.0),
            )
        grown = grown_buffer()
        if 0 < grown < self._options.link_window:
            _LOG.warning(
                "link_window=%d is more than sockets may buffer (net.ipv4.tcp_wmem, %d): give a smaller window, or "
                "raise that",
                self._options.link_window,
                grown,
            )
