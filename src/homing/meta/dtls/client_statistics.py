"""The counters of a DTLS client."""

from __future__ import annotations

from dataclasses import dataclass

from ...datagram import Ledger
from ..udp_client.statistics import UDPClientStatistics
from .counters import ledger_of


@dataclass(frozen=True, slots=True, kw_only=True)
class DTLSClientStatistics(UDPClientStatistics):
    """A snapshot: the counters of `UDPClientStatistics`, and those of DTLS, of a client's session and those before it.
    As for `DTLSStatistics`; the counters of hellos and of `notify` are those of a server, and stay 0.

    handshakes: handshakes that began, after the cookie.
    handshakes_open: handshakes that are not over yet.
    handshakes_completed, handshakes_failed: over; those that failed by cause, see `errors.HandshakeFailed`. If
        "certificate" grows: the server is not the one that is expected, or its certificate is over.
    sessions: sessions that are open now.
    sessions_ended: by reason: "closed" (by the peer), "idle", "replaced" (by another handshake from that address),
        "dismissed" (`CloseSession`), "ended" (with the server), "failed".
    cookies_sent: HelloVerifyRequests. Nothing is stored for them. If it grows much faster than `handshakes`: somebody
        forges addresses.
    hellos_bad: datagrams of strangers that begin no handshake, or whose cookie is wrong.
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

    handshakes: int
    handshakes_open: int
    handshakes_completed: int
    handshakes_failed: dict[str, int]
    sessions: int
    sessions_ended: dict[str, int]
    cookies_sent: int
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

    @property
    def ledger(self) -> Ledger:
        """The received datagrams as one table: see `DTLSStatistics.ledger`."""
        return ledger_of(self, UDPClientStatistics.ledger.__get__(self))
