"""Forwards the main lane of a pool to its workers."""

from __future__ import annotations

import os
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from ...gen import PID, MailboxFull
from ...gen.foreign import forget_frames, safe_repr
from ...node.logs import RateLimited
from ...node.mailbox.envelope import Exit, Request, SplitMessage, is_taken_back
from ...node.mailbox.overflow import may_go
from ...node.mailbox.preserved import send_dead_letter
from ...node.messaging.distribution import hand, without_address
from ...node.processes.process import Process
from .options import PoolOptions
from .routing import make_route
from .slots import Slot
from .workers import Workers

if TYPE_CHECKING:
    from .pool import Pool


_MEMORY = 10.0
"""Seconds for which a long datagram makes the workers' mailboxes shorter: a flood of them comes again and again."""


class Drops:
    """Counts the messages that a pool has dropped."""

    __slots__ = ("newest", "oldest")

    def __init__(self) -> None:
        self.newest = self.oldest = 0

    @property
    def all(self) -> int:
        return self.newest + self.oldest


class Forwarder:
    """Hands on what waits in the main lane of one pool.

    options: as `init` returned them. overflow: what they say of messages that find no room, or what was said since.
    limit: messages that wait at each worker at most, now.
    drops: of the messages dropped, how many were the newest, and how many the oldest at a worker.
    route: decides which worker gets a message.
    closing: the exit signal for which the pool ends once everything that came before it has been handled.
    forwarded, refused: counters of what was taken from the main lane, as `drops`. pauses: how often it waited for room.
    """

    def __init__(self, process: Process, pool: Pool, options: PoolOptions) -> None:
        self._process = process
        self._pool = pool
        self.options = options
        self.workers = Workers(process, pool, options, self)
        self.route = make_route(options.route, os.urandom(32), self._misroute)
        self.closing: Exit | None = None
        self.overflow = options.overflow
        self.drops = Drops()
        self.forwarded = 0
        self.refused = 0
        self.pauses = 0
        self.limit = options.worker_mailbox_size
        self._longest = 0
        self._longest_since = 0.0
        self._settling = False
        self._next_to_drop = 0
        self._waits_for: set[PID] = set()
        self._limited_log = RateLimited(pool.log, process.core.bounded_log)

    def take_main(self, main: deque[Any]) -> int:
        """Forwards what waits in the main lane, the stretch of the route at most. Gives how many."""
        if self._process.longest > self._longest or self._longest > 0:
            self._look_at_lengths()
        processes, taken, most = self.workers.processes, 0, self.route.stretch
        while not self._settling:
            count = self.route.distribute(main, processes, most - taken)
            self.forwarded += count
            taken += count
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
        self._process.pause()
        return taken

    def _look_at_lengths(self) -> None:
        """Lets fewer messages wait at each worker while long ones come, so that `worker_mailbox_bytes` hold them."""
        process, now = self._process, self._process.core.loop.time()
        if process.longest > self._longest:
            self._longest = process.longest
            self._longest_since = now
        elif now - self._longest_since >= _MEMORY:
            self._longest, process.longest, self._longest_since = process.longest, 0, now
        else:
            return
        options = self.options
        if options.worker_mailbox_size and options.worker_mailbox_bytes and self._longest:
            limit = max(1, min(options.worker_mailbox_size, options.worker_mailbox_bytes // self._longest))
        else:
            limit = options.worker_mailbox_size
        for worker in self.workers.processes:
            worker.longest = self._longest  # it may be a pool itself
            worker.limit = limit
        self.limit = limit

    def _keep(self, entry: Any) -> bool:
        """Does with an entry that finds no room what can be done but to wait. False: nothing."""
        stuck = self.route.stuck
        if stuck >= 0:
            slot = self.workers.slots[stuck]
            mailbox, limit = slot.preserved, self.limit
            if mailbox is not None and (not limit or len(mailbox) < limit):
                mailbox.append(without_address(entry, mailbox.process))
                self.forwarded += 1
                return True
        if self.overflow == "wait" or (stuck < 0 and not any(worker.alive for worker in self.workers.processes)):
            return False
        if is_taken_back(entry):
            return True  # nobody's loss
        slot = self._full_slot(stuck)
        oldest = self._take_oldest(slot) if self.overflow == "drop_oldest" else None
        if oldest is None:
            self.drops.newest += 1
            self._drop(entry, slot)
        else:
            self._hand_over(entry, slot)
            if not is_taken_back(oldest):
                self.drops.oldest += 1
                self._drop(oldest, slot)
        return True

    def _full_slot(self, stuck: int) -> Slot:
        """The slot for whose worker a message is dropped: where all are full, each in turn."""
        if stuck >= 0:
            return self.workers.slots[stuck]
        slots = self.workers.slots
        for _ in range(len(slots)):
            self._next_to_drop = (self._next_to_drop + 1) % len(slots)
            if slots[self._next_to_drop].worker.alive:
                break
        return slots[self._next_to_drop]

    def _take_oldest(self, slot: Slot) -> Any:
        """Takes out the message that has waited longest at a worker, or for its successor. None: there is none."""
        if slot.preserved is not None:
            return slot.preserved.take_oldest()
        return slot.worker.take_oldest(0, may_go) if slot.worker.alive else None

    def _hand_over(self, entry: Any, slot: Slot) -> None:
        """Gives the worker, or its successor, the message for which another was dropped."""
        if slot.preserved is not None:
            slot.preserved.append(without_address(entry, slot.preserved.process))
        elif not hand(slot.worker, without_address(entry, slot.worker)):
            raise RuntimeError(f"{slot.pid} has no room for a message, although one was taken out")
        elif slot.worker.paused:
            slot.worker.resume()  # a pool may have waited to find room for the one that was taken out

    def _close(self, entry: Exit) -> None:
        """An exit signal behind messages, from a pool whose worker this one is: it ends once they have been handled."""
        self.closing = entry
        self._settling = True
        self.settle()

    def _wait_for_room(self) -> None:
        """Leaves the main lane alone until a worker that could take its head has drained to half, or has come."""
        self._process.pause()
        self.pauses += 1
        processes, stuck = self.workers.processes, self.route.stuck
        for worker in processes if stuck < 0 else (processes[stuck],):
            if worker.alive and worker.id not in self._waits_for:
                self._waits_for.add(worker.id)
                worker.when_drained(worker.limit // 2, partial(self._drained, worker.id))

    def _drained(self, pid: PID) -> None:
        self._waits_for.discard(pid)
        self._process.resume()

    def _drop(self, entry: Any, slot: Slot) -> None:
        slot.dropped += 1
        if isinstance(entry, Request):
            self._process.core.calls.fail(entry.ref, MailboxFull(self._process.id, self.options.worker_mailbox_size))
        elif isinstance(entry, SplitMessage):
            self._pool.handle_forward_failed(entry.sender, entry.message)
        elif type(entry) is tuple:
            self._pool.handle_forward_failed(*entry)

    def _misroute(self, entry: Any, error: Exception) -> None:
        """The route's function has no key for it: a dead letter."""
        self.refused += 1
        self.forwarded -= 1  # as which it will be counted, among those of its turn
        process = self._process
        text = "the route of pool %s failed, the message is a dead letter: %s"
        self._limited_log.warning(process.core.loop.time(), "route", text, process.id, safe_repr(error))
        forget_frames(error)
        send_dead_letter(process, entry, error, in_hand=True)
        if isinstance(entry, Request):
            process.core.calls.fail(entry.ref, error)

    def resized(self) -> None:
        """The pool has another number of workers now."""
        if self.route.keyed:
            self._settling = True
            self.settle()
        else:
            self._process.resume()

    def settle(self) -> None:
        """Distributes again, by the new size, if everything distributed before has been handled: no message overtakes
        another of its key on the way to another worker. Else it is called again when that may be so."""
        if not self._settling or not self.workers.idle(self.settle):
            return
        if self.closing is not None:
            self._process.put_runtime(self.closing, 2)
            return
        self._settling = False
        self.route.resize(self.workers.size)
        self._process.resume()
