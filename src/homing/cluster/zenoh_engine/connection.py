"""One zenoh session, from its opening to its close: what is declared in it, and the threads that read from it.

Rule 1: few declarations, and none for a process or a name: they cannot be dropped, so a frozen peer holds them up.
Rule 2: no callback of Python in zenoh's threads: a thread of zenoh that waits for the interpreter's lock answers no
heartbeat. Channels of zenoh's own take what comes, and threads of ours read them.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import zenoh

from ...gen import HomingError
from ..engine import MAIN, SIGNALS, SYSTEM, Peer
from . import forks
from .inbox import Arrival, Inbox
from .keys import CLAIMS, LEAVES, Keys, Token

_LANES = {1: SIGNALS, 2: SYSTEM, 5: MAIN}
"""Lanes by the numbers of zenoh's priorities."""

_PRIORITIES = (zenoh.Priority.REAL_TIME, zenoh.Priority.INTERACTIVE_HIGH, zenoh.Priority.DATA)
"""Priorities by lane."""

_BATCHES, _TOKENS = 4096, 1024
"""Room of the channels. One that is full holds up zenoh's thread; the readers only move what they get."""

_BURST = 64
"""Most batches taken from the channel before the loop is woken: while it handles them, this thread would have to wait
for the interpreter's lock, up to 5 ms for each. More than a window of full ones."""

_MOST_KEYS = 1024
"""Keys whose sender is remembered."""

_READERS_TIMEOUT = 1.0
"""Seconds for the threads that read to end once the session is closed. Milliseconds are usual."""


OnToken = Callable[["Connection", Token, bool, bool], None]


class ConnectionFailed(HomingError):
    """zenoh has refused to open a session; the text is its own."""


class _Outlet:
    """A publisher: see `sender.Outlet`."""

    def __init__(self, publisher: zenoh.Publisher) -> None:
        self._publisher = publisher
        self.put = publisher.put

    def is_matched(self) -> bool:
        status: Any = self._publisher.matching_status  # an object, whatever zenoh's stubs say, and always true
        return bool(getattr(status, "matching", status))


