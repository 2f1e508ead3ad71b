"""The node itself, and the other nodes of its cluster."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from .table import Rows


class NodeRecord(TypedDict):
    """A node. The counters are those of `gen.NodeInfo`.

    os_pid, python, version: OS process, version of Python and of Homing.
    memory: resident memory of the OS process; null if the system does not tell.
    loop: module of the event loop.
    loop_lag: the longest time that a timer of the observer was late in the last period.
    draining: true while the node stops: its sockets are not read any more.
    allow: true if requests that change the node are allowed.
    time: the wall clock, seconds since 1970.
    cluster: name of the cluster that it is in; null if it is in none.
    nodes: of several nodes together (`homing run --processes`): the record of each. The counters are sums, `uptime`,
        `longest_stall` and `loop_lag` the largest. missing: why a node is not in them, by its name.
    """

    name: str
    state: str
    uptime: float
    os_pid: int
    python: str
    version: str
    loop: str
    memory: int | None
    loop_lag: float | None
    draining: bool
    allow: bool
    time: float
    cluster: str | None
    processes: int
    metas: int
    names: int
    aliases: int
    events: int
    running: int
    zombies: int
    spawned: int
    crashes: int
    discarded: int
    dead_letters: int
    open_calls: int
    late_responses: int
    timer_failures: int
    timer_skips: int
    event_failures: int
    threadsafe_failures: int
    stalls: int
    longest_stall: float
    machine_stalls: int
    spin_seconds: float
    nodes: NotRequired[list[NodeRecord]]
    missing: NotRequired[dict[str, str]]


class ClusterNodeRecord(TypedDict):
    """A node of a cluster, as the node `node` sees it. The counters are those of `gen.RemoteNodeInfo`.

    name: its name. own: true for the node itself, whose counters are null.
    creation: tells its starts apart; a text, as the number is longer than JavaScript's.
    up: true if messages can be sent to it. uptime: time since it came up, here; null if it is not up.
    addresses, tags, weight, draining: as it says itself.
    in_flight, waiting: bytes sent and not acknowledged; bytes that wait.
    rtt: time of the last heartbeat there and back; null: not known yet.
    messages_in, messages_out, batches_in, batches_out, bytes_in, bytes_out: since it came up.
    undelivered: messages of it that reached nobody here, by cause. dropped: messages for it, dropped by `overflow`.
    resets: how often a fault of the connection has ended it.
    """

    node: str
    name: str
    own: bool
    creation: str
    up: bool
    uptime: float | None
    addresses: list[str]
    tags: list[str]
    weight: int
    draining: bool
    in_flight: int | None
    waiting: int | None
    rtt: float | None
    messages_in: int | None
    messages_out: int | None
    batches_in: int | None
    batches_out: int | None
    bytes_in: int | None
    bytes_out: int | None
    undelivered: dict[str, int]
    dropped: int | None
    resets: int | None


class Nodes(Rows):
    """Answer to `nodes`. cluster: name of the cluster; null if the node is in none."""

    cluster: str | None
    nodes: list[ClusterNodeRecord]
