"""The counters of DTLS, beside those of the socket."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from ...datagram import Ledger, Statistics
from .messages import SessionClosed, SessionDismissed, SessionEnded, SessionIdle, SessionReplaced

CAUSES = ("certificate", "refused", "no_common", "psk", "timeout", "closed", "protocol")
"""Why handshakes fail: `HandshakeFailed.cause`."""

_WAYS = (
    (SessionClosed, "closed"),
    (SessionIdle, "idle"),
    (SessionReplaced, "replaced"),
    (SessionDismissed, "dismissed"),
    (SessionEnded, "ended"),
)

ENDS = ("closed", "idle", "replaced", "dismissed", "ended", "failed")
"""Why sessions end, by the classes of `MessageSessionDown.reason`."""


class DTLSCounters:
    """Counts handshakes, datagrams and records: the fields of `DTLSStatistics`, by shorter names."""

    __slots__ = (
        "bad",
        "completed",
        "cookies",
        "cookies_refused",
        "down",
        "extra",
        "failures",
        "handshake_in",
        "hellos_bad",
        "hellos_full",
        "hellos_limited",
        "notify_lost",
        "replayed",
        "retransmitted",
        "started",
        "unknown",
    )

    def __init__(self) -> None:
        self.started = self.completed = self.retransmitted = self.notify_lost = 0
        self.cookies = self.cookies_refused = self.handshake_in = 0
        self.hellos_bad = self.hellos_full = self.hellos_limited = 0
        self.bad = self.replayed = self.unknown = self.extra = 0
        self.failures = dict.fromkeys(CAUSES, 0)
        self.down = dict.fromkeys(ENDS, 0)

    def fail(self, cause: str) -> None:
        """Counts a handshake that has failed."""
        self.failures[cause] += 1

    def ended(self, reason: Exception | None) -> None:
        """Counts a session that has ended."""
        self.down[next((way for kind, way in _WAYS if isinstance(reason, kind)), "failed")] += 1


@dataclass(frozen=True, kw_only=True)
class DTLSFigures:
    """The fields that `DTLSStatistics` and `DTLSClientStatistics` have beside those of the socket."""

    __slots__ = ()

    handshakes: int
    handshakes_open: int
    handshakes_completed: int
    handshakes_failed: dict[str, int]
    sessions: int
    sessions_ended: dict[str, int]
    cookies_sent: int
    cookies_refused: int
    hellos_bad: int
    hellos_limited: int
    hellos_full: int
    handshake_packets: int
    handshake_retransmits: int
    records_bad: int
    records_replayed: int
    records_unknown: int
    records_extra: int
    notify_lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DTLSStatistics(DTLSFigures, Statistics):
    """A snapshot: the counters of the socket, and those of DTLS. At every moment each handshake and each datagram is
    counted exactly once:

    `handshakes == handshakes_completed + the sum of handshakes_failed + handshakes_open`
    `handshakes_completed == sessions + the sum of sessions_ended`
    `packets_in == delivered + all that is dropped + handshake_packets + records_bad + records_replayed +
    records_unknown + hellos_bad + hellos_limited + hellos_full - records_extra`

    handshakes: handshakes that began, after the cookie.
    handshakes_open: handshakes that are not over yet.
    handshakes_completed, handshakes_failed: over; those that failed by cause, see `errors.HandshakeFailed`. If
        "certificate" or "psk" grows: somebody is refused.
    sessions: sessions that are open now.
    sessions_ended: by reason: "closed" (by the peer), "idle", "replaced" (by another handshake from that address),
        "dismissed" (`CloseSession`), "ended" (with the server), "failed".
    cookies_sent: HelloVerifyRequests. Nothing is stored for them. If it grows much faster than `handshakes`: somebody
        forges addresses.
    cookies_refused: hellos whose cookie was wrong or too old; each was answered with another cookie. If it grows:
        somebody guesses cookies, or round trips take minutes.
    hellos_bad: datagrams of strangers that begin no handshake.
    hellos_limited: hellos above `hello_limit` or `handshake_rate`.
    hellos_full: hellos that came while the server had `most_sessions` or `most_handshakes`.
    handshake_packets: datagrams that belong to a handshake, or close a session: they become no message.
    handshake_retransmits: datagrams of handshakes that were sent again. If it grows: datagrams are lost on the way.
    records_bad: datagrams of peers whose records were forged, cut or damaged. They harm no session.
    records_replayed: datagrams of peers whose records had come before. They harm no session.
    records_unknown: datagrams with records from addresses without a session, as after a restart of this server.
    records_extra: messages that came with another one in a datagram: so many more than datagrams.
    notify_lost: messages that did not reach `notify`.
    """

    @property
    def ledger(self) -> Ledger:
        """The received datagrams as one table. "handshake" in it are those that belong to a handshake. A datagram with
        several messages counts as so many."""
        return ledger_of(self, Statistics.ledger.__get__(self))


def ledger_of(counted: Any, plain: Ledger) -> Ledger:
    """Returns the table of a socket that speaks DTLS. plain: the same without the causes of DTLS."""
    return Ledger(
        received=plain.received + counted.records_extra,
        delivered=plain.delivered,
        waiting=plain.waiting,
        dropped={**plain.dropped, "handshake": counted.handshake_packets},
    )


def statistics_of(plain: Statistics, counters: DTLSCounters, sessions: int, handshakes: int) -> DTLSStatistics:
    """Returns the counters of a server's sockets together with those of DTLS."""
    of_sockets: dict[str, Any] = {field.name: getattr(plain, field.name) for field in fields(Statistics)}
    return DTLSStatistics(**of_sockets, **dtls_facts(counters, sessions, handshakes))


def dtls_facts(counters: DTLSCounters, sessions: int, handshakes: int) -> dict[str, Any]:
    """Returns the fields of `DTLSStatistics` that are not those of the socket."""
    return {
        "handshakes": counters.started,
        "handshakes_open": handshakes,
        "handshakes_completed": counters.completed,
        "handshakes_failed": dict(counters.failures),
        "sessions": sessions,
        "sessions_ended": dict(counters.down),
        "cookies_sent": counters.cookies,
        "cookies_refused": counters.cookies_refused,
        "hellos_bad": counters.hellos_bad,
        "hellos_limited": counters.hellos_limited,
        "hellos_full": counters.hellos_full,
        "handshake_packets": counters.handshake_in,
        "handshake_retransmits": counters.retransmitted,
        "records_bad": counters.bad,
        "records_replayed": counters.replayed,
        "records_unknown": counters.unknown,
        "records_extra": counters.extra,
        "notify_lost": counters.notify_lost,
    }
