"""Processes, meta-processes, and the states that are kept for them."""

from __future__ import annotations

from typing import Any, TypedDict

from .sockets import SocketRecord
from .table import Rows


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


class Processes(Rows):
    """Answer to `processes`."""

    processes: list[ProcessRecord]


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
