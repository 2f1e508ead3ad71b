"""The sessions of a DTLS server's socket: its table of peers.

Rule 1: an address gets a place after it has returned the cookie that was sent there. Before that nothing is stored.
Rule 2: a peer that begins anew keeps its former session until the new handshake is complete (RFC 6347, section 4.2.8):
        a forged hello ends no session.
Rule 3: a session that is open is not evicted: its peer has proven its address. A newcomer to a full table is refused.
Rule 4: `notify` gets one message when a session opens, and one when that session ends.
"""

from __future__ import annotations

import asyncio
import errno
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any

from ...datagram import Address, MessageUDP
from ...datagram.address import canonical_untrusted
from ...datagram.errors import HandshakeFailed, NoSession
from ...datagram.message import identified
from ...datagram.policy.limiter import Limiter
from ...datagram.policy.networks import number_of
from .counters import DTLSCounters
from .listener import Listener
from .messages import MessageSessionDown, MessageSessionUp, SessionDismissed, SessionEnded, SessionIdle, SessionReplaced
from .rate import Rate
from .records import APPLICATION, HANDSHAKE, Records, hello_random_untrusted, read_untrusted
from .session import SMALL_MTU, Session, State
from .timetable import LEAST, Timetable

if TYPE_CHECKING:
    from .endpoint import DTLSEndpoint
    from .options import DTLSServerOptions

_PORTION = 128
"""Most sessions that one call of the timer ends, so that others have their turn."""

_CHANGE_CIPHER = 20


