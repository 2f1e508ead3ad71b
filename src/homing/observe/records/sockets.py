"""UDP sockets, with the drops by cause, and TCP servers."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from .table import Rows


class DropRecord(TypedDict):
    """Datagrams of a socket that were dropped for one cause: see `drops`. direction: "in" or "out"."""

    direction: str
    cause: str
    count: int


class DTLSRecord(TypedDict):
    """The sessions of a socket that speaks DTLS: counters of `meta.DTLSStatistics`, which has more of them, as have the
    facts.

    sessions, handshakes_open: those that are open now. handshakes: those that began.
    handshakes_failed: by cause; causes with a count of 0 are left out.
    """

    sessions: int
    handshakes_open: int
    handshakes: int
    handshakes_failed: dict[str, int]


class SocketRecord(TypedDict):
    """A UDP socket, that of a UDP server or client.

    alias, id, behavior, kind: the meta-process; kind is "server" or "client".
    address, peer: local address; the peer of a client, else null.
    owner, owner_name: process that owns it.
    receiver, receiver_name: where its datagrams go.
    backend, gro, gso: "native" or "portable"; whether the kernel joins and splits datagrams.
    reading, waiting_for: false while reading is paused; then "mailbox", "receiver" or "batch".
    receive_buffer, send_buffer: as granted. Linux grants twice the size asked for.
    receive_buffer_asked, send_buffer_asked: as asked for; null: the system's default.
    packets_in, bytes_in, packets_out, bytes_out, delivered: counters, see `meta.UDPServer.statistics`.
    receive_waiting, send_waiting: datagrams that wait in the backend, and in the send queue.
    kernel_waiting: bytes that wait in the kernel's receive buffer, with the kernel's own overhead; null if the system
        does not tell.
    pauses, send_pauses: how often reading paused for the receiver, and sending for the kernel.
    drops: by cause; causes with a count of 0 are left out. dropped_in, dropped_out: their sums.
    dtls: the sessions, if it speaks DTLS; else null.
    ..._rate: packets, bytes and drops per second.
    facts: the other facts of `inspect_meta`.
    """

    node: str
    alias: str
    id: int
    behavior: str
    kind: str
    address: str
    peer: str | None
    owner: str
    owner_name: str | None
    receiver: str
    receiver_name: str | None
    backend: str
    gro: bool
    gso: bool
    reading: bool
    waiting_for: str
    receive_buffer: int
    receive_buffer_asked: int | None
    send_buffer: int
    send_buffer_asked: int | None
    packets_in: int
    bytes_in: int
    packets_out: int
    bytes_out: int
    delivered: int
    receive_waiting: int
    send_waiting: int
    kernel_waiting: int | None
    pauses: int
    send_pauses: int
    drops: list[DropRecord]
    dropped_in: int
    dropped_out: int
    dtls: NotRequired[DTLSRecord | None]
    packets_in_rate: float | None
    bytes_in_rate: float | None
    packets_out_rate: float | None
    bytes_out_rate: float | None
    dropped_in_rate: float | None
    dropped_out_rate: float | None
    facts: dict[str, Any]


class Sockets(Rows):
    """Answer to `sockets`."""

    sockets: list[SocketRecord]


class TCPRecord(TypedDict):
    """A TCP server or client. The counters are those of `meta.TCPStatistics`.

    alias, id, behavior, kind: the meta-process; kind is "server" or "client".
    address, peer: local address; the peer of a client, else null.
    owner, owner_name: process that owns it.
    receiver, receiver_name: where its frames go; "" with a process for each connection.
    waiting_for: "mailbox" or "receiver" while its connections are not read, else "".
    refused: connections refused, by cause. ended: connections that have ended, by cause. Causes with a count of 0 are
        left out.
    facts: the other facts of `inspect_meta`.
    """

    node: str
    alias: str
    id: int
    behavior: str
    kind: str
    address: str
    peer: str | None
    owner: str
    owner_name: str | None
    receiver: str
    receiver_name: str | None
    waiting_for: str
    accepted: int
    open: int
    received: int
    received_bytes: int
    delivered: int
    waiting: int
    sent: int
    sent_bytes: int
    pauses: int
    refused: dict[str, int]
    ended: dict[str, int]
    facts: dict[str, Any]


class TCPTable(Rows):
    """Answer to `tcp`."""

    tcp: list[TCPRecord]
