"""One DTLS session, without sockets and without a clock: datagrams in, messages and datagrams out, time as an argument.

    handshake ---> open ---> closed
        |                      ^
        +----------------------+

Rule 1: `closed` is final, and `reason` says why it was entered.
Rule 2: a datagram that is no record, or whose record OpenSSL drops, changes nothing but a counter. During a handshake,
        where nothing is authenticated yet, a record that breaks the protocol ends the session.
Rule 3: what is to be sent to the peer is in `take`, also after the end: an alert.
"""

from __future__ import annotations

import enum
import re
from typing import Any

from ...datagram import Address
from ...datagram.errors import HandshakeFailed, RecordTooLong
from .counters import DTLSCounters
from .identity import Identity
from .library import library
from .messages import SessionClosed, SessionFailed
from .records import APPLICATION, HANDSHAKE, LONGEST, Numbers, Records, Window, datagrams_of
from .security import Notes, Security

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds until a flight is sent again, and the most that this grows to by doubling (RFC 6347, section 4.2.4.1)."""

SMALL_MTU = 508
"""Bytes of a datagram that every path takes (RFC 791: 576 with the headers). Flights are cut to it once two were not
answered: a firewall may drop what is longer, or what tells of it (RFC 6347, section 4.1.1.1)."""

_ROOM = 256
"""More bytes than a record is longer than its message."""

_OFF = 0.05
"""Seconds. If OpenSSL's timer is later than this session's by more, its clock is not that of the event loop."""

_REPEATS = 10
"""Most times that the last flight is sent again for a handshake message that comes again."""


class State(enum.Enum):
    """The states of a session."""

    HANDSHAKE = "handshake"
    OPEN = "open"
    CLOSED = "closed"


class Session:
    """A session with one peer.

    connection: of OpenSSL, by `Security.connection`. random: of the hello with which it began.
    state: the state. reason: why it has ended; None before.
    identity: the one that the peer has proven; None: none, or the handshake is not complete.
    began, received_at: when it began, and when its last message came, by the loop's clock.
    due: when `tick` is to be called; None: at no time.
    way: the packet info for datagrams to the peer.
    """

    __slots__ = (
        "_connection",
        "_counters",
        "_flight",
        "_numbers",
        "_out",
        "_repeats",
        "_security",
        "_ssl",
        "_wait",
        "_waits",
        "_window",
        "address",
        "began",
        "due",
        "identity",
        "info",
        "mtu",
        "random",
        "reason",
        "received_at",
        "state",
        "way",
    )

    def __init__(
        self,
        security: Security,
        connection: Any,
        counters: DTLSCounters,
        *,
        address: Address,
        mtu: int,
        now: float,
        random: bytes = b"",
    ) -> None:
        self._security = security
        self._connection = connection
        self._counters = counters
        self._ssl = library().ssl
        self._out: list[bytes] = []
        self._flight: list[bytes] = []
        self._wait, self._waits, self._repeats = FIRST_WAIT, 0, 0
        self._window = Window()
        self._numbers = Numbers()
        self.address = address
        self.random = random
        self.state = State.HANDSHAKE
        self.reason: Exception | None = None
        self.identity: Identity | None = None
        self.info: Any = None
        self.way: Any = None
        self.began = self.received_at = now
        self.due: float | None = None
        self.mtu = 0
        self.set_mtu(mtu)
        counters.started += 1

    def __repr__(self) -> str:
        return f"<Session {self.address} {self.state.value}>"

    @property
    def is_open(self) -> bool:
        """True while messages can be exchanged."""
        return self.state is State.OPEN

    @property
    def is_quiet(self) -> bool:
        """True if it is open, and nothing is to be sent."""
        return not self._out and self.state is State.OPEN

    def take(self) -> list[bytes]:
        """Returns the datagrams that are to be sent to the peer now."""
        out, self._out = self._out, []
        return out

    def set_mtu(self, mtu: int) -> None:
        """Writes datagrams of at most `mtu` bytes from now on, as far as they belong to a handshake."""
        if mtu != self.mtu:
            self.mtu = mtu
            self._connection.set_ciphertext_mtu(mtu)

    # --- the handshake ------------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """Begins, or continues, the handshake: a client's first flight, or a server's answer to the hello that the
        connection has accepted."""
        self._shake(now)

    def _shake(self, now: float) -> None:
        try:
            self._connection.do_handshake()
        except self._ssl.WantReadError:
            self._fly(now)
            return
        except self._ssl.Error as error:
            self._failed(*self._cause(error))
            return
        self._fly(now)
        self.due = None
        self.state = State.OPEN
        self.identity = self._security.identity(self._connection)
        self.received_at = now
        self._counters.completed += 1

    def _fly(self, now: float) -> None:
        """Takes the flight that OpenSSL has written, if it has."""
        flight = self._written()
        if flight:
            self._flight = flight
            self._send(flight)
            self._wait = FIRST_WAIT
            self._waits = 0
            self.due = now + FIRST_WAIT

    def _send(self, datagrams: list[bytes]) -> None:
        """Lets `take` return datagrams of a handshake."""
        self._out += [self._numbers.renew(datagram) for datagram in datagrams]

    def _written(self) -> list[bytes]:
        parts: list[bytes] = []
        try:
            while True:
                parts.append(self._connection.bio_read(65536))
        except self._ssl.Error:  # there is no more
            return datagrams_of(b"".join(parts), self.mtu) if parts else []

    def tick(self, now: float) -> None:
        """Sends the last flight again if it is time."""
        if self.due is None or now < self.due or self.state is State.CLOSED:
            return
        if self._waits >= 2 and self.mtu > SMALL_MTU:
            self.set_mtu(SMALL_MTU)
        try:
            self._connection.DTLSv1_handle_timeout()
        except self._ssl.Error:  # it has sent it so often that it gives up
            self._failed("timeout", "the peer does not answer")
            return
        flight = self._written()
        left = self._connection.DTLSv1_get_timeout()
        if not flight:
            if left is None:
                self.due = None
                return
            if left <= _OFF:
                self.due = now + max(left, 0.001)
                return
            flight = self._flight
        self._counters.retransmitted += len(flight)
        self._flight = flight
        self._send(flight)
        self._waits += 1
        self._wait = min(LONGEST_WAIT, self._wait * 2)
        self.due = now + self._wait

    def expire(self) -> None:
        """Ends the handshake, whose time is over."""
        self._failed("timeout", "the handshake took too long")

    def _failed(self, cause: str, detail: str) -> None:
        self._send(self._written())  # an alert
        if self.state is State.HANDSHAKE:
            self._counters.fail(cause)
            self._end(HandshakeFailed(self.address, cause, detail))
        else:
            self._end(SessionFailed(detail))

    def _end(self, reason: Exception) -> None:
        self.state = State.CLOSED
        self.reason = reason
        self.due = None

    def _cause(self, error: Any) -> tuple[str, str]:
        """Returns the cause of `HandshakeFailed` for an error of OpenSSL, and more about it."""
        notes: Notes = self._connection.get_app_data()
        if notes.trouble:
            return "certificate", notes.trouble
        return cause_of(error)

    # --- messages -----------------------------------------------------------------------------------------

    def feed(self, data: bytes, records: Records, now: float) -> list[bytes]:
        """Takes a datagram of the peer, which begins with `records`. Returns the messages in it."""
        if self.state is State.CLOSED:
            return []
        whole = data if records.size == len(data) else data[: records.size]
        try:
            self._connection.bio_write(whole)
        except self._ssl.Error as error:
            self._counters.bad += 1
            self._failed("protocol", text_of(error))
            return []
        if self.state is State.HANDSHAKE:
            self._counters.handshake_in += 1
            self._shake(now)
            if not self.is_open or APPLICATION not in records.kinds:
                return []
            return self._read(records, len(data))
        messages = self._read(records, len(data))
        if messages:
            self.received_at = now
            self._window.note(records.epoch, records.sequence)
        return messages

    def _read(self, records: Records, size: int) -> list[bytes]:
        """Reads what OpenSSL accepts of a datagram."""
        connection, messages = self._connection, []
        most = len(records.kinds)
        plain = most == records.kinds.count(APPLICATION)
        try:
            while True:
                messages.append(connection.recv(size))
                if plain and len(messages) == most:
                    return messages
        except self._ssl.WantReadError:
            pass
        except self._ssl.ZeroReturnError:
            self._counters.handshake_in += not messages
            self._answer_close()
            return messages
        except self._ssl.Error as error:
            self._counters.handshake_in += not messages
            self._failed("protocol", text_of(error))
            return messages
        out = [] if plain else self._written()
        self._send(out)
        if not messages:
            self._count_unread(records, bool(out))
        return messages

    def _count_unread(self, records: Records, answered: bool) -> None:
        """Counts a datagram without a message: it belongs to a handshake, or its record was dropped."""
        if answered:
            self._counters.handshake_in += 1
        elif records.kinds[0] == HANDSHAKE:
            self._counters.handshake_in += 1
            if self._repeats < _REPEATS and self._flight:
                self._repeats += 1
                self._send(self._flight)
        elif self._window.has(records.epoch, records.sequence):
            self._counters.replayed += 1
        else:
            self._counters.bad += 1

    def write(self, data: Any) -> bytes:
        """Returns the datagram with a message, encrypted. Call it only if the session is open.

        Raises `RecordTooLong`; `TypeError`, `ValueError` for data that are no bytes.
        """
        if type(data) is not bytes:
            with memoryview(data) as view, view.cast("B") as flat:
                data = bytes(flat)
        size = len(data)
        if not 0 < size <= LONGEST:
            raise RecordTooLong(size)
        try:
            self._connection.send(data)
            encrypted: bytes = self._connection.bio_read(size + _ROOM)
            return encrypted
        except self._ssl.Error as error:
            self._failed("protocol", text_of(error))
            raise HandshakeFailed(self.address, "protocol", text_of(error)) from None

    # --- the end ------------------------------------------------------------------------------------------

    def close(self, reason: Exception) -> None:
        """Ends the session. The peer is sent close_notify, if the handshake is complete."""
        if self.state is State.CLOSED:
            return
        if self.state is State.OPEN:
            self._shut_down()
        else:
            self._counters.fail("closed")
        self._end(reason)

    def _answer_close(self) -> None:
        self._shut_down()
        self._end(SessionClosed())

    def _shut_down(self) -> None:
        try:
            self._connection.shutdown()
        except self._ssl.Error:
            pass  # it is ended nevertheless
        self._send(self._written())


_ALERT = re.compile("(sslv3|ssl/tls|tlsv1|tls) alert ")
_REFUSED = ("alert", "no application protocol")
_CERTIFICATE = ("certificate", "verify failed", "peer did not return")
_NO_COMMON = ("no shared cipher", "unsupported protocol", "version", "no suitable", "no ciphers", "wrong cipher")


def text_of(error: Any) -> str:
    """Returns the reasons in an error of OpenSSL."""
    parts = error.args[0] if error.args else ""
    if isinstance(parts, list):
        return "; ".join(str(part[-1]) for part in parts if part) or "no reason"
    return str(parts) or "no reason"


def cause_of(error: Any) -> tuple[str, str]:
    """Returns the cause of `HandshakeFailed`, and OpenSSL's words."""
    text = text_of(error)
    if "psk" in text.lower() and "alert" not in text:
        return "psk", text
    if any(word in text for word in _REFUSED):
        return "refused", _ALERT.sub("", text)
    if any(word in text for word in _NO_COMMON):
        return "no_common", text
    if any(word in text for word in _CERTIFICATE):
        return "certificate", text
    return "protocol", text