class ServerSessions:
    """The sessions of one socket.

    counters: what has happened. May be shared with other sockets of the server.
    report: called with a `MessageSessionUp` or `MessageSessionDown` but for its id. None: nobody asks.
    warn: logs at a bounded rate. None: not yet.
    """

    waiting = 0

    def __init__(self, options: DTLSServerOptions) -> None:
        self.counters = DTLSCounters()
        self.report: Callable[[type, tuple[Any, ...]], None] | None = None
        self.warn: Callable[..., None] | None = None
        self._open: OrderedDict[Address, Session] = OrderedDict()  # the one that is silent longest first
        self._shaking: dict[Address, Session] = {}  # the oldest first
        self._limiter = Limiter()
        self._rate = Rate()
        self._timetable = Timetable(self._tick)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._endpoint: DTLSEndpoint | None = None
        self._closed = False
        self._listener = Listener(options.security)
        self._options = options
        self._limit()

    def bind(self, endpoint: DTLSEndpoint) -> None:
        """Sends by `endpoint`."""
        self._endpoint = endpoint

    def opened(self, loop: asyncio.AbstractEventLoop) -> None:
        """The socket is read from now on."""
        self._loop = loop
        self._plan()

    def adjust(self, options: DTLSServerOptions, *, renew: bool) -> None:
        """Applies other options from now on. renew: new handshakes use the keys and certificates of `options`; open
        sessions continue."""
        self._options = options
        if renew:
            self._listener.use(options.security)
        self._limit()
        self._plan()

    def _limit(self) -> None:
        options = self._options
        options.security.warn = self._warn
        self._limiter.apply(options.hello_limit)
        self._rate.apply(options.handshake_rate)

    def _warn(self, *args: Any) -> None:
        if self.warn is not None:
            self.warn(*args)

    @property
    def open(self) -> int:
        """Sessions that are open now."""
        return len(self._open)

    @property
    def shaking(self) -> int:
        """Handshakes that are not over."""
        return len(self._shaking)

    def _now(self) -> float:
        return 0.0 if self._loop is None else self._loop.time()

    # --- received -----------------------------------------------------------------------------------------

    def hear(self, message: MessageUDP) -> tuple[list[bytes], Any]:
        """Takes a received datagram. Returns the messages in it, and their packet info."""
        data, address = message.data, message.addr
        records = read_untrusted(data)
        if records is not None and records.kinds[0] == APPLICATION:
            session = self._open.get(address) or self._shaking.get(address)
        else:
            session = self._session_of(data, address, records)
        if session is None:
            self._stranger(message, records)
            return [], None
        if records is None:
            self.counters.bad += 1
            return [], None
        return self._feed(session, message, records)

    def _session_of(self, data: bytes, address: Address, records: Records | None) -> Session | None:
        """Returns the session that a datagram belongs to that is no message; None: it begins a handshake, or belongs
        to none."""
        session, shaking = self._open.get(address), self._shaking.get(address)
        if records is None:
            return session or shaking
        if records.epoch == 0 and records.kinds[0] == HANDSHAKE:
            random = hello_random_untrusted(data)
            if random is not None:
                return next((each for each in (shaking, session) if each is not None and each.random == random), None)
        if shaking is not None and (records.epoch == 0 or records.kinds[0] in (HANDSHAKE, _CHANGE_CIPHER)):
            return shaking
        return session or shaking

    def _feed(self, session: Session, message: MessageUDP, records: Records) -> tuple[list[bytes], Any]:
        was_open = session.state is State.OPEN
        messages = session.feed(message.data, records, self._now())
        if messages:
            self.counters.extra += len(messages) - was_open  # the datagram itself may be a part of the handshake
        if not was_open or not session.is_quiet:
            self._settle(session, was_open)
        info = session.info
        if messages and session.state is State.OPEN:
            self._open.move_to_end(session.address)
            if message.info is not None:
                session.way = message.reply(b"").info
        if message.info is not None:
            info = identified(message.info, session.identity)
        return messages, info

    def _settle(self, session: Session, was_open: bool) -> None:
        """Sends what a session has to send, and notes its change of state."""
        self._send(session)
        if session.state is State.OPEN and not was_open:
            self._opened(session)
        elif session.state is State.CLOSED:
            self._forget(session)
        elif session.due is not None:
            self._timetable.add(session)
            self._plan()

    def _opened(self, session: Session) -> None:
        address = session.address
        if self._shaking.get(address) is session:
            del self._shaking[address]
        former = self._open.pop(address, None)
        if former is not None:
            self._down(former, SessionReplaced())
        self._open[address] = session
        session.info = identified(None, session.identity)
        self._plan()
        self._tell(MessageSessionUp, (address, session.identity))

    def _forget(self, session: Session) -> None:
        """Removes a session that has ended by itself."""
        address = session.address
        if self._shaking.get(address) is session:
            del self._shaking[address]
            if isinstance(session.reason, HandshakeFailed):
                self._warn(f"handshake {session.reason.cause}", "%s", session.reason)
        elif self._open.get(address) is session:
            del self._open[address]
            self._down(session, session.reason or SessionEnded())

    def _down(self, session: Session, reason: Exception) -> None:
        self.counters.ended(reason)
        self._tell(MessageSessionDown, (session.address, session.identity, reason))

    def _tell(self, kind: type, fields: tuple[Any, ...]) -> None:
        if self.report is not None:
            self.report(kind, fields)

    # --- strangers ----------------------------------------------------------------------------------------

    def _stranger(self, message: MessageUDP, records: Records | None) -> None:
        """Handles a datagram that belongs to no session: maybe it begins one."""
        counters = self.counters
        random = None if records is None else hello_random_untrusted(message.data)
        if random is None:
            if records is not None and (records.epoch or records.kinds[0] == APPLICATION):
                counters.unknown += 1
            else:
                counters.hellos_bad += 1
            return
        if not self._admits(message.addr):
            counters.hellos_limited += 1
            return
        if self._is_full():
            counters.hellos_full += 1
            return
        connection, answer = self._listener.hear(message.data, random, message.addr)
        counters.cookies_refused += self._listener.refused
        if connection is not None:
            self._begin(connection, random, message)
        elif answer:
            counters.cookies += 1
            counters.handshake_in += 1
            self._send_raw(message.addr, [answer], message.reply(b"").info)
        else:
            counters.hellos_bad += 1

    def _admits(self, address: Address) -> bool:
        number = number_of(address[0])
        self._limiter.look_at_clock() if self._limiter.active else None
        return number is None or self._limiter.admit(*number, 1) == 1

    def _is_full(self) -> bool:
        options = self._options
        return (
            self._closed
            or len(self._shaking) >= options.most_handshakes
            or len(self._open) + len(self._shaking) >= options.most_sessions
        )

    def _begin(self, connection: Any, random: bytes, message: MessageUDP) -> None:
        """Begins the handshake of an address that has returned the cookie."""
        now, address, endpoint = self._now(), message.addr, self._endpoint
        if not self._rate.admit(now):
            self.counters.hellos_limited += 1
            return
        if endpoint is not None and endpoint.budget.active:
            endpoint.budget.validate(address)
        former = self._shaking.pop(address, None)
        if former is not None:
            former.close(SessionReplaced())
        options = self._options
        session = Session(
            options.security, connection, self.counters, address=address, mtu=options.mtu, now=now, random=random
        )
        session.way = message.reply(b"").info
        self._shaking[address] = session
        self.counters.handshake_in += 1
        session.begin(now)
        self._settle(session, False)

    # --- sent ---------------------------------------------------------------------------------------------

    def postpone(self, message: MessageUDP, token: Any) -> bool:
        """Returns False: a server begins no handshake."""
        return False

    def encrypt(self, message: MessageUDP) -> MessageUDP:
        """Returns the datagram with an encrypted message. Raises `NoSession`, `RecordTooLong`, `TypeError`,
        `ValueError`."""
        session = self._find(message.addr)
        if session is None:
            raise NoSession(message.addr)
        try:
            data = session.write(message.data)
        finally:
            if session.state is State.CLOSED:
                self._settle(session, True)
        info = session.way if message.info is None else message.info
        return MessageUDP(None, message.addr, data, False, message._lease, info)

    def _find(self, address: Any) -> Session | None:
        try:
            session = self._open.get(address)
        except TypeError:  # it cannot be hashed
            return None
        if session is None:
            plain = canonical_untrusted(address)
            session = None if plain is None else self._open.get(plain)
        return session

    def left(self) -> list[tuple[MessageUDP, Any]]:
        """Returns no messages: none wait."""
        return []

    def _send(self, session: Session) -> None:
        out = session.take()
        if out and self._send_raw(session.address, out, session.way) and session.mtu > SMALL_MTU:
            session.set_mtu(SMALL_MTU)  # for the next try

    def _send_raw(self, address: Address, datagrams: list[bytes], info: Any) -> bool:
        """Sends datagrams. Returns True if one was too long for this machine, or for the path."""
        if self._endpoint is None:
            return False
        failed = self._endpoint.send_raw(address, datagrams, info)
        return any(getattr(error, "errno", 0) == errno.EMSGSIZE for _, error in failed)

    # --- time ---------------------------------------------------------------------------------------------

    def _plan(self) -> None:
        options = self._options
        times = [self._timetable.next]
        for session in islice(self._shaking.values(), 1):
            times.append(session.began + options.handshake_timeout)
        if options.session_idle is not None:
            for session in islice(self._open.values(), 1):
                times.append(session.received_at + options.session_idle)
        known = [time for time in times if time is not None]
        if known and not self._closed:
            self._timetable.plan(self._loop, min(known))

    def _tick(self) -> None:
        now = self._now()
        for session in self._timetable.due(now):
            session.tick(now)
            self._settle(session, False)
        self._end_old(self._shaking, self._options.handshake_timeout, now)
        self._end_old(self._open, self._options.session_idle, now)
        self._plan()

    def _end_old(self, sessions: dict[Address, Session], seconds: float | None, now: float) -> None:
        if seconds is None:
            return
        for session in list(islice(sessions.values(), _PORTION)):
            since = session.began if sessions is self._shaking else session.received_at
            if since + seconds > now + LEAST:
                return
            if sessions is self._shaking:
                session.expire()
            else:
                session.close(SessionIdle())
            self._settle(session, True)

    def silent(self) -> None:
        """A server sends no requests."""

    # --- the end ------------------------------------------------------------------------------------------

    def dismiss(self, address: Any) -> None:
        """Closes the session of an address, if there is one."""
        session = self._find(address)
        if session is not None:
            session.close(SessionDismissed())
            self._settle(session, True)

    def close(self) -> None:
        """Ends all sessions, whose peers are sent close_notify."""
        self._closed = True
        self._timetable.close()
        for session in [*self._open.values(), *self._shaking.values()]:
            session.close(SessionEnded())
            self._settle(session, True)
