"""Calls: requests on their way and the callers that wait for the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..gen import (
    PID,
    Alias,
    CallTimeout,
    CallToSelf,
    MessagePriority,
    MetaTerminated,
    ProcessState,
    ProcessTerminated,
    Ref,
    Target,
)
from ..gen.options import check_seconds
from .envelope import Inspection

if TYPE_CHECKING:
    from .activity import Activity
    from .core import Core
    from .process import Process


class Waiter:
    """One open call. The answer may come before the caller has to wait for it: then there is no future."""

    __slots__ = ("answer", "callee", "done", "error", "future", "target")

    def __init__(self, callee: Activity, target: object) -> None:
        self.callee = callee
        self.target = target
        self.future: asyncio.Future[None] | None = None
        self.done = False
        self.answer: Any = None
        self.error: Exception | None = None

    def finish(self, answer: Any, error: Exception | None) -> None:
        """Takes the answer or the error, once, and wakes the caller if it waits."""
        self.done = True
        self.answer = answer
        self.error = error
        if self.future is not None and not self.future.done():
            self.future.set_result(None)


class Calls:
    """The open calls of one node, by their reference. Answers that nobody waits for any more are counted, not kept."""

    __slots__ = ("_core", "_open", "late_responses")

    def __init__(self, core: Core) -> None:
        self._core = core
        self._open: dict[Ref, Waiter] = {}
        self.late_responses = 0

    def __len__(self) -> int:
        return len(self._open)

    async def call(
        self, caller: Process | None, to: Target, request: Any, timeout: float, priority: MessagePriority
    ) -> Any:
        """Sends a request and waits for its answer. `caller` None: from outside of all processes."""
        check_seconds("timeout", timeout)
        callee = self._callee(caller, to)
        ref = self._core.registry.make_ref()
        sender = self._core.pid if caller is None else caller.sender

        def put() -> None:
            self._core.delivery.request(sender, callee, to, ref, request, priority)
            if caller is not None:
                caller.messages_out += 1

        return await self._ask(caller, Waiter(callee, to), ref, put, timeout)

    async def inspect(self, caller: Process | None, to: Target, items: tuple[str, ...], timeout: float) -> Any:
        """Asks the activity behind `to` what its `handle_inspect` tells. Passes a full mailbox."""
        check_seconds("timeout", timeout)
        callee = self._callee(caller, to)
        ref = self._core.registry.make_ref()
        sender = self._core.pid if caller is None else caller.sender
        put = partial(callee.put_runtime, Inspection(sender, ref, items), 2)
        return await self._ask(caller, Waiter(callee, to), ref, put, timeout)

    def _callee(self, caller: Process | None, to: Target) -> Activity:
        """The activity behind `to`, which must not be the caller itself."""
        callee = self._core.registry.find(to)
        if callee is caller:
            raise CallToSelf(callee.id)
        return callee

    async def _ask(
        self, caller: Process | None, waiter: Waiter, ref: Ref, put: Callable[[], None], timeout: float
    ) -> Any:
        """Delivers a request by `put`, runs who is runnable, and waits only if that has not brought the answer yet."""
        self._open[ref] = waiter
        if waiter.callee.pending is None:
            waiter.callee.pending = set()
        waiter.callee.pending.add(ref)
        if caller is not None:
            caller.open_calls += 1
            if caller.state is ProcessState.RUNNING:
                caller.state = ProcessState.WAIT_RESPONSE
        try:
            others = self._core.scheduler.run_inline(put, waiter)
            if caller is not None:
                caller.running_time -= others  # they have counted it as theirs
            if not waiter.done:
                await self._wait(waiter, timeout)
        finally:
            self._take(ref)
            if caller is not None:
                caller.open_calls -= 1
                if caller.open_calls == 0 and caller.state is ProcessState.WAIT_RESPONSE:
                    caller.state = ProcessState.RUNNING
        if waiter.error is not None:
            raise waiter.error
        return waiter.answer

    async def _wait(self, waiter: Waiter, timeout: float) -> None:
        loop = self._core.loop
        waiter.future = loop.create_future()
        timer = loop.call_later(timeout, self._expire, waiter, timeout)
        try:
            await waiter.future
        finally:
            timer.cancel()

    def answer(self, ref: Ref, answer: Any) -> None:
        """Gives the caller its answer, or counts it as late."""
        waiter = self._take(ref)
        if waiter is None or waiter.done:
            self.late_responses += 1
        else:
            waiter.finish(answer, None)

    def fail(self, ref: Ref, error: Exception) -> None:
        """Lets the call raise `error` at the caller, or counts it as late."""
        waiter = self._take(ref)
        if waiter is None or waiter.done:
            self.late_responses += 1
            return
        if isinstance(error, StopIteration):
            # it would end the coroutine that awaits the call
            wrapped = RuntimeError("the callee answered with StopIteration")
            wrapped.__cause__ = error
            error = wrapped
        waiter.finish(None, error)

    def forward(
        self, process: Process, to: Target, sender: PID, ref: Ref, request: Any, priority: MessagePriority
    ) -> None:
        """Passes a request that `process` has on to the callee behind `to`, in the name of its caller."""
        callee = self._callee(process, to)
        self._core.delivery.request(sender, callee, to, ref, request, priority)
        self.moved(ref, callee)

    def moved(self, ref: Ref, callee: Activity) -> None:
        """The request was forwarded: from now on it fails if `callee` ends."""
        waiter = self._open.get(ref)
        if waiter is not None:
            if waiter.callee.pending is not None:
                waiter.callee.pending.discard(ref)
            waiter.callee = callee
            if callee.pending is None:
                callee.pending = set()
            callee.pending.add(ref)

    def callee_gone(self, callee: Activity, reason: Exception) -> None:
        """Fails every open call to `callee`, at once."""
        gone = MetaTerminated if isinstance(callee.id, Alias) else ProcessTerminated
        refs, callee.pending = callee.pending, None
        for ref in refs or ():
            waiter = self._open.pop(ref, None)
            if waiter is not None:
                waiter.finish(None, gone(waiter.target, reason))

    def _expire(self, waiter: Waiter, seconds: float) -> None:
        if not waiter.done:
            waiter.finish(None, CallTimeout(waiter.target, seconds))

    def _take(self, ref: Ref) -> Waiter | None:
        waiter = self._open.pop(ref, None)
        if waiter is not None and waiter.callee.pending is not None:
            waiter.callee.pending.discard(ref)
        return waiter
