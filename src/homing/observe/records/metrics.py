"""Health, and the sums from which metrics are made."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from .nodes import NodeRecord
from .sockets import DropRecord


class CheckRecord(TypedDict):
    """A check of a probe.

    ok, reason: whether it passes; why it does not, else "". owner: process that reports it; null for the node's own.
    """

    name: str
    ok: bool
    reason: str
    owner: str | None


class ProbeRecord(TypedDict):
    """Answer to one probe. ok: true if all checks pass."""

    ok: bool
    checks: list[CheckRecord]


class HealthRecord(TypedDict):
    """Answer to `health`: see `health` for the checks. A control socket answers only while the loop turns: `live` is
    then true."""

    node: str
    live: ProbeRecord
    ready: ProbeRecord
    startup: ProbeRecord


class NameRecord(TypedDict):
    """Messages that wait at the process with a registered name. oldest: age of the oldest message; 0 if none waits."""

    name: str
    waiting: int
    oldest: float


class StateSums(TypedDict):
    """The state that is kept under a name: see `gen.StateInfo`. age: 0 if there is no dump."""

    name: str
    dumps: int
    size: int
    age: float
    failures: int
    loads: int
    discarded: int


class HistogramRecord(TypedDict):
    """Times in buckets.

    bounds: upper bounds of the buckets. counts: times in each, and one more number for longer times; not cumulative.
    sum, total: sum and number of all times.
    """

    bounds: list[float]
    counts: list[int]
    sum: float
    total: int


class DTLSSums(TypedDict):
    """Counters of all sockets with one label that speak DTLS. The names are those of `meta.DTLSStatistics`.

    counters: counters that are one number. open: sessions and handshakes_open, of the sockets that are open now.
    handshakes_failed, sessions_ended: by cause, also with a count of 0.
    """

    counters: dict[str, int]
    open: dict[str, int]
    handshakes_failed: dict[str, int]
    sessions_ended: dict[str, int]


class SocketSums(TypedDict):
    """Counters of all sockets with one label, also of those that are closed. The names are those of `SocketRecord`, and
    of its facts.

    socket: local address; "client" for sockets of clients, and of servers whose port the system chose; "other" beyond
        the first 200.
    drops: every cause, also with a count of 0.
    tapped, tap_missed: as in `Statistics`.
    dtls: those of DTLS; null if none of the sockets has spoken it.
    sockets, receive_buffer, send_buffer, receive_waiting, send_waiting: sums over the sockets that are open now.
    """

    socket: str
    drops: list[DropRecord]
    dtls: NotRequired[DTLSSums | None]
    packets_in: int
    bytes_in: int
    delivered: int
    packets_out: int
    bytes_out: int
    pauses: int
    amplification_limited_bytes: int
    tapped: int
    tap_missed: int
    receive_buffer: int
    send_buffer: int
    receive_waiting: int
    send_waiting: int
    sockets: int


class TCPSums(TypedDict):
    """Counters of all TCP servers, or clients, with one label, also of those that have ended.

    socket: local address; "client" for clients, and servers whose port the system chose; "other" beyond the first 200.
    counters: the fields of `meta.TCPStatistics`. refused, ended: connections by cause, also with a count of 0.
    """

    socket: str
    counters: dict[str, int]
    refused: dict[str, int]
    ended: dict[str, int]


class PeerSums(TypedDict):
    """Counters of the connection to one other node of the cluster, since it came up. The names are those of
    `ClusterNodeRecord`."""

    peer: str
    up: bool
    rtt: float | None
    in_flight: int
    waiting: int
    messages_in: int
    messages_out: int
    bytes_in: int
    bytes_out: int
    undelivered: dict[str, int]
    dropped: int
    resets: int


class ClusterSums(TypedDict):
    """The cluster in the metrics. nodes: those that are up, with this one. peers: the first 200 others, by name."""

    cluster: str
    nodes: int
    peers: list[PeerSums]


class MetricsRecord(TypedDict):
    """Answer to `metrics`.

    names: the first 200 registered names. other: the sum of the rest, and the oldest message there; null if
        there is no rest.
    states: the first 200 states that are kept under a name.
    queue_age, handling: see `sampler`.
    cluster: null if the node is in none.
    """

    node: NodeRecord
    cluster: ClusterSums | None
    sockets: list[SocketSums]
    tcp: NotRequired[list[TCPSums]]
    names: list[NameRecord]
    other: NameRecord | None
    states: list[StateSums]
    queue_age: HistogramRecord
    handling: HistogramRecord
