"""The workers of a pool: starts, replaces and removes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...gen import PID, NodeTerminated, NotAllowed, ProcessOptions, ProcessState, TerminateShutdown, as_reason
from ...gen.foreign import forget_frames, safe_repr
from ...gen.options import check_integer
from ...node.mailbox.envelope import exit_signal
from ...node.messaging.distribution import idle
from ...node.processes.process import Process
from ...node.processes.spawning import spawn
from ...node.scheduling.stepping import is_cancelled
from ..links import add_monitor
from .options import MOST_WORKERS, PoolOptions
from .slots import Place, Slot

if TYPE_CHECKING:
    from .forwarder import Forwarder
    from .pool import Pool

_TERMINATED = ProcessState.TERMINATED


class Workers:
    """The workers of one pool. Each has a slot, which a removed worker keeps until it has ended.

    slots, processes: the workers that get messages, and their processes at the same places.
    letters: dead letters of workers that have been removed. restarts: number of workers replaced.
    """

    def __init__(self, process: Process, pool: Pool, options: PoolOptions, forwarder: Forwarder) -> None:
        self._process = process
        self._pool = pool
        self._options = options
        self._forwarder = forwarder
        self._spawning = replace(
            options.worker_options,
            mailbox_size=options.worker_mailbox_size,
            link_parent=True,
            preserve_mailbox=True,
        )
        self._standing_in = ProcessOptions(
            mailbox_size=options.worker_mailbox_size, link_parent=True, preserve_mailbox=True
        )
        self.slots: list[Slot] = []
        self.processes: list[Process] = []
        self.leaving: dict[Slot, None] = {}
        self._by_pid: dict[PID, Slot] = {}
        self.letters = 0
        self.restarts = 0
        self._on_change: list[Callable[[], None]] = []

    def __iter__(self) -> Iterator[Slot]:
        """Iterates over all slots, those that are leaving last."""
        return iter((*self.slots, *self.leaving))

    @property
    def identities(self) -> list[str] | None:
        """Names of the workers as owners of keys, at the places of `slots`; None if all workers are of this node."""
        if self._options.workers_on is None:
            return None
        own = self._process.core.name
        return [
            f"{slot.number} {own}" if slot.place is None else f"{slot.place[1]} {slot.place[0]}" for slot in self.slots
        ]

    @property
    def size(self) -> int:
        """The number of workers, without those that are leaving."""
        return len(self.slots)

    def ended(self, pid: PID) -> Slot | None:
        """Returns the slot whose worker was `pid`, if that worker has ended."""
        slot = self._by_pid.get(pid)
        if slot is None or slot.worker.state is not _TERMINATED:
            return None
        return slot

    def at(self, pid: PID) -> Slot | None:
        """Returns the slot whose worker is `pid`."""
        return self._by_pid.get(pid)

    async def add(self, n: int) -> int:
        """See `Pool.add_workers`."""
        n = check_integer("n", n, 1, MOST_WORKERS)
        if self._options.worker is None:
            raise NotAllowed("the pool has workers on other nodes only: its PoolOptions have no worker")
        try:
            for _ in range(n):
                await self._add(None)
        finally:
            self._forwarder.resized()  # once for all new workers, as it looks at all workers of the pool
        return self.size

    async def add_at(self, place: Place) -> None:
        """Adds a worker of another node. Raises what its start raises."""
        await self._add(place)
        self._forwarder.resized()

    async def _add(self, place: Place | None) -> None:
        worker = await self._spawn_worker(None, place)
        slot = self._by_pid[worker.id] = Slot(self._process, worker, self.size, place)
        self.slots.append(slot)
        self.processes.append(worker)

    def remove(self, n: int) -> int:
        """See `Pool.remove_workers`."""
        here = [slot for slot in self.slots if slot.place is None]
        n = check_integer("n", n, 1, len(here) - (len(here) == self.size))
        removed = here[: -n - 1 : -1]
        self._take_out(removed)
        for slot in removed:
            self._ask_to_leave(slot)
        self._forwarder.resized()
        return self.size

    def vanish(self, node: str, reason: Exception | None) -> None:
        """Removes the workers of another node. With a `reason` they end at once, as that node is down, and other
        workers get what waits for them here; without one they handle it first."""
        removed = [slot for slot in self.slots if slot.place is not None and slot.place.node == node]
        self._take_out(removed)
        for slot in removed:
            if reason is not None and slot.worker.alive:
                slot.worker.put_exit(exit_signal(self._process.core.pid, reason))
            else:
                self._ask_to_leave(slot)
        if removed:
            self._forwarder.resized()

    def _take_out(self, removed: list[Slot]) -> None:
        """Makes slots leave: their workers get no more messages."""
        for slot in removed:
            slot.leaving = True
            self.leaving[slot] = None
        self.slots[:] = [slot for slot in self.slots if not slot.leaving]
        self.processes[:] = [slot.worker for slot in self.slots]
        for number, slot in enumerate(self.slots):
            slot.number = number

    def _ask_to_leave(self, slot: Slot) -> None:
        """Sends the worker an exit signal behind all its queued messages."""
        if slot.worker.alive:
            slot.worker.put_runtime(exit_signal(self._process.id, TerminateShutdown()), 0)
        elif slot.timer is not None:
            self._forget_timer(slot)
            self._left(slot)
        # otherwise it is ending, or a successor is being started, and `worker_ended` or `_filled` follows

    def _left(self, slot: Slot) -> None:
        """Removes a leaving slot whose last worker has ended, and distributes its queued messages again."""
        self._take_back(slot)
        self._process.forget_preserved(slot.pid)
        self.letters += slot.letters
        del self.leaving[slot], self._by_pid[slot.pid]
        self._changed()

    def _take_back(self, slot: Slot) -> None:
        """Puts the messages that wait for a successor in `slot` back at the head of the pool's main lane, in order."""
        if slot.preserved is not None:
            entries = slot.preserved.take_main(self._process)
            self._forwarder.forwarded -= len(entries)
            self._process.put_back(entries)

    def idle(self, again: Callable[[], None]) -> bool:
        """Returns True if the workers have no message queued or in hand. If False, `again` is called once when that
        may have changed."""
        rest: list[Process] = []
        return self.collect(again, rest) and idle(rest, again)

    def collect(self, again: Callable[[], None], rest: list[Process]) -> bool:
        """Adds the workers' processes to `rest`. Returns False if messages wait for a worker that does not run: then
        `again` is called once when that may have changed."""
        for slot in self:
            if slot.worker.state is not _TERMINATED:
                rest.append(slot.worker)
            elif slot.waiting:
                self._on_change.append(again)
                return False
        return True

    async def _spawn_worker(self, previous: PID | None, place: Place | None) -> Process:
        options, process = self._options, self._process
        behavior: Any = options.worker if place is None else place.behavior
        args, how = (options.worker_args, self._spawning) if place is None else (place.args, self._standing_in)
        pid = await spawn(process.core, process, behavior, args, None, how, previous=previous)
        add_monitor(process, pid)
        worker = process.core.processes[pid]
        worker.fed = True
        worker.limit = self._forwarder.limit
        return worker

    def worker_ended(self, slot: Slot) -> None:
        """Replaces a worker that has ended, or removes its slot if it is leaving."""
        if slot.leaving:
            self._left(slot)
        elif self._forwarder.closing is None or slot.waiting:
            self._fill(slot)
        else:
            self._changed()

    def _fill(self, slot: Slot) -> None:
        """Starts a successor in a task, while the pool continues: an `init` may take long."""
        process = self._process
        task = process.core.loop.create_task(
            self._start_successor(slot), name="pool worker", context=process.core.scheduler.context.copy()
        )
        process.own(task)
        task.add_done_callback((process.timers or set()).discard)

    async def _start_successor(self, slot: Slot) -> None:
        try:
            worker = await self._spawn_worker(slot.pid, slot.place)
        except BaseException as error:
            if is_cancelled(error):
                raise
            if self._process.alive:
                self._not_started(slot, as_reason(error))
        else:
            self._filled(slot, worker)

    def _filled(self, slot: Slot, worker: Process) -> None:
        del self._by_pid[slot.pid]
        self._by_pid[worker.id] = slot
        slot.succeed(worker)
        self.restarts += 1
        if slot.leaving:
            self._ask_to_leave(slot)
        else:
            self.processes[slot.number] = worker
        self._changed()
        self._process.resume()

    def _changed(self) -> None:
        """Runs the callbacks that wait for a slot with messages but without a worker."""
        waiting, self._on_change = self._on_change, []
        for again in waiting:
            again()
        self._forwarder.settle()

    def _not_started(self, slot: Slot, error: Exception) -> None:
        """Retries later. If any worker will do, the others take the messages that wait here."""
        if not isinstance(error, NodeTerminated):
            text, process = "a worker of pool %s could not be started, trying again: %s", self._process
            process.core.log_failure(process.log_adapter, text, process.id, safe_repr(error), fault=error)
            forget_frames(error)
        if slot.leaving:
            self._left(slot)
            return
        if not self._forwarder.route.keyed and any(worker.alive for worker in self.processes):
            self._take_back(slot)
        process = self._process
        if process.core.stopping:
            process.forget_preserved(slot.pid)
            return
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
