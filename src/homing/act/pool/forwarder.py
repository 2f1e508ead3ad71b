"""Forwards the main lane of a pool to its workers."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ...gen import PID, MailboxFull
from ...gen.foreign import forget_frames, safe_repr
from ...node.logs import RateLimited
from ...node.mailbox.envelope import Exit, Request, SplitMessage, content, is_taken_back
from ...node.mailbox.overflow import may_go
from ...node.mailbox.preserved import send_dead_letter
from ...node.messaging.distribution import hand, without_address
from ...node.processes.process import Process
from ...node.scheduling.forwarder import Forwarder as BulkForwarder
from .options import PoolOptions
from .routing import make_route
from .slots import Slot
from .workers import Workers

if TYPE_CHECKING:
    from .pool import Pool


_MEMORY = 10.0
"""Seconds for which a long datagram shortens the workers' mailboxes: a flood of such datagrams tends to come again."""


class Drops:
    """Counts the messages that a pool has dropped.

    told: called with each of them, its cause ("receiver_full" or "receiver_oldest") and the PID of the worker; None:
        nobody is.
    """

    __slots__ = ("newest", "oldest", "told")

    def __init__(self) -> None:
        self.newest = self.oldest = 0
        self.told: Callable[[Any, str, PID | None], None] | None = None

    @property
    def all(self) -> int:
        return self.newest + self.oldest


class Forwarder(BulkForwarder):
    """Distributes the messages queued in the main lane of one pool.

    options: as `init` returned them. overflow: their policy for messages without room, unless changed since.
    limit: the most messages that may wait at each worker, now.
    drops: counts the dropped messages: the newest ones, and the oldest ones at a worker.
    route: decides which worker gets a message.
    closing: the exit signal for which the pool ends once everything that came before it has been handled.
    forwarded, refused: counters of messages taken from the main lane, like `drops`. pauses: times it waited for room.
    """

    def __init__(self, process: Process, pool: Pool, options: PoolOptions) -> None:
        super().__init__()
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
        """Forwards messages of the main lane, at most the `stretch` of the route. Returns how many entries it took."""
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
        """Shortens the workers' mailboxes while long datagrams come, to keep each within `worker_mailbox_bytes`."""
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
            worker.longest = self._longest  # the worker may be a pool itself
            worker.limit = limit
        self.limit = limit

    def _keep(self, entry: Any) -> bool:
        """Preserves an entry that finds no room, or drops one by `overflow`. Returns False if the entry has to wait."""
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
            return True  # a cancelled timer message: dropping it loses nothing
        slot = self._full_slot(stuck)
        oldest = self._take_oldest(slot) if self.overflow == "drop_oldest" else None
        if oldest is None:
            self.drops.newest += 1
            self._drop(entry, slot, "receiver_full")
        else:
            self._hand_over(entry, slot)
            if not is_taken_back(oldest):
                self.drops.oldest += 1
                self._drop(oldest, slot, "receiver_oldest")
        return True

    def _full_slot(self, stuck: int) -> Slot:
        """Returns the slot whose worker is to drop a message. If all workers are full, they take turns."""
        if stuck >= 0:
            return self.workers.slots[stuck]
        slots = self.workers.slots
        for _ in range(len(slots)):
            self._next_to_drop = (self._next_to_drop + 1) % len(slots)
            if slots[self._next_to_drop].worker.alive:
                break
        return slots[self._next_to_drop]

    def _take_oldest(self, slot: Slot) -> Any:
        """Removes and returns the message that has waited longest at a worker, or for its successor, or None."""
        if slot.preserved is not None:
            return slot.preserved.take_oldest()
        return slot.worker.take_oldest(0, may_go) if slot.worker.alive else None

    def _hand_over(self, entry: Any, slot: Slot) -> None:
        """Gives `entry` to the worker, or its successor, in the place of the message that was taken out."""
        if slot.preserved is not None:
            slot.preserved.append(without_address(entry, slot.preserved.process))
        elif not hand(slot.worker, without_address(entry, slot.worker)):
            raise RuntimeError(f"{slot.pid} has no room for a message, although one was taken out")
        elif slot.worker.paused:
            slot.worker.resume()  # a worker that is a pool may have paused because of the message that was taken out

    def _close(self, entry: Exit) -> None:
        """Handles an exit signal queued behind messages: this pool, a worker itself, ends once those are handled."""
        self.closing = entry
        self._settling = True
        self.settle()

    def _wait_for_room(self) -> None:
        """Pauses the main lane until a worker that could take its head has drained to half, or has started."""
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

    def _drop(self, entry: Any, slot: Slot, cause: str) -> None:
        slot.dropped += 1
        if self.drops.told is not None:
            self.drops.told(content(entry), cause, slot.pid)
        if isinstance(entry, Request):
            self._process.core.calls.fail(entry.ref, MailboxFull(self._process.id, self.options.worker_mailbox_size))
        elif isinstance(entry, SplitMessage):
            self._pool.handle_forward_failed(entry.sender, entry.message)
        elif type(entry) is tuple:
            self._pool.handle_forward_failed(*entry)

    def _misroute(self, entry: Any, error: Exception) -> None:
        """Makes a dead letter of an entry for which the route's function has returned no key."""
        self.refused += 1
        self.forwarded -= 1  # the route counts the entry as distributed, and `take_main` adds that count
        process = self._process
        text = "the route of pool %s failed, the message is a dead letter: %s"
        self._limited_log.warning(process.core.loop.time(), "route", text, process.id, safe_repr(error))
        forget_frames(error)
        send_dead_letter(process, entry, error, in_hand=True)
        if isinstance(entry, Request):
            process.core.calls.fail(entry.ref, error)

    def resized(self) -> None:
        """Adapts to a new number of workers."""
        if self.route.keyed:
            self._settling = True
            self.settle()
        else:
            self._process.resume()

    def settle(self) -> None:
        """Distributes again, by the new size, if everything distributed before has been handled, so that no message
        overtakes another of its key on the way to another worker. Otherwise it is called again later."""
        if not self._settling or not self.workers.idle(self.settle):
            return
        if self.closing is not None:
            self._process.put_runtime(self.closing, 2)
            return
        self._settling = False
        self.route.resize(self.workers.size, self.workers.identities)
        self._process.resume()
