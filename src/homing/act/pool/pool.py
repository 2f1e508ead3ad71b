"""Pool: one address, many workers. Messages of its main lane go to the workers; it handles the higher lanes itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ...gen import PID, BadOption, MessageDownPID
from ...gen.foreign import is_a
from ...gen.hooks import ProcessHooks, more_of
from ...node.processes.process import Process
from ..actor import Actor, ActorHooks
from ..clustered import cluster_of
from .forwarder import Forwarder
from .options import PoolOptions


class PoolHooks(ActorHooks):
    """Hooks of a pool."""

    __slots__ = ()

    behavior: Pool
    kind: ClassVar[str] = "pool"
    forwards: ClassVar[bool] = True
    configures: ClassVar[bool] = True
    succeeds: ClassVar[bool] = True
    succeeds_orderly: ClassVar[bool] = True

    async def configure(self, result: Any) -> None:
        behavior = self.behavior
        if not is_a(result, PoolOptions):
            raise BadOption("init", result, f"{type(behavior).__name__}.init must return act.PoolOptions")
        forwarder = behavior._forwarder = Forwarder(self.process, behavior, result)
        self.process.forwarder = forwarder
        feed = None
        if result.workers_on is not None:
            feed = cluster_of(self.process.core).pool_feed(self.process, forwarder.workers, result)
        if result.worker is not None:
            await forwarder.workers.add(result.pool_size)
        if feed is not None:
            feed.start()

    def handler(self) -> Callable[[PID, Any], Any]:
        return self._handle_message

    def _handle_message(self, sender: Any, message: Any) -> Any:
        """Replaces `handle_message`: handles the ends of workers, passes on other messages."""
        if is_a(message, MessageDownPID):
            workers = self.behavior._forwarder.workers
            slot = workers.ended(message.pid)
            if slot is not None:
                return workers.worker_ended(slot)
        return self.behavior.handle_message(sender, message)

    def facts(self, most: int | None) -> dict[str, Any] | None:
        forwarder = self._forwarder
        return None if forwarder is None else _facts(self.process, forwarder, most)

    def restarts(self, pid: PID) -> tuple[int, Exception | None] | None:
        slot = None if self._forwarder is None else self._forwarder.workers.at(pid)
        return None if slot is None else (slot.restarts, slot.reason)

    @property
    def _forwarder(self) -> Forwarder | None:
        """The pool's, once its `init` has returned."""
        return getattr(self.behavior, "_forwarder", None)

    def idle(self, again: Callable[[], None], rest: list[Process]) -> bool:
        return self.behavior._forwarder.workers.collect(again, rest)


class Pool(Actor):
    """A process that distributes its main lane to workers, with the original sender and ref. Derive from it and return
    `PoolOptions` from `init`.

    Messages and requests sent with a higher priority arrive in its own `handle_message` and `handle_call`. A worker
    that ends is replaced, and its successor handles the messages that waited. Workers end with the pool, all at once,
    each after the message that it is handling.
    """

    _runtime_hooks: ClassVar[type[ProcessHooks]] = PoolHooks
    _forwarder: Forwarder

    def handle_forward_failed(self, sender: Any, message: Any) -> None:
        """Called for each message dropped because there was no room, unless `overflow="wait"`. A plain `def`."""

    def handle_inspect(self, sender: PID, *items: str) -> Any:
        """Returns size, route, counters, and the facts of each worker by its PID.

        Messages taken from the pool's mailbox = forwarded + dropped + refused by the route. Forwarded = handled +
        waiting at workers + in hand + dead letters of workers. Messages sent directly to a worker count as well.
        """
        return _facts(self._process, self._forwarder, None)

    # --- size ---------------------------------------------------------------------------------------------

    async def add_workers(self, n: int) -> int:
        """Starts `n` more workers. Returns the new size. Raises what a worker's `init` raises.

        With a keyed route they get their share once all messages at workers, queued and in hand, have been handled;
        messages that come meanwhile wait.
        """
        self._process.core.require_thread()
        return await self._forwarder.workers.add(n)

    def remove_workers(self, n: int) -> int:
        """Removes `n` workers, last added first: they handle their queued messages, then end. Does not wait for that.

        Returns the new size. Raises `BadOption` unless at least one worker stays. With a keyed route the others get
        their share as in `add_workers`.
        """
        self._process.core.require_thread()
        return self._forwarder.workers.remove(n)


def _facts(process: Process, forwarder: Forwarder, most: int | None) -> dict[str, Any]:
    """Returns the counters of a pool, and those of its first `most` workers."""
    options, workers = forwarder.options, forwarder.workers
    slots = list(workers)
    waiting, in_hand = sum(slot.waiting for slot in slots), sum(slot.in_hand for slot in slots)
    letters = workers.letters + sum(slot.letters for slot in slots)
    return {
        "pool_size": workers.size,
        "running": sum(worker.alive for worker in workers.processes),
        "draining": len(workers.leaving),
        "worker_behavior": "" if options.worker is None else options.worker.__name__,
        "worker_mailbox_size": options.worker_mailbox_size,
        "overflow": forwarder.overflow,
        "route": options.route if isinstance(options.route, str) else "key",
        "messages_waiting": len(process.main or ()),
        "messages_forwarded": forwarder.forwarded,
        "messages_waiting_at_workers": waiting,
        "messages_in_hand": in_hand,
        "messages_handled": forwarder.forwarded - waiting - in_hand - letters,
        "messages_dropped": forwarder.drops.all,
        "dead_letters": letters + forwarder.refused,
        "worker_restarts": workers.restarts,
        "pauses": forwarder.pauses,
        "workers": {str(slot.pid): slot.inspect() for slot in slots[:most]},
        **more_of(slots, most),
    }
