"""Calls: requests on their way and the callers that wait for the answer."""

from __future__ import annotations

import asyncio
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


class _Waiter:
    __slots__ = ("callee", "future", "target")

    def __init__(self, future: asyncio.Future[Any], callee: Activity, target: object) -> None:
        self.future = future
        self.callee = callee
        self.target = target


class Calls:
    """The open calls of one node, by their reference. Answers that nobody waits for any more are counted, not kept."""

    __slots__ = ("_core", "_open", "late_responses")

    def __init__(self, core: Core) -> None:
        self._core = core
        self._open: dict[Ref, _Waiter] = {}
        self.late_responses = 0

    def __len__(self) -> int:
        return len(self._open)

    async def call(
        self, caller: Process | None, to: Target, request: Any, timeout: float, priority: MessagePriority
    ) -> Any:
        """Sends a request and waits for its answer. `caller` None: from outside of all processes."""
        check_seconds("timeout", timeout)
        callee = self._core.registry.find(to)
        if callee is caller:
            raise CallToSelf(callee.id)
        ref = self._core.registry.make_ref()
        sender = self._core.pid if caller is None else caller.sender
        self._core.delivery.request(sender, callee, to, ref, request, priority)
        if caller is not None:
            caller.messages_out += 1
        return await self._wait(caller, callee, to, ref, timeout)

    async def inspect(self, caller: Process | None, to: Target, items: tuple[str, ...], timeout: float) -> Any:
        """Asks the activity behind `to` what its `handle_inspect` tells. Passes a full mailbox."""
        check_seconds("timeout", timeout)
        callee = self._core.registry.find(to)
        if callee is caller:
            raise CallToSelf(callee.id)
        ref = self._core.registry.make_ref()
        sender = self._core.pid if caller is None else caller.sender
        callee.put_runtime(Inspection(sender, ref, items), 2)
        return await self._wait(caller, callee, to, ref, timeout)

    async def _wait(self, caller: Process | None, callee: Activity, to: object, ref: Ref, timeout: float) -> Any:
        loop = self._core.loop
        future: asyncio.Future[Any] = loop.create_future()
        self._open[ref] = _Waiter(future, callee, to)
        if callee.pending is None:
            callee.pending = set()
        callee.pending.add(ref)
        timer = loop.call_later(timeout, self._expire, ref, timeout)
        if caller is not None:
            caller.open_calls += 1
            if caller.state is ProcessState.RUNNING:
                caller.state = ProcessState.WAIT_RESPONSE
        try:
            return await future
        finally:
            timer.cancel()
            self._take(ref)
            if caller is not None:
                caller.open_calls -= 1
                if caller.open_calls == 0 and caller.state is ProcessState.WAIT_RESPONSE:
                    caller.state = ProcessState.RUNNING

    def answer(self, ref: Ref, answer: Any) -> None:
        """Gives the caller its answer, or counts it as late."""
        waiter = self._take(ref)
        if waiter is None or waiter.future.done():
            self.late_responses += 1
        else:
            waiter.future.set_result(answer)

    def fail(self, ref: Ref, error: Exception) -> None:
        """Lets the call raise `error` at the caller, or counts it as late."""
        waiter = self._take(ref)
        if waiter is None or waiter.future.done():
            self.late_responses += 1
        elif isinstance(error, StopIteration):
            # a future refuses StopIteration: it would end the coroutine that awaits it
            wrapped = RuntimeError("the callee answered with StopIteration")
            wrapped.__cause__ = error
            waiter.future.set_exception(wrapped)
        else:
            waiter.future.set_exception(error)

    def forward(
        self, process: Process, to: Target, sender: PID, ref: Ref, request: Any, priority: MessagePriority
    ) -> None:
        """Passes a request that `process` has on to the callee behind `to`, in the name of its caller."""
        callee = self._core.registry.find(to)
        if callee is process:
            raise CallToSelf(callee.id)
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
            if waiter is not None and not waiter.future.done():
                waiter.future.set_exception(gone(waiter.target, reason))

    def _expire(self, ref: Ref, seconds: float) -> None:
        waiter = self._take(ref)
        if waiter is not None and not waiter.future.done():
            waiter.future.set_exception(CallTimeout(waiter.target, seconds))

    def _take(self, ref: Ref) -> _Waiter | None:
        waiter = self._open.pop(ref, None)
        if waiter is not None and waiter.callee.pending is not None:
            waiter.callee.pending.discard(ref)
        return waiter
