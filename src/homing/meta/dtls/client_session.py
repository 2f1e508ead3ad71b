"""The session of a DTLS client with its peer.

Rule 1: the first handshake begins when the client is started; another one with the next message after a session has
        ended.
Rule 2: messages wait for the end of a handshake, in order, and share its failure.
Rule 3: after a failure no handshake begins for `PAUSE` seconds: messages fail at once, with the error of the last one.
"""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...datagram import Address, MessageUDP
from ...datagram.errors import HandshakeFailed, SendQueueFull
from ...datagram.message import identified
from .counters import DTLSCounters
from .identity import Identity
from .messages import SessionDismissed, SessionEnded, SessionReplaced
from .records import read_untrusted
from .session import SMALL_MTU, Session, State
from .timetable import Timetable

if TYPE_CHECKING:
    from .endpoint import DTLSEndpoint
    from .options import DTLSClientOptions

PAUSE = 1.0
"""Seconds: as long as a first flight waits for an answer."""

SILENCES = 2
"""Waits for replies in a row that ended without a record of the peer, after which a new session begins: a server that
was restarted knows none of its sessions, and drops their records."""


class ClientSession:
    """The session of a client's socket, and its successors.

    counters: what has happened.
    watchers: called when a handshake has ended: with None, or with the error.
    failure: of the last handshake; None: it has not failed.
    """

    def __init__(self, options: DTLSClientOptions) -> None:
        self.counters = DTLSCounters()
        self.watchers: list[Callable[[Exception | None], None]] = []
        self.failure: Exception | None = None
        self._options = options
        self._peer: Address = ()
        self._session: Session | None = None
        self._queue: deque[tuple[MessageUDP, Any]] = deque()
        self._timetable = Timetable(self._tick)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._endpoint: DTLSEndpoint | None = None
        self._closed = False
        self._failed_at = 0.0
        self._silences = 0

    def bind(self, endpoint: DTLSEndpoint) -> None:
        """Sends by `endpoint`, to the peer that it is connected to."""
        self._endpoint = endpoint
        self._peer = endpoint.sock.getpeername()

    def opened(self, loop: asyncio.AbstractEventLoop) -> None:
        """The socket is read from now on: the handshake begins."""
        self._loop = loop
        self._begin()

    def _now(self) -> float:
        return 0.0 if self._loop is None else self._loop.time()

    @property
    def state(self) -> str:
        """The state of the session: "handshake", "open" or "closed"."""
        return "closed" if self._session is None else self._session.state.value

    @property
    def open(self) -> int:
        """1 while the session is open."""
        return int(self.state == "open")

    @property
    def shaking(self) -> int:
        """1 during a handshake."""
        return int(self.state == "handshake")

    @property
    def waiting(self) -> int:
        """Messages that wait for the end of a handshake."""
        return len(self._queue)

    # --- the handshake ------------------------------------------------------------------------------------

    def _begin(self) -> None:
        options = self._options
        connection = options.security.connection(serves=False)
        now = self._now()
        session = Session(options.security, connection, self.counters, address=self._peer, mtu=options.mtu, now=now)
        self._session = session
        self._silences = 0
        session.begin(now)
        self._settle(session, False)

    def _settle(self, session: Session, was_open: bool) -> None:
        self._send(session)
        if session.state is State.OPEN and not was_open:
            self._opened(session)
        elif session.state is State.CLOSED:
            self._ended(session, was_open)
        elif session.due is not None:
            self._timetable.add(session)
        self._plan()

    def _opened(self, session: Session) -> None:
        session.info = identified(None, session.identity)
        self.failure = None
        self._watched(None)
        queue, self._queue = self._queue, deque()
        for message, token in queue:
            self._send_late(message, token)

    def _watched(self, error: Exception | None) -> None:
        for change in list(self.watchers):
            change(error)

    @property
    def server_identity(self) -> Identity | None:
        """The identity of the server in the present session."""
        return None if self._session is None else self._session.identity

    def _send_late(self, message: MessageUDP, token: Any) -> None:
        """Sends a message that has waited for the handshake."""
        queue = None if self._endpoint is None else self._endpoint.send_queue
        if queue is None:
            return
        try:
            size, error = queue.send(message, token), None
        except Exception as failure:
            size, error = 0, failure
        if size is not None and queue.on_sent is not None:
            queue.on_sent(message, token, size, error)

    def _ended(self, session: Session, was_open: bool) -> None:
        if self._session is not session:
            return
        self._session = None
        reason = session.reason
        if was_open:
            self.counters.ended(reason)
            return
        self.failure, self._failed_at = reason, self._now()
        queue, self._queue = self._queue, deque()
        self._watched(reason)
        on_sent = None if self._endpoint is None else self._endpoint.send_queue.on_sent
        for message, token in queue:
            if on_sent is not None:
                on_sent(message, token, 0, reason)

    def _plan(self) -> None:
        session, due = self._session, self._timetable.next
        if session is not None and session.state is State.HANDSHAKE:
            end = session.began + self._options.handshake_timeout
            due = end if due is None else min(due, end)
        if due is not None and not self._closed:
            self._timetable.plan(self._loop, due)

    def _tick(self) -> None:
        now, session = self._now(), self._session
        for each in self._timetable.due(now):
            if each is session:
                each.tick(now)
                self._settle(each, False)
        if session is not None and self.shaking and session.began + self._options.handshake_timeout <= now:
            session.expire()
            self._settle(session, False)
        self._plan()

    # --- received -----------------------------------------------------------------------------------------

    def hear(self, message: MessageUDP) -> tuple[list[bytes], Any]:
        """Takes a received datagram. Returns the messages in it, and their packet info."""
        session = self._session
        records = read_untrusted(message.data)
        if session is None:
            self.counters.unknown += 1
            return [], None
        if records is None:
            self.counters.bad += 1
            return [], None
        was_open = session.state is State.OPEN
        messages = session.feed(message.data, records, self._now())
        if messages:
            self._silences = 0
            self.counters.extra += len(messages) - was_open
        if not was_open or not session.is_quiet:
            self._settle(session, was_open)
        info = session.info if message.info is None else identified(message.info, session.identity)
        return messages, info

    def silent(self) -> None:
        """A request had no reply in time."""
        session = self._session
        if session is None or session.state is not State.OPEN:
            return
        self._silences += 1
        if self._silences >= SILENCES:
            session.close(SessionReplaced())
            self._settle(session, True)

    # --- sent ---------------------------------------------------------------------------------------------

    def postpone(self, message: MessageUDP, token: Any) -> bool:
        """Keeps a message until the handshake is complete, which begins now if none has. Returns False if the session
        is open. Raises `HandshakeFailed`, `SendQueueFull`."""
        session = self._session
        if session is not None and session.state is State.OPEN:
            return False
        if session is None and not self._closed and self._loop is not None:
            if self.failure is not None and self._now() < self._failed_at + PAUSE:
                raise self.failure.with_traceback(None)
            self._begin()
            if self._session is not None and self._session.state is State.OPEN:
                return False
        if len(self._queue) >= self._options.handshake_queue:
            raise SendQueueFull(self._options.handshake_queue)
        self._queue.append((message, token))
        return True

    def encrypt(self, message: MessageUDP) -> MessageUDP:
        """Returns the datagram with an encrypted message."""
        session = self._session
        if session is None:
            raise HandshakeFailed(self._peer, "closed", "the session has ended")
        try:
            data = session.write(message.data)
        finally:
            if session.state is State.CLOSED:
                self._settle(session, True)
        return MessageUDP(None, message.addr, data, False, message._lease, message.info)

    def left(self) -> list[tuple[MessageUDP, Any]]:
        """Returns the messages that wait for a handshake, and forgets them."""
        queue, self._queue = self._queue, deque()
        return list(queue)

    def _send(self, session: Session) -> None:
        out = session.take()
        if not out or self._endpoint is None:
            return
        failed = self._endpoint.send_raw(self._peer, out, None)
        if any(getattr(error, "errno", 0) == errno.EMSGSIZE for _, error in failed):
            session.set_mtu(min(session.mtu, SMALL_MTU))

    # --- the end ------------------------------------------------------------------------------------------

    def dismiss(self) -> None:
        """Closes the session. The next message begins another one."""
        session = self._session
        if session is not None:
            was_open = session.state is State.OPEN
            session.close(SessionDismissed())
            self._settle(session, was_open)

    def close(self) -> None:
        """Ends the session, and the client sends nothing more."""
        self._closed = True
        self._timetable.close()
        session = self._session
        if session is not None:
            was_open = session.state is State.OPEN
            session.close(SessionEnded())
            self._send(session)
            if was_open:
                self._ended(session, True)
            self._session = None
