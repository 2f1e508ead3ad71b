"""The records that an observer answers with: the one schema of `--json`, the control socket, the HTTP API and the page.

Times and ages are seconds, sizes bytes, rates per second, addresses texts. A `| None` is null in JSON: not known, or
not applicable. Rates, shares and ages are from samples (see `sampler`), and null until there are two.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

__all__ = [
    "Activity",
    "ApplicationRecord",
    "Applications",
    "ChangeRecord",
    "CheckRecord",
    "ClusterNodeRecord",
    "ClusterSums",
    "Detail",
    "DropRecord",
    "EventRecord",
    "Events",
    "GroupRecord",
    "Groups",
    "HealthRecord",
    "HistogramRecord",
    "MailboxRecord",
    "MetaRecord",
    "MetricsRecord",
    "NameRecord",
    "NodeRecord",
    "Nodes",
    "PeerSums",
    "ProbeRecord",
    "ProcessRecord",
    "Processes",
    "ReloadRecord",
    "Resolved",
    "Rows",
    "SocketRecord",
    "SocketSums",
    "Sockets",
    "StateRecord",
    "StateSums",
    "TCPRecord",
    "TCPSums",
    "TCPTable",
    "Tree",
    "TreeApplication",
    "TreeMeta",
    "TreeProcess",
]


class MailboxRecord(TypedDict):
    """Messages waiting in each lane of a mailbox."""

    urgent: int
    system: int
    main: int
    log: int


class Activity(TypedDict):
    """Facts that processes and meta-processes share.

    node: name of its node.
    id: its number, unique on its node.
    behavior: class.
    state: "init", "sleep", "running", "wait_response", "zombie" or "terminated".
    uptime, running_time: time since its start; total time that its callbacks ran.
    running: share of the time that its callbacks ran, 0 to 1.
    stalls: callbacks that blocked the loop too long.
    messages_in, messages_out: messages handled and waiting; messages sent.
    in_rate, out_rate: messages handled, and sent, per second.
    waiting, mailbox, mailbox_size: messages waiting; by lane; the limit, 0: none.
    oldest: age of the oldest message that waits, see `sampler`; null if none waits.
    oldest_at_least: true if that message waited already when observing began: it is older than `oldest`.
    dropped_newest, dropped_oldest: messages dropped because its mailbox was full.
    """

    node: str
    id: int
    behavior: str
    state: str
    uptime: float
    running_time: float
    running: float | None
    stalls: int
    messages_in: int
    messages_out: int
    in_rate: float | None
    out_rate: float | None
    waiting: int
    mailbox: MailboxRecord
    mailbox_size: int
    oldest: float | None
    oldest_at_least: bool
    dropped_newest: int
    dropped_oldest: int


class StateRecord(TypedDict):
    """The state that is kept for the successors of a process: see `gen.StateInfo`. age: null if there is no dump."""

    name: str | None
    dumps: int
    size: int
    age: float | None
    failures: int
    loads: int
    discarded: int
    error: str


class ProcessRecord(Activity):
    """A process.

    pid, name: its address and registered name.
    kind: "actor", "pool", "router" or "supervisor".
    application: application it belongs to.
    parent: process that spawned it.
    restarts, last_reason: how often its supervisor, pool or router has restarted it, and the exit reason before the
        last restart. Null for a process that none of these has started.
    dropped_log: log records dropped because too many waited.
    held_by, holds: process whose mailbox has to drain before it continues; how often it was held.
    thread: true if its callbacks run on a thread of its own.
    in_flight: messages whose asynchronous callbacks have begun and not returned.
    requests: open requests of `send_request`.
    meta_processes: number of its meta-processes.
    kept: its kept state; null if `ProcessOptions.state` is not set.
    """

    pid: str
    name: str | None
    kind: str
    application: str | None
    parent: str
    restarts: int | None
    last_reason: str | None
    dropped_log: int
    held_by: str | None
    holds: int
    thread: bool
    in_flight: int
    requests: int
    meta_processes: int
    kept: StateRecord | None


class MetaRecord(Activity):
    """A meta-process.

    alias: its address.
    parent: process that owns it.
    adoptions, transfers: how often a successor has adopted it; how often its owner has given it to another.
    """

    alias: str
    parent: str
    adoptions: int
    transfers: int


class DropRecord(TypedDict):
    """Datagrams of a socket that were dropped for one cause: see `drops`. direction: "in" or "out"."""

    direction: str
    cause: str
    count: int


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
    packets_in_rate: float | None
    bytes_in_rate: float | None
    packets_out_rate: float | None
    bytes_out_rate: float | None
    dropped_in_rate: float | None
    dropped_out_rate: float | None
    facts: dict[str, Any]


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


class Rows(TypedDict):
    """A part of a table.

    total: rows that match the filters. more: of these, the rows that are left out.
    missing: of several nodes together: why a node is not in the answer, by its name.
    """

    total: int
    more: int
    missing: NotRequired[dict[str, str]]


class Processes(Rows):
    """Answer to `processes`."""

    processes: list[ProcessRecord]


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


class GroupRecord(TypedDict):
    """A pool, router or supervisor. facts: its counters, and its first workers, routes or children with theirs, as its
    `handle_inspect` returns them; `facts.more` is the number of those left out. Null while it starts."""

    node: str
    pid: str
    id: int
    name: str | None
    behavior: str
    kind: str
    application: str | None
    state: str
    waiting: int
    facts: dict[str, Any] | None


class Groups(Rows):
    """Answer to `pools`, `routers` and `supervisors`."""

    groups: list[GroupRecord]


class ApplicationRecord(TypedDict):
    """An application.

    mode: "temporary", "transient" or "permanent". reason: exit reason of its last run. members: PIDs; `more` of them
    are left out.
    """

    node: str
    name: str
    state: str
    mode: str
    uptime: float
    description: str
    version: str
    depends: list[str]
    members: list[str]
    more: int
    reason: str | None


class Applications(Rows):
    """Answer to `applications`."""

    applications: list[ApplicationRecord]


class EventRecord(TypedDict):
    """An event.

    owner: process that registered it. consumers: number of processes linked to it, or monitoring it.
    buffered, buffer: publications kept for new consumers; the most that are kept. notify: see `gen.EventOptions`.
    """

    node: str
    name: str
    owner: str
    consumers: int
    buffered: int
    buffer: int
    notify: bool


class Events(Rows):
    """Answer to `events`."""

    events: list[EventRecord]


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


class Resolved(TypedDict):
    """Answer to `resolve`. kind: "meta", or that of `ProcessRecord`."""

    node: str
    address: str
    id: int
    kind: str


class Detail(TypedDict):
    """Answer to `process`: one process or meta-process.

    process, meta: its record; the other is null.
    facts: the result of its `handle_inspect`, in short; null if there is none. facts_error: why there is none.
    group: counters and children of a pool, router or supervisor. socket: the socket of a meta-process.
    aliases, events, links, monitors: addresses, at most 100 of each. metas, children: records, at most 100 of each.
    more: for each of these lists, the number of entries left out.
    env: names of the variables of its environment. Values are left out, as they may be secrets.
    """

    process: ProcessRecord | None
    meta: MetaRecord | None
    facts: dict[str, Any] | None
    facts_error: str | None
    group: dict[str, Any] | None
    socket: SocketRecord | None
    aliases: list[str]
    events: list[str]
    links: list[str]
    monitors: list[str]
    metas: list[MetaRecord]
    children: list[ProcessRecord]
    more: dict[str, int]
    trap_exit: bool | None
    leader: str | None
    env: list[str]


class TreeMeta(MetaRecord):
    """A meta-process in the tree. facts: as in `TreeProcess`."""

    facts: dict[str, Any] | None


class TreeProcess(ProcessRecord):
    """A process in the tree.

    depth: number of processes above it. more: children that are left out.
    facts: the result of `handle_inspect` of a pool, router or supervisor; null if it does not answer, and for actors.
    metas: its meta-processes.
    """

    depth: int
    more: int
    facts: dict[str, Any] | None
    metas: list[TreeMeta]


class TreeApplication(ApplicationRecord):
    """An application in the tree. processes: depth first. more: processes left out at the top."""

    processes: list[TreeProcess]


class Tree(TypedDict):
    """Answer to `tree`: each process once, under its application and the process that spawned it, depth first. At most
    10,000 processes, the first that were started.

    processes: processes of no application, whose parents have ended or are the node. more: those left out.
    """

    node: NodeRecord
    applications: list[TreeApplication]
    processes: list[TreeProcess]
    more: int


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


class SocketSums(TypedDict):
    """Counters of all sockets with one label, also of those that are closed. The names are those of `SocketRecord`, and
    of its facts.

    socket: local address; "client" for sockets of clients, and of servers whose port the system chose; "other" beyond
        the first 200.
    drops: every cause, also with a count of 0.
    tapped, tap_missed: as in `Statistics`.
    sockets, receive_buffer, send_buffer, receive_waiting, send_waiting: sums over the sockets that are open now.
    """

    socket: str
    drops: list[DropRecord]
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


class ChangeRecord(TypedDict):
    """A key of the configuration whose value has changed; "(not shown)" stands for the value of a secret.

    key: as in the file: `servers.echo.rate_limit`; of the program's own values only the table, with empty values.
    """

    key: str
    old: str
    new: str


class ReloadRecord(TypedDict):
    """Answer to `reload`.

    file: the file that was read again.
    applied: changes in force now. restart: changes that need a restart of the program. failed: changes that the
        system has refused, and why. unused: UDP servers in the file that the program has not made.
    """

    file: str
    applied: list[ChangeRecord]
    restart: list[ChangeRecord]
    failed: list[str]
    unused: list[str]
