"""Pool: one address, many workers. What comes to its main lane goes to the workers; higher lanes are its own."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from ...gen import (
    PID,
    BadOption,
    MailboxFull,
    MessageDownPID,
    NodeTerminated,
    ProcessState,
    TerminateShutdown,
)
from ...gen.hooks import ProcessHooks
from ...gen.options import check_integer
from ...node.mailbox.envelope import Exit, Request, SplitMessage, exit_signal
from ...node.mailbox.preserved import send_dead_letter
from ...node.messaging.distribution import idle, readdressed
from ...node.processes.process import Process
from ...node.processes.spawning import spawn
from ...node.scheduling.activity import forget_frames
from ..actor import Actor, ActorHooks
from .options import PoolOptions
from .routing import make_route
from .slots import Slot

_TERMINATED = ProcessState.TERMINATED


class PoolHooks(ActorHooks):
    """Hooks of a pool."""

    __slots__ = ()

    behavior: Pool
    kind: ClassVar[str] = "pool"
    forwards: ClassVar[bool] = True
    configures: ClassVar[bool] = True
    succeeds: ClassVar[bool] = True
    succeeds_orderly: ClassVar[bool] = True

    def __init__(self, behavior: Pool, process: Process) -> None:
        super().__init__(behavior, process)
        self.take_main = behavior._take_main

    async def configure(self, result: Any) -> None:
        await self.behavior._configure(result)

    def handler(self) -> Callable[[PID, Any], Any]:
        return self.behavior._dispatch

    def idle(self, again: Callable[[], None]) -> bool:
        return self.behavior._idle(again)


class Pool(Actor):
    """A process that hands its main lane to workers, with the original sender and ref. Derive from it and return
    `PoolOptions` from `init`.

    Messages and requests sent with a higher priority come to its own `handle_message` and `handle_call`. A worker that
    ends is replaced, and its successor goes on with what waited. Workers end with the pool: each after the message in
    hand, all at once, when the pool has ended.
    """

    _runtime_hooks: ClassVar[type[ProcessHooks]] = PoolHooks
    _options: PoolOptions

    async def _configure(self, options: PoolOptions) -> None:
        if not isinstance(options, PoolOptions):
            raise BadOption("init", options, f"{type(self).__name__}.init must return act.PoolOptions")
        self._options = options
        self._spawning = replace(
            options.worker_options,
            mailbox_size=options.worker_mailbox_size,
            link_parent=True,
            preserve_mailbox=True,
        )
        self._route = make_route(options.route, os.urandom(32), self._misroute)
        self._slots: list[Slot] = []
        self._workers: list[Process] = []  # of the slots, for dealing
        self._leaving: list[Slot] = []
        self._settling = False
        self._closing: Exit | None = None
        self._on_change: list[Callable[[], None]] = []
        self._watched: set[PID] = set()
        self._forwarded = 0
        self._dropped = 0
        self._refused = 0
        self._letters = 0  # of workers that have left
        self._restarts = 0
        self._pauses = 0
        await self.add_workers(options.pool_size)

    def handle_forward_failed(self, sender: PID, message: Any) -> None:
        """With `overflow="drop"`: there was no room, this message is dropped (and counted). A plain `def`."""

    def handle_inspect(self, sender: PID, *items: str) -> Any:
        """Size, route, counters, and each worker by its PID.

        What was taken from the pool's mailbox: forwarded + dropped + refused by the route. What was forwarded: handled
        + waiting at workers + in hand + dead letters of workers. What workers are sent past the pool counts as well.
        """
        options = self._options
        slots = [*self._slots, *self._leaving]
        waiting, in_hand = sum(slot.waiting for slot in slots), sum(slot.in_hand for slot in slots)
        letters = self._letters + sum(slot.letters for slot in slots)
        return {
            "pool_size": len(self._slots),
            "running": sum(worker.alive for worker in self._workers),
            "draining": len(self._leaving),
            "worker_behavior": options.worker.__name__,
            "worker_mailbox_size": options.worker_mailbox_size,
            "overflow": options.overflow,
            "route": options.route if isinstance(options.route, str) else "key",
            "messages_waiting": len(self._process.main or ()),
            "messages_forwarded": self._forwarded,
            "messages_waiting_at_workers": waiting,
            "messages_in_hand": in_hand,
            "messages_handled": self._forwarded - waiting - in_hand - letters,
            "messages_dropped": self._dropped,
            "dead_letters": letters + self._refused,
            "worker_restarts": self._restarts,
            "pauses": self._pauses,
            "workers": {str(slot.pid): slot.inspect() for slot in slots},
        }

    # --- size ---------------------------------------------------------------------------------------------

    async def add_workers(self, n: int) -> int:
        """Starts `n` more workers. Gives the new size. Raises what a worker's `init` raises.

        With a keyed route they get their share once all that waits at workers and is in hand has been handled; what
        comes meanwhile waits.
        """
        check_integer("n", n, 1)
        for _ in range(n):
            worker = await self._spawn_worker(None)
            self._slots.append(Slot(self._process, worker))
            self._workers.append(worker)
            self._resized()
        return len(self._slots)

    def remove_workers(self, n: int) -> int:
        """Takes `n` workers out, last added first: they handle what waits there, then end. Waits for nothing.

        Gives the new size. Raises `BadOption` unless at least one worker stays. With a keyed route the others get their
        share as in `add_workers`.
        """
        check_integer("n", n, 1, len(self._slots) - 1)
        for _ in range(n):
            slot = self._slots.pop()
            self._workers.pop()
            slot.leaving = True
            self._leaving.append(slot)
            self._ask_to_leave(slot)
        self._resized()
        return len(self._slots)

    def _ask_to_leave(self, slot: Slot) -> None:
        """Sends the worker an exit signal behind all that waits there."""
        if slot.worker.alive:
            slot.worker.put_runtime(exit_signal(self.pid, TerminateShutdown()), 0)
        elif slot.timer is not None:
            self._forget_timer(slot)
            self._left(slot)
        # else it is ending, or a successor is being started: that is told when it has been

    def _left(self, slot: Slot) -> None:
        """The last worker of a leaving slot has ended. What still waits there is dealt anew."""
        self._take_back(slot)
        self._process.forget_estate(slot.pid)
        self._letters += slot.letters
        self._leaving.remove(slot)
        self._changed()

    def _take_back(self, slot: Slot) -> None:
        """Puts what waits for a successor in `slot` back to the head of the pool's own main lane, in order."""
        if slot.estate is not None:
            entries = slot.estate.take_main(self._process)
            self._forwarded -= len(entries)
            self._process.put_back(entries)

    def _resized(self) -> None:
        if self._route.keyed:
            self._settling = True
            self._settle()
        else:
            self._process.resume()

    def _settle(self) -> None:
        """Deals again, by the new size, if everything dealt before has been handled: no message overtakes another of
        its key on the way to another worker. Else it is called again when that may be so."""
        if not self._settling or not self._idle(self._settle):
            return
        if self._closing is not None:
            self._process.put_runtime(self._closing, 2)
            return
        self._settling = False
        self._route.resize(len(self._slots))
        self._process.resume()

    def _idle(self, again: Callable[[], None]) -> bool:
        for slot in (*self._slots, *self._leaving):
            if slot.worker.state is not _TERMINATED:
                if not idle(slot.worker, again):
                    return False
            elif slot.waiting:
                self._on_change.append(again)
                return False
        return True

    # --- workers ------------------------------------------------------------------------------------------

    async def _spawn_worker(self, previous: PID | None) -> Process:
        options, process = self._options, self._process
        pid = await spawn(
            process.core, process, options.worker, options.worker_args, None, self._spawning, previous=previous
        )
        self.monitor(pid)
        return process.core.processes[pid]

    def _dispatch(self, sender: PID, message: Any) -> Any:
        if isinstance(message, MessageDownPID):
            for slot in (*self._slots, *self._leaving):
                if slot.pid == message.pid and slot.worker.state is _TERMINATED:
                    return self._worker_ended(slot)
        return self.handle_message(sender, message)

    def _worker_ended(self, slot: Slot) -> None:
        if slot.leaving:
            self._left(slot)
        elif self._closing is None or slot.waiting:
            self._fill(slot)
        else:
            self._changed()

    def _fill(self, slot: Slot) -> None:
        """Starts a successor, beside what the pool does: an `init` may take its time."""
        process = self._process
        task = process.core.loop.create_task(
            self._start_successor(slot), name="pool worker", context=process.core.scheduler.context.copy()
        )
        process.own(task)
        task.add_done_callback((process.timers or set()).discard)

    async def _start_successor(self, slot: Slot) -> None:
        try:
            worker = await self._spawn_worker(slot.pid)
        except Exception as error:
            if self._process.alive:
                self._not_started(slot, error)
        else:
            self._filled(slot, worker)

    def _filled(self, slot: Slot, worker: Process) -> None:
        slot.succeed(worker)
        self._restarts += 1
        if slot.leaving:
            self._ask_to_leave(slot)
        else:
            self._workers[self._slots.index(slot)] = worker
        self._changed()
        self._process.resume()

    def _changed(self) -> None:
        """Tells those who wait for a slot that has no worker and whose mail waits."""
        waiting, self._on_change = self._on_change, []
        for again in waiting:
            again()
        self._settle()

    def _not_started(self, slot: Slot, error: Exception) -> None:
        """Tries again later. Where any worker will do, the others take what waits here."""
        if not isinstance(error, NodeTerminated):
            self.log.error(
                "a worker of pool %s could not be started, trying again: %r", self.pid, error, exc_info=error
            )
        if slot.leaving:
            self._left(slot)
            return
        if not self._route.keyed and any(worker.alive for worker in self._workers):
            self._take_back(slot)
        process = self._process
        slot.timer = process.core.loop.call_later(slot.next_retry(), self._retry, slot)
        process.own(slot.timer)

    def _retry(self, slot: Slot) -> None:
        self._forget_timer(slot)
        self._fill(slot)

    def _forget_timer(self, slot: Slot) -> None:
        slot.timer.cancel()
        if self._process.timers is not None:
            self._process.timers.discard(slot.timer)
        slot.timer = None

    # --- forwarding ---------------------------------------------------------------------------------------

    def _take_main(self, main: deque[Any]) -> int:
        """Forwards what waits in the main lane, the stretch of the route at most. Gives how many."""
        taken, most = 0, self._route.stretch
        while not self._settling:
            dealt = self._route.deal(main, self._workers, most - taken)
            self._forwarded += dealt
            taken += dealt
            if not main or taken >= most:
                return taken
            entry = main.popleft()
            if isinstance(entry, Exit):
                self._close(entry)
            elif not self._keep(entry):
                main.appendleft(entry)
                self._wait_for_room()
                return taken
            taken += 1
        self._process.hold()
        return taken

    def _keep(self, entry: Any) -> bool:
        """Does with an entry that finds no room what can be done but to wait. False: nothing."""
        stuck = self._route.stuck
        if stuck >= 0:
            slot = self._slots[stuck]
            estate, limit = slot.estate, self._options.worker_mailbox_size
            if estate is not None and (not limit or len(estate) < limit):
                estate.append(readdressed(entry, estate.process))
                self._forwarded += 1
                return True
        if self._options.overflow == "drop" and (stuck >= 0 or any(worker.alive for worker in self._workers)):
            self._drop(entry)
            return True
        return False

    def _close(self, entry: Exit) -> None:
        """An exit signal behind messages, from a pool whose worker this one is: it ends once they have been handled."""
        self._closing = entry
        self._settling = True
        self._settle()

    def _wait_for_room(self) -> None:
        """Leaves the main lane alone until a worker that could take its head has drained to half, or has come."""
        self._process.hold()
        self._pauses += 1
        stuck = self._route.stuck
        for worker in self._workers if stuck < 0 else (self._workers[stuck],):
            if worker.alive and worker.id not in self._watched:
                self._watched.add(worker.id)
                worker.watch(worker.limit // 2, partial(self._drained, worker.id))

    def _drained(self, pid: PID) -> None:
        self._watched.discard(pid)
        self._process.resume()

    def _drop(self, entry: Any) -> None:
        self._dropped += 1
        if isinstance(entry, Request):
            self._process.core.calls.fail(entry.ref, MailboxFull(self.pid, self._options.worker_mailbox_size))
        elif isinstance(entry, SplitMessage):
            self.handle_forward_failed(entry.sender, entry.message)
        elif type(entry) is tuple:
            self.handle_forward_failed(*entry)

    def _misroute(self, entry: Any, error: Exception) -> None:
        """The route's function has no key for it: a dead letter."""
        self._refused += 1
        self._forwarded -= 1  # as which it will be counted, among those of its turn
        process = self._process
        self._warn("route", "the route of pool %s failed, the message is a dead letter: %r", self.pid, error)
        forget_frames(error)
        send_dead_letter(process, entry, error, in_hand=True)
        if isinstance(entry, Request):
            process.core.calls.fail(entry.ref, error)
