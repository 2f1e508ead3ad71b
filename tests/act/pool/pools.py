"""What the tests of pools share: workers that note what they handle, wait at a gate, and die of poison."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

import homing
from homing import act, gen

from ...support import DEADLINE, eventually


class Poison(Exception):
    """What a worker dies of."""


class Book:
    """What the workers of a pool have handled, in order, as (worker, message).

    gate: while it is closed, workers wait at their message.
    sick: while it is set, no worker can be started.
    """

    def __init__(self) -> None:
        self.handled: list[tuple[gen.PID, Any]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.sick = False
        self.reached = 0

    @property
    def messages(self) -> list[Any]:
        return [message for _, message in self.handled]

    def by_worker(self) -> dict[gen.PID, list[Any]]:
        """What each worker has handled."""
        found = defaultdict(list)
        for worker, message in self.handled:
            found[worker].append(message)
        return dict(found)

    async def count(self, number: int) -> list[Any]:
        """Waits until `number` messages have been handled, and gives all."""
        await eventually(lambda: len(self.handled) >= number, f"the handling of {number} messages")
        return self.messages


class Noting(act.Actor):
    """Notes what it handles. Dies of poison, ends when told "end"."""

    def init(self, book: Book) -> None:
        if book.sick:
            raise RuntimeError("sick")
        self.book = book

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.book.reached += 1
        if not self.book.gate.is_set():
            await self.book.gate.wait()
        if isinstance(message, Exception):
            raise message
        self.book.handled.append((self.pid, message))
        if message == "end":
            raise gen.TerminateNormal

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        await self.handle_message(sender, request)
        return self.pid


class Keyed(act.Pool):
    """A pool of `Noting` workers. A request of priority is a function that it runs on itself."""

    def init(self, book: Book, **options: Any) -> act.PoolOptions:
        self.failed: list[Any] = []
        return act.PoolOptions(**{"worker": Noting, "worker_args": (book,), **options})

    def handle_forward_failed(self, sender: gen.PID, message: Any) -> None:
        self.failed.append(message)

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        result = request(self)
        return await result if asyncio.iscoroutine(result) else result


def first(sender: gen.PID, message: Any) -> Any:
    """The key of a message that is a tuple."""
    return message[0]


def pool_class(**options: Any) -> type[act.Pool]:
    """A class of pools with these options."""

    class Made(Keyed):
        def init(self, book: Book) -> act.PoolOptions:  # type: ignore[override]
            return super().init(book, **options)

    return Made


async def start(node: homing.Node, book: Book, **options: Any) -> gen.PID:
    """A pool with these options."""
    return await node.spawn(pool_class(**options), book)


async def do(node: homing.Node, pool: gen.PID, function: Any) -> Any:
    """Runs `function(pool)` in the pool's process."""
    return await node.call(pool, function, priority=gen.MessagePriority.HIGH)


async def workers(node: homing.Node, pool: gen.PID) -> list[gen.PID]:
    """The PIDs of its workers, slot by slot, those that leave last."""
    facts = await node.inspect(pool)
    known = {str(pid): pid for pid in node.processes()}
    return [known[name] for name in facts["workers"] if name in known]


async def until(node: homing.Node, pool: gen.PID, **wanted: Any) -> dict[str, Any]:
    """Waits until the inspection of `pool` shows what is wanted, and gives it."""
    facts: dict[str, Any] = {}
    try:
        async with asyncio.timeout(DEADLINE):
            while True:
                facts = await node.inspect(pool)
                if all(facts[name] == value for name, value in wanted.items()):
                    return facts
                await asyncio.sleep(0.001)
    except TimeoutError:
        raise AssertionError(f"{wanted} did not come true: {facts}") from None


def account(facts: dict[str, Any]) -> int:
    """Messages that the pool has taken in, by its own account."""
    return sum(
        facts[name]
        for name in (
            "messages_handled",
            "messages_in_hand",
            "messages_waiting",
            "messages_waiting_at_workers",
            "messages_dropped",
            "dead_letters",
        )
    )
