"""Counters of TCP connections, and their snapshot."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class TCPStatistics:
    """A snapshot of the counters of a TCP server or client.

    `accepted` is `open` and the ends: `closed_by_peer`, `closed_here`, `reset`, `drained`, `handed_over`,
    `server_ended` and all `cut_...`. `received` is `delivered`, `waiting` and `dropped`.

    accepted: connections that were made.
    open: connections that are open now, and ended ones whose last frames or end have not been delivered yet.
    denied: connections refused because of `allow` and `deny`.
    connect_limited: connections refused because their source made too many at a time (`connect_limit`).
    refused_full: connections refused because there were `most_connections`. If it grows: raise that.
    refused_per_source: connections refused because their source had `most_per_source`.
    accept_errors: times that the system could not accept a connection, for example for lack of descriptors: then the
        server waits for a second.
    handshake_errors: connections whose TLS handshake failed or took too long.
    connect_errors: times that a client could not connect again.
    received: frames received.
    received_bytes: bytes received, also of frames that are not complete.
    delivered: frames put into the receiver's mailbox.
    waiting: frames taken from the stream that wait for room in the mailbox, or for their rate.
    dropped: frames that could not be delivered, as the server or the peer's process has ended.
    dropped_ended: of the delivered frames, those that waited at the process of a connection (`peers`) when that ended,
        and that no successor got. If it grows: why do the processes crash? `preserve_mailbox` keeps the frames.
    limited: frames that had to wait because their source was above `rate_limit`.
    pauses: times that a connection was not read, as the mailbox was full, or the peer did not read its answers.
    sent: frames handed to the system.
    sent_bytes: their bytes, with marks and prefixes.
    dropped_closed: frames for connections that had ended: late answers.
    send_errors: frames that could not be made: too long, or the encoder raised.
    closed_by_peer, closed_here, reset, drained, server_ended: connections that ended so.
    handed_over: connections with which another OS process continues.
    cut_idle, cut_first_byte, cut_frame_timeout: connections cut by the timeouts of these names.
    cut_too_long, cut_bad_frame: connections cut because of what they sent.
    cut_slow_reader: connections cut because the peer did not read. If it grows for good peers: raise `send_timeout`.
    cut_unresponsive: connections to machines that did not answer any more.
    """

    accepted: int = 0
    open: int = 0
    denied: int = 0
    connect_limited: int = 0
    refused_full: int = 0
    refused_per_source: int = 0
    accept_errors: int = 0
    handshake_errors: int = 0
    connect_errors: int = 0
    received: int = 0
    received_bytes: int = 0
    delivered: int = 0
    waiting: int = 0
    dropped: int = 0
    dropped_ended: int = 0
    limited: int = 0
    pauses: int = 0
    sent: int = 0
    sent_bytes: int = 0
    dropped_closed: int = 0
    send_errors: int = 0
    closed_by_peer: int = 0
    closed_here: int = 0
    reset: int = 0
    drained: int = 0
    handed_over: int = 0
    server_ended: int = 0
    cut_idle: int = 0
    cut_first_byte: int = 0
    cut_frame_timeout: int = 0
    cut_too_long: int = 0
    cut_bad_frame: int = 0
    cut_slow_reader: int = 0
    cut_unresponsive: int = 0


NAMES = tuple(field.name for field in fields(TCPStatistics))
"""The names of the counters."""


class Counters:
    """The counters, as they grow: the attributes are the fields of `TCPStatistics`."""

    accepted: int
    open: int
    denied: int
    connect_limited: int
    refused_full: int
    refused_per_source: int
    accept_errors: int
    handshake_errors: int
    connect_errors: int
    received: int
    received_bytes: int
    delivered: int
    waiting: int
    dropped: int
    dropped_ended: int
    limited: int
    pauses: int
    sent: int
    sent_bytes: int
    dropped_closed: int
    send_errors: int
    closed_by_peer: int
    closed_here: int
    reset: int
    drained: int
    handed_over: int
    server_ended: int
    cut_idle: int
    cut_first_byte: int
    cut_frame_timeout: int
    cut_too_long: int
    cut_bad_frame: int
    cut_slow_reader: int
    cut_unresponsive: int

    def __init__(self) -> None:
        for name in NAMES:
            setattr(self, name, 0)

    def ended(self, counter: str) -> None:
        """Counts the end of a connection."""
        setattr(self, counter, getattr(self, counter) + 1)

    def snapshot(self) -> TCPStatistics:
        """Returns the counters of now."""
        return TCPStatistics(**{name: getattr(self, name) for name in NAMES})
