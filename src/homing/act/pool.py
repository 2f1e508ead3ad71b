"""Pool: one address, many workers. What comes to its main lane goes to the workers in turn; higher lanes are its
own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

from ..gen import (
    PID,
    BadOption,
    MailboxFull,
    MessageDownPID,
    MessageExitPID,
    ProcessBehavior,
    ProcessOptions,
    TerminateShutdown,
)
from ..gen.options import check_integer
from ..node.dealing import deal, next_with_room
from ..node.envelope import Exit, ExitSignal, Invoke, Request, SplitMessage
from ..node.process import Process
from .actor import Actor

_TURN = 256
"""Messages forwarded at a stretch. A turn's worth (`NodeOptions.turn_messages`)."""

_RETRY_FIRST, _RETRY_MOST = 0.1, 5.0
"""Seconds until a worker that could not be started is tried again: first, and doubled up to this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """What a pool's `init` returns.

    worker: the class of the workers; each is started with `init(*worker_args)`.
    pool_size: how many.
    worker_mailbox_size: messages that wait at each worker at most. 0: no limit, and so no back-pressure: a UDP
    server in
        front of the pool then never pauses, and memory is bounded by nothing.
    overflow: when all workers are full: "wait" keeps the messages in the pool's own mailbox until one has room (a UDP
        server in front of it pauses); "drop" counts them and calls `handle_forward_failed`.
    """

    worker: type[ProcessBehavior]
    worker_args: tuple[Any, ...] = ()
    pool_size: int = 3
    worker_mailbox_size: int = 1024
    overflow: Literal["wait", "drop"] = "wait"

    def __post_init__(self) -> None:
        if not (isinstance(self.worker, type) and issubclass(self.worker, ProcessBehavior)):
            raise BadOption("worker", self.worker, "give a class derived from act.Actor")
        if not isinstance(self.worker_args, tuple):
            raise BadOption("worker_args", self.worker_args, "give a tuple")
        check_integer("pool_size", self.pool_size, 1)
        check_integer("worker_mailbox_size", self.worker_mailbox_size, 0)
        if self.overflow not in ("wait", "drop"):
            raise BadOption("overflow", self.overflow, 'give "wait" or "drop"')


class Pool(Actor):
    """A process that hands its main lane to workers, round robin, with the original sender and ref. Derive from it and
    return `PoolOptions` from `init`.

    Messages and requests sent with a higher priority come to its own `handle_message` and `handle_call`. A worker
    that ends is replaced. Workers end with the pool.
    """

    _kind: ClassVar[str] = "pool"
    _forwards: ClassVar[bool] = True

    _options: PoolOptions
    _workers: list[Process]

    async def _configure(self, options: PoolOptions) -> None:
        if not isinstance(options, PoolOptions):
            raise BadOption("init", options, f"{type(self).__name__}.init must return act.PoolOptions")
        self._options = options
        self._workers = []
        self._next = -1  # the last one that got a message
        self._watched: set[PID] = set()
        self._forwarded = 0
        self._dropped = 0
        self._restarts = 0
        self._pauses = 0
        self._retry = _RETRY_FIRST
        self._retiring: Exception | None = None  # the pool ends for it once its workers have ended
        await self.add_workers(options.pool_size)

    def _handler(self) -> Callable[[PID, Any], Any]:
        return self._dispatch

    def handle_forward_failed(self, sender: PID, message: Any) -> None:
        """With `overflow="drop"`: all workers were full, this message is dropped (and counted). A plain `def`."""

    def handle_inspect(self, sender: PID, *items: str) -> Any:
        """Size, and the counters: forwarded = handled by workers + waiting there + lost with a worker that crashed."""
        options = self._options
        return {
            "pool_size": len(self._workers),
            "worker_behavior": options.worker.__name__,
            "worker_mailbox_size": options.worker_mailbox_size,
            "overflow": options.overflow,
            "messages_forwarded": self._forwarded,
            "messages_dropped": self._dropped,
            "messages_waiting": len(self._process.main or ()),
            "worker_restarts": self._restarts,
            "pauses": self._pauses,
            "workers": {
                str(worker.id): {"waiting": worker.waiting, "handled": worker.handled} for worker in self._workers
            },
        }

    # --- size ---------------------------------------------------------------------------------------------

    async def add_workers(self, n: int) -> int:
        """Starts `n` more workers. Gives the new size. Raises what a worker's `init` raises."""
        check_integer("n", n, 1)
        for _ in range(n):
            await self._add_worker()
        return len(self._workers)

    def remove_workers(self, n: int) -> int:
        """Ends `n` workers, last started first, after the message in hand; what waits there goes to the others.

        Gives the new size. Raises `BadOption` unless at least one worker stays.
        """
        check_integer("n", n, 1, len(self._workers) - 1)
        for _ in range(n):
            worker = self._workers.pop()
            self._take_back(worker)
            self.demonitor(worker.id)
            reason = TerminateShutdown()
            worker.put_runtime(Exit(self.pid, reason, MessageExitPID(self.pid, reason)), 2)
        return len(self._workers)

    def _take_back(self, worker: Process) -> None:
        """Puts what waits at `worker` back to the head of the pool's own main lane, in order."""
        if worker.main:
            self._forwarded -= len(worker.main)
            for entry in worker.main:
                if isinstance(entry, Request):
                    self._process.core.calls.moved(entry.ref, self._process)  # else it would fail with that worker
            self._process.put_back(worker.main)
            worker.main.clear()

    # --- workers ------------------------------------------------------------------------------------------

    async def _add_worker(self) -> None:
        options = ProcessOptions(mailbox_size=self._options.worker_mailbox_size, link_parent=True)
        pid = await self.spawn(self._options.worker, *self._options.worker_args, options=options)
        worker = self._process.core.processes.get(pid)
        if worker is not None:  # else it has ended already, and there is nothing to wait for
            self.monitor(pid)
            self._workers.append(worker)
            self._process.resume()

    def _dispatch(self, sender: PID, message: Any) -> Any:
        if isinstance(message, MessageDownPID):
            for worker in self._workers:
                if worker.id == message.pid:
                    self._workers.remove(worker)
                    return self._replace() if self._retiring is None else self._end_if_retired()
        return self.handle_message(sender, message)

    def _retire(self, reason: Exception) -> None:
        """The pool is to end after what waited in its main lane (as a router's route): first its workers do."""
        self._retiring = reason
        for worker in self._workers:
            shutdown = TerminateShutdown()
            worker.put_runtime(Exit(self.pid, shutdown, MessageExitPID(self.pid, shutdown)), 0)
        self._end_if_retired()

    def _end_if_retired(self) -> None:
        if self._retiring is not None and not self._workers:
            raise ExitSignal(self._retiring)

    async def _replace(self) -> None:
        """Starts a worker in the place of one that has ended; if that fails, tries again later."""
        if self._retiring is not None:
            return
        self._restarts += 1
        try:
            await self._add_worker()
            self._retry = _RETRY_FIRST
        except Exception as error:
            self.log.error(
                "a worker of pool %s could not be started, trying again: %r", self.pid, error, exc_info=error
            )
            process = self._process
            process.core.loop.call_later(self._retry, process.put_runtime, Invoke(self._replace), 1)
            self._retry = min(self._retry * 2, _RETRY_MOST)

    # --- forwarding ---------------------------------------------------------------------------------------

    def _take_main(self, main: deque[Any]) -> int:
        """Forwards what waits in the main lane, a turn's worth at most. Gives how many."""
        taken = 0
        while True:
            dealt, self._next = deal(main, self._workers, self._next, _TURN - taken)
            taken += dealt
            self._forwarded += dealt
            if not main or taken >= _TURN:
                return taken
            entry = main.popleft()
            number = next_with_room(self._workers, self._next)
            if isinstance(entry, Exit):
                self._retire(entry.reason)
            elif number >= 0:
                self._next = number
                worker = self._workers[number]
                worker.put(self._moved(entry, worker), 0)
                if not worker.scheduled:
                    worker.scheduler.schedule(worker)
                self._forwarded += 1
            elif self._options.overflow == "drop" and self._workers:
                self._drop(entry)
            else:
                main.appendleft(entry)
                self._wait_for_room()
                return taken
            taken += 1

    def _moved(self, entry: Any, worker: Process) -> Any:
        """What the worker gets for an entry that is no plain message."""
        if isinstance(entry, Request):
            entry.to = None
            self._process.core.calls.moved(entry.ref, worker)
        elif isinstance(entry, SplitMessage):
            return (entry.sender, entry.message)
        return entry

    def _wait_for_room(self) -> None:
        """Leaves the main lane alone until a worker has drained to half, or has come."""
        self._process.hold()
        self._pauses += 1
        for worker in self._workers:
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
