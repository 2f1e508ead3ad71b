"""Snapshots of the node, its processes and its meta-processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .application import ApplicationInfo
from .identifiers import PID, Alias, Event, Subject
from .state import ProcessState


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxInfo:
    """Messages waiting in each lane. If a lane keeps growing, its process is too slow, or stuck.

    urgent, system, main, log: messages waiting in that lane.
    """

    urgent: int
    system: int
    main: int
    log: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StateInfo:
    """A snapshot of the state that is kept for the successors of a process, see `StateOptions`. The counters include
    those of the processes before it on this node.

    name: under which it is kept; None: only until its supervisor, pool or router has restarted it.
    dumps: how often it was dumped.
    size: bytes of the last dump; 0: there is none.
    age: seconds for which the last dump has been behind the state; 0.0: nothing was handled since. None: no dump.
    failures: dumps that failed; if this grows, a crash loses more and more.
    loads: processes that have loaded a state.
    discarded: states that were not loaded: too old, poison (two crashes with one state), or refused by `load_state`.
    error: why the last failure or refusal happened; "": there was none.
    """

    name: str | None
    dumps: int
    size: int
    age: float | None
    failures: int
    loads: int
    discarded: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessInfo:
    """A snapshot of a process, returned by `process_info`. Times are seconds.

    pid, name, behavior: identifier, registered name and class.
    state: its state.
    parent, leader: process that spawned it, and its group leader.
    uptime, running_time: time since its start; total time that its callbacks ran.
    messages_in, messages_out: messages handled and waiting; messages sent.
    mailbox, mailbox_size: messages waiting in each lane; the limit, 0: none.
    dropped_log: log records dropped because too many waited.
    env: its environment.
    aliases, events, metas: its aliases, events and meta-processes.
    links, monitors: its links and monitors.
    trap_exit: True if exit signals become messages.
    kind: "actor", "pool", "router" or "supervisor".
    application: application of which the process, or the process that spawned it, is a member; None: no application.
    stalls: callbacks that blocked the loop too long.
    dropped_newest, dropped_oldest: messages dropped because its mailbox was full, see `ProcessOptions.overflow`.
    held_by: process whose mailbox has to drain before this one continues, see `ProcessOptions.back_pressure`; None:
        it is not held.
    holds: how often it was held.
    thread: True if its callbacks run on a thread of its own.
    in_flight: messages whose asynchronous callbacks have begun and not returned; see `ProcessOptions.concurrency`.
    requests: requests of `send_request` that are open; see `ProcessOptions.max_requests`.
    kept: the state that is kept for its successor; None: `ProcessOptions.state` is not set.
    """

    pid: PID
    name: str | None
    behavior: str
    kind: str
    application: str | None
    state: ProcessState
    parent: PID
    leader: PID
    uptime: float
    running_time: float
    stalls: int
    messages_in: int
    messages_out: int
    mailbox: MailboxInfo
    mailbox_size: int
    dropped_log: int
    dropped_newest: int
    dropped_oldest: int
    env: Mapping[str, Any]
    aliases: tuple[Alias, ...]
    events: tuple[Event, ...]
    metas: tuple[Alias, ...]
    links: tuple[Subject, ...]
    monitors: tuple[Subject, ...]
    trap_exit: bool
    held_by: PID | None
    holds: int
    thread: bool
    in_flight: int
    requests: int
    kept: StateInfo | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaInfo:
    """A snapshot of a meta-process, returned by `meta_info`. Times are seconds.

    id, behavior: alias and class.
    state: its state.
    parent: process that owns it.
    uptime, running_time: time since its start; total time that its callbacks ran.
    stalls: callbacks that blocked the loop too long.
    messages_in, messages_out: messages handled and waiting; messages sent.
    mailbox, mailbox_size: messages waiting in each lane; the limit, 0: none.
    dropped_newest, dropped_oldest: messages dropped because its mailbox was full.
    """

    id: Alias
    behavior: str
    state: ProcessState
    parent: PID
    uptime: float
    running_time: float
    stalls: int
    messages_in: int
    messages_out: int
    mailbox: MailboxInfo
    mailbox_size: int
    dropped_newest: int
    dropped_oldest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeInfo:
    """A snapshot of the node, returned by `info`.

    name, pid: `name@host`, and the node's own address.
    state: "running", "stopping" or "stopped".
    uptime: seconds since its start.
    processes, metas, names, aliases, events: how many exist now; `aliases` counts only the aliases of processes.
    running, zombies: processes in these states.
    spawned: processes started so far.
    open_calls: calls and requests without an answer yet.
    env: environment that processes inherit.
    loop: class of the event loop.
    crashes: processes and meta-processes that ended abnormally by their own fault.
    discarded: messages dropped because they were waiting in the mailbox of a process or meta-process when it ended.
    dead_letters: messages left unhandled by an abnormal end: those being handled at that moment, and those sent to a
        dead-letter process.
    late_responses: answers that arrived after their caller had stopped waiting.
    timer_failures, event_failures, threadsafe_failures: messages from a timer, an event or another thread that found no
        receiver or a full mailbox. No caller could get an error, so they are counted here.
    timer_skips: ticks of a `send_every` that were not sent, because the previous one was still waiting.
    stalls, longest_stall: callbacks that blocked the loop for longer than `slow_callback_seconds`, and the longest, in
        seconds. Each was logged with its process; see `ProcessInfo.stalls`.
    machine_stalls: turns as long as a stall only because no processor was free for the loop. Linux only.
    spin_seconds: seconds for which the loop polled instead of sleeping, see `homing.new_event_loop`.
    """

    name: str
    pid: PID
    state: str
    uptime: float
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
    env: Mapping[str, Any]
    loop: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """A check that a program has reported with `health`, returned by `health_checks`. Times are seconds.

    name: what is checked.
    ok: False also if the report is older than `timeout`, or if the process that reported it has ended.
    reason: why it is not ok; "" if no reason is known.
    owner: process that reported it, or the node's own address.
    age: time since the last report.
    timeout: time for which a report is valid; None: until the next one.
    """

    name: str
    ok: bool
    reason: str
    owner: PID
    age: float
    timeout: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessTree:
    """A process and the processes that it has spawned, in the tree returned by `tree`.

    info: the process.
    metas: its meta-processes.
    children: its living children, in the order of their start.
    more: number of children omitted because of the limit passed to `tree`.
    """

    info: ProcessInfo
    metas: tuple[MetaInfo, ...]
    children: tuple[ProcessTree, ...]
    more: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationTree:
    """An application and its processes: its members, and processes that have outlived their parents.

    info: the application.
    processes: its processes.
    more: number of processes omitted, as in `ProcessTree`.
    """

    info: ApplicationInfo
    processes: tuple[ProcessTree, ...]
    more: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTree:
    """Returned by `tree`: each process of the node once, under its application and the process that spawned it.

    info: the node.
    applications: the loaded applications.
    processes: processes of no application, without a living parent.
    more: number of processes omitted, as in `ProcessTree`.
    """

    info: NodeInfo
    applications: tuple[ApplicationTree, ...]
    processes: tuple[ProcessTree, ...]
    more: int
