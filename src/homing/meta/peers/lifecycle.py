"""The life of peers: their processes are started, restarted after a crash, and ended.

Rule 1: a peer has a place in the table from its first datagram until its process has ended for good.
Rule 2: `reason` is set once, when a peer has to go. From then on it is not restarted.
Rule 3: `notify` gets one message when the first process of a peer has started, and one when it has lost its place.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from ...act.supervisor.restart_limits import RestartWindow
from ...datagram import MessageUDP, MessageUDPError
from ...gen import (
    PID,
    DeliveryError,
    MailboxFull,
    ProcessID,
    ProcessOptions,
    ProcessState,
    TerminateShutdown,
    as_reason,
    is_orderly,
)
from ...gen.foreign import forget_frames, is_a, safe_repr
from ...node.logs import RateLimited
from ...node.mailbox.envelope import Exit, exit_signal
from ...node.processes import preserving
from ...node.processes.process import Process
from ...node.processes.spawning import spawn_now
from ...node.scheduling.slices import WAKES
from .actor import assign
from .counters import Counters, way_down
from .messages import MessagePeerDown, MessagePeerUp, PeerEvicted, PeerIdle, PeerLost
from .options import PeerOptions
from .peer import Peer
from .table import Table

_LEAST_NOTIFIED = 1024
"""Messages that may wait at `notify` however small the table is."""

_SLEEP = ProcessState.SLEEP


class Lifecycle:
    """The peers of one table, and their processes.

    process: has the table; the parent of the peers' processes.
    closing: the exit signal for which `process` ends once all peers have handled what waits there.
    kind: class of the messages that are counted if they are dropped.
    all_proven: each newcomer has proven its address already, by DTLS.
    """

    kind: ClassVar[type[object]] = MessageUDP

    def __init__(self, process: Process, log: RateLimited, options: PeerOptions) -> None:
        self.process = process
        self.core = process.core
        self.options = options
        self.table = Table(options.key is not None)
        self.counters = Counters()
        self.closing: Exit | None = None
        self.all_proven = False
        self._log = log
        wanted = ProcessOptions() if options.worker_options is None else options.worker_options
        self._keeps = wanted.preserve_mailbox
        self._spawning = replace(wanted, mailbox_size=options.queue, link_parent=True, preserve_mailbox=True)
        self._timer: asyncio.TimerHandle | None = None

    def now(self) -> float:
        """Returns the loop's time."""
        return self.core.loop.time()

    def used(self, peer: Peer) -> None:
        """Notes that a peer that is not leaving was there now."""
        peer.last = self.now()
        self.table.use(peer)

    def warn(self, kind: str, text: str, *args: object) -> None:
        """Logs at a bounded rate for each `kind`."""
        self._log.warning(self.now(), kind, text, *args)

    # --- newcomers ------------------------------------------------------------------------------------------

    def make_place(self) -> bool:
        """Makes room for a newcomer. Returns False if there is none."""
        table, options = self.table, self.options
        if len(table) >= options.most or table.unproven >= options.most_unproven:
            victim = table.least_used()
            if victim is not None:
                self.end(victim, PeerEvicted())
        return len(table) < options.most and table.unproven < options.most_unproven

    def add(self, peer: Peer) -> bool:
        """Gives a place to a peer, and starts its process. Returns False if it could not be started."""
        if self._timer is None and self.options.idle is not None:
            self._arm(self.options.idle)
        self.table.add(peer)
        if self.all_proven:
            self.table.prove(peer)
        self._start(peer, None)
        return self.table.get(peer.identity) is peer

    def _start(self, peer: Peer, previous: PID | None) -> None:
        options = self.options
        peer.starting = True
        prepare, over = partial(self._prepare, peer), partial(self._start_over, peer, previous)
        worker, args = options.worker, options.worker_args
        task = spawn_now(self.core, self.process, worker, args, self._spawning, prepare, over, previous=previous)
        if task is not None and peer.starting:
            peer.task = task
            self.process.own(task)

    def _prepare(self, peer: Peer, process: Process) -> None:
        """Called before `init`: from here on datagrams go to the mailbox of `process`."""
        process.fed = True
        process.when_ended(partial(self._ended, peer, process))
        assign(process.behavior, peer)
        peer._process = process

    def _start_over(self, peer: Peer, previous: PID | None, error: BaseException | None) -> None:
        """Called when a start is over."""
        task, peer.task = peer.task, None
        if task is not None and self.process.timers is not None:
            self.process.timers.discard(task)
        if error is None:
            self._started(peer)
        else:
            self._not_started(peer, previous, as_reason(error))

    def _started(self, peer: Peer) -> None:
        peer.starting = False
        process = peer._process
        if not process.alive:
            self._ended(peer, process)  # it was not handled during the start
            return
        if not peer.up:
            peer.up = True
            self.counters.up += 1
            self.notify(MessagePeerUp(peer))
        if peer.reason is not None:
            self._tell(peer, peer.reason)
        elif self.closing is not None:
            self._tell_to_close(peer)

    def _not_started(self, peer: Peer, previous: PID | None, error: Exception) -> None:
        if peer.reason is None and not is_orderly(error) and not self.core.stopping:
            text = "a process for %s could not be started: %s"
            self.core.log_failure(self.process.log_adapter, text, peer, safe_repr(error), fault=error)
        forget_frames(error)
        if previous is not None and self._may_restart(peer, error):
            self.core.loop.call_soon(self._restart, peer, previous)  # not at once: a hundred may fail in a row
            return
        peer.starting = False
        if previous is not None:
            self._lose(previous)
        self._down(peer, error)

    # --- the end of a process -------------------------------------------------------------------------------

    def _ended(self, peer: Peer, process: Process) -> None:
        """Called when a process of a peer has ended."""
        if process is not peer._process or peer.starting:
            if not (peer.up and self._keeps and peer.starting):  # else the next successor gets what waits there
                self._lose(process.id)
        elif process.reason is not None:
            if self._may_restart(peer, process.reason):
                self._restart(peer, process.id)
            else:
                self._lose(process.id)
                self._down(peer, process.reason)

    def _may_restart(self, peer: Peer, reason: Exception) -> bool:
        """Returns True if the process of a peer, which ended for `reason`, is to be restarted."""
        options = self.options
        if peer.reason is not None or is_orderly(reason) or options.restart == "never" or not self.process.alive:
            return False
        window = peer.window or RestartWindow(options.intensity, options.period)
        if peer.window is None:
            peer.window = window
        return not self.core.stopping and peer.window.allowed(self.now())

    def _restart(self, peer: Peer, previous: PID) -> None:
        """Starts a successor of `previous`, which gets the datagrams that wait, if it was asked for."""
        if peer.reason is not None or not self.process.alive:
            peer.starting = False
            self._lose(previous)
            self._down(peer, TerminateShutdown())
            return
        self.counters.restarts += 1
        if not self._keeps:
            self._lose(previous, preserving.forget)
        self._start(peer, previous)

    def _lose(self, pid: PID, forget: Callable[[Process, PID], None] = Process.forget_preserved) -> None:
        """Drops, and counts, the datagrams that wait for a successor of `pid`. forget: also forgets the kept state,
        unless it is `preserving.forget`, for a process that has a successor."""
        kept = (self.process.preserved_mailboxes or {}).get(pid)
        if kept is not None:
            self.counters.dropped["ended"] += kept.count(self.kind)
            forget(self.process, pid)

    def _down(self, peer: Peer, reason: Exception) -> None:
        """Takes the place of a peer whose process has ended for good."""
        reason = reason if peer.reason is None else peer.reason
        peer.reason = reason
        self.table.remove(peer)
        self.went(peer, reason)
        if self.closing is not None and not len(self.table):
            self.process.put_runtime(self.closing, 2)

    def went(self, peer: Peer, reason: Exception) -> None:
        """Counts the end of a peer that was up, and tells it. A second call does nothing."""
        if peer.up:
            peer.up = False
            self.counters.down[way_down(reason)] += 1
            self.notify(MessagePeerDown(peer, reason))

    def notify(self, message: MessagePeerUp | MessagePeerDown) -> None:
        """Sends a message to `notify`, if there is room for the ups and downs of a whole table."""
        to, core = self.options.notify, self.core
        if to is None:
            return
        local = to.name if isinstance(to, ProcessID) and to.node == core.name else to
        most = max(_LEAST_NOTIFIED, 4 * self.options.most)
        target = core.registry.routes.get(local)
        try:
            if target is not None and target.main is not None and len(target.main) >= most:
                raise MailboxFull(to, most)
            core.delivery.send(self.process.id, local, message)
        except DeliveryError as error:
            self.counters.notify_lost += 1
            if not core.stopping:  # then the receiver may have ended before the peers
                self.warn("notify", "a message of peers could not be sent to notify: %s", error)

    # --- peers that have to go ------------------------------------------------------------------------------

    def end(self, peer: Peer, reason: Exception) -> None:
        """Ends a peer: at once if its process sleeps, otherwise after the callback that it is in."""
        if peer.reason is None:
            peer.reason = reason
            self.table.leave(peer)
            if peer.task is not None:
                peer.task.cancel()
            elif not peer.starting:
                self._tell(peer, reason)

    def left(self, address: Any, reason: Exception) -> None:
        """Ends the peers at an address, whose session is over."""
        for peer in self.table.at(address):
            self.end(peer, reason)

    def lost(self, report: MessageUDPError) -> None:
        """Ends the peers at the address of an ICMP error. That a datagram was too long says nothing against a peer."""
        if report.origin != "local" and report.errno != errno.EMSGSIZE:
            for peer in self.table.at(report.addr):
                self.end(peer, PeerLost(report))

    def _tell(self, peer: Peer, reason: Exception) -> None:
        process = peer._process
        if process.state is _SLEEP:
            process.end(reason)
        else:
            process.put_exit(exit_signal(self.process.id, reason))

    def close(self, signal: Exit) -> None:
        """Ends the table by `signal` once each peer has handled what waits there."""
        self.closing = signal
        for peer in self.table.peers():
            if not peer.starting:
                self._tell_to_close(peer)
        if not len(self.table):
            self.process.put_runtime(signal, 2)

    def _tell_to_close(self, peer: Peer) -> None:
        peer._process.put_runtime(exit_signal(self.process.id, TerminateShutdown()), 0)

    def _arm(self, seconds: float) -> None:
        self._timer = self.core.loop.call_later(seconds, self._look)
        self.process.own(self._timer)

    def _disarm(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
            if self.process.timers is not None:
                self.process.timers.discard(timer)

    def _look(self) -> None:
        """Called by the timer: ends the idle peers. One timer serves all peers."""
        self._disarm()
        if self.process.alive:
            self.process.scheduler.run_in_portions(self.core.attempt_steps, self._sweep)

    def _sweep(self) -> Iterator[object]:
        idle, now = self.options.idle, self.now()
        while idle is not None and (peer := self.table.quietest()) is not None:
            if peer.last + idle > now:
                break
            self.end(peer, PeerIdle())
            yield WAKES
        if idle is not None and self._timer is None and len(self.table) and self.process.alive:
            quiet = self.table.quietest()
            left = idle if quiet is None else quiet.last + idle - now
            self._arm(max(left, min(idle / 50, 1.0)))

    # --- other limits ---------------------------------------------------------------------------------------

    def adjust(self, options: PeerOptions) -> None:
        """Applies other limits from now on. If they leave fewer places, unproven peers are evicted; proven ones stay
        until they go."""
        self.options = options
        self._spawning = replace(self._spawning, mailbox_size=options.queue)
        self._disarm()
        self._look()
        self.process.scheduler.run_in_portions(self.core.attempt_steps, self._shrink)

    def _shrink(self) -> Iterator[object]:
        table = self.table
        while len(table) > self.options.most or table.unproven > self.options.most_unproven:
            victim = table.least_used()
            if victim is None:
                return
            self.end(victim, PeerEvicted())
            yield WAKES

    def facts(self) -> dict[str, Any]:
        """Returns the answer to an inspection."""
        table, options, counters = self.table, self.options, self.counters
        return {
            "peers": len(table),
            "proven": len(table) - table.unproven,
            "unproven": table.unproven,
            "most": options.most,
            "most_unproven": options.most_unproven,
            "idle": options.idle,
            "queue": options.queue,
            "received": counters.received,
            "forwarded": counters.forwarded,
            **{f"dropped_{way}": number for way, number in counters.dropped.items()},
            "up": counters.up,
            **{f"down_{way}": number for way, number in counters.down.items()},
            "restarts": counters.restarts,
            "notify_lost": counters.notify_lost,
            "worker_behavior": options.worker.__name__,
        }

    def end_all(self, reason: Exception) -> None:
        """Tells `notify` that all peers go, as the table ends. Their processes are linked to the table's."""
        down: Any = TerminateShutdown() if is_a(reason, TerminateShutdown) else reason
        for peer in self.table.peers():
            if peer.reason is None:
                peer.reason = down
            self.went(peer, peer.reason)