class Connection:
    """A zenoh session. Its methods may block: they are called in threads."""

    def __init__(self, own: Peer, keys: Keys, session_id: str, settings: dict[str, Any]) -> None:
        self.session_id = session_id
        self._own = own
        self._keys = keys
        self._settings = settings
        self._session: zenoh.Session | None = None
        self._batches: Any = None
        self._tokens: Any = None
        self._token: zenoh.LivelinessToken | None = None
        self._leaving: zenoh.LivelinessToken | None = None
        self._claim: zenoh.LivelinessToken | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._senders: dict[str, Peer | None] = {}
        self._readers: list[threading.Thread] = []

    def of_zenoh(self) -> list[object]:
        """All objects of zenoh in here."""
        things = (self._session, self._batches, self._tokens, self._token, self._leaving, self._claim)
        return [thing for thing in things if thing is not None]

    def open(self, more: Mapping[str, Any], loop: asyncio.AbstractEventLoop, inbox: Inbox, on_token: OnToken) -> None:
        """Opens the session and its subscriptions: from here on batches come to this node.

        more: settings beside those of the connection. on_token: called on the loop with the connection, a token,
        whether it is there or gone, and whether its node has said that it leaves. Raises `ConnectionFailed`.
        """
        try:
            self._open(more, loop, inbox, on_token)
        except zenoh.ZError as error:
            raise ConnectionFailed(str(error)) from None

    def _open(self, more: Mapping[str, Any], loop: asyncio.AbstractEventLoop, inbox: Inbox, on_token: OnToken) -> None:
        configuration = zenoh.Config()
        for path, value in {**self._settings, **more}.items():
            configuration.insert_json5(path, json.dumps(value))
        session = zenoh.open(configuration)
        with self._lock:
            self._session = session
            abandoned = self._closed
            if not abandoned:
                forks.keep(self)
        if abandoned:  # closed before it was open
            session.close()  # type: ignore[no-untyped-call]
            return
        to_own = self._keys.batches_to(self._own)
        self._batches = session.declare_subscriber(to_own, zenoh.handlers.FifoChannel(_BATCHES))
        self._tokens = session.liveliness().declare_subscriber(
            self._keys.tokens, zenoh.handlers.FifoChannel(_TOKENS), history=True
        )
        self._start("homing-batches", lambda: inbox.read(self._arrivals()))
        self._start("homing-tokens", lambda: self._read_tokens(loop, on_token))

    def _start(self, name: str, function: Callable[[], None]) -> None:
        def run() -> None:
            with suppress(zenoh.ZError):  # the session is closed
                function()

        reader = threading.Thread(target=run, name=name, daemon=True)
        self._readers.append(reader)
        reader.start()

    def _arrivals(self) -> Iterator[Arrival | None]:
        """Yields the batches that come, and None behind those that were there at once."""
        batches: Any = self._batches
        while True:
            sample, room = batches.recv(), _BURST
            while sample is not None:
                peer = self._sender_of(str(sample.key_expr))
                lane = _LANES.get(int(sample.priority))
                data = sample.payload.to_bytes()
                if peer is not None and lane is not None and data:  # a deletion has no data
                    yield Arrival(peer, lane, data)
                room -= 1
                sample = batches.try_recv() if room else None  # which keeps the interpreter's lock
            yield None

    def _sender_of(self, key: str) -> Peer | None:
        try:
            return self._senders[key]
        except KeyError:
            if len(self._senders) >= _MOST_KEYS:
                self._senders.clear()
            peer = self._senders[key] = self._keys.read_sender_untrusted(key)
            return peer

    def _read_tokens(self, loop: asyncio.AbstractEventLoop, on_token: OnToken) -> None:
        leaving: set[Peer] = set()
        for sample in self._tokens:
            token = self._keys.read_token_untrusted(str(sample.key_expr))
            here = sample.kind == zenoh.SampleKind.PUT
            if token is None:
                continue
            if token.session == LEAVES:
                if not here:
                    leaving.discard(token.peer)
                elif len(leaving) < _MOST_KEYS:
                    leaving.add(token.peer)
                continue
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(on_token, self, token, here, token.peer in leaving)

    def claim(self) -> None:
        """Says that this node is about to join under its name. Raises `ConnectionFailed`."""
        self._claim = self._declare(CLAIMS + self.session_id)

    def announce(self) -> None:
        """Makes this node known. Raises `ConnectionFailed`."""
        self._token = self._declare(self.session_id)
        claim, self._claim = self._claim, None
        if claim is not None:
            with suppress(zenoh.ZError):
                claim.undeclare()  # type: ignore[no-untyped-call]

    def _declare(self, session: str) -> zenoh.LivelinessToken:
        if self._session is None or self._closed:
            raise ConnectionFailed("the session is closed")
        try:
            return self._session.liveliness().declare_token(self._keys.token(self._own, session))
        except zenoh.ZError as error:
            raise ConnectionFailed(str(error)) from None

    def withdraw(self) -> None:
        """Takes that back: others see this node leave."""
        token, self._token = self._token, None
        if token is not None and self._session is not None:
            with suppress(zenoh.ZError):
                self._leaving = self._session.liveliness().declare_token(self._keys.token(self._own, LEAVES))
                token.undeclare()  # type: ignore[no-untyped-call]

    def outlets(self, peer: Peer) -> list[_Outlet]:
        """Makes publishers to `peer`, one a lane."""
        if self._session is None:
            raise ConnectionFailed("the session is closed")
        key = self._keys.batches(self._own, peer)
        return [
            _Outlet(
                self._session.declare_publisher(
                    key,
                    congestion_control=zenoh.CongestionControl.DROP,
                    priority=priority,
                    express=True,  # a batch is full, or is wanted at once: zenoh has nothing to wait for
                    reliability=zenoh.Reliability.RELIABLE,
                )
            )
            for priority in _PRIORITIES
        ]

    def neighbours(self) -> set[str]:
        """Returns the ids of the sessions to which there is a connection."""
        if self._session is None or self._closed:
            return set()
        with suppress(zenoh.ZError):
            return {str(one) for one in self._session.info.peers_zid()}
        return set()

    def address_of(self, session_id: str) -> str:
        """Returns the address of the other end of the connection to a session; "" if there is none."""
        return self.remote_addresses().get(session_id, "")

    def remote_addresses(self) -> dict[str, str]:
        """Returns the addresses of the other ends of all connections, by the ids of their sessions."""
        if self._session is None or self._closed:
            return {}
        with suppress(zenoh.ZError):
            return {str(link.zid): link.dst.partition("?")[0].partition("#")[0] for link in self._session.info.links()}
        return {}

    def close(self) -> None:
        """Closes the session, or sees to it that it is closed once it is open. May take seconds (zenoh#2675).

        Returns when the threads that read from it have ended: the program may end next, and a thread that comes back
        from zenoh while the interpreter ends would abort it ("FATAL: exception not rethrown").
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            session = self._session
        if session is not None:
            self.withdraw()
            with suppress(zenoh.ZError):
                session.close()  # type: ignore[no-untyped-call]
            give_up = time.monotonic() + _READERS_TIMEOUT
            for reader in self._readers:
                reader.join(max(0.0, give_up - time.monotonic()))
            forks.forget(self)
