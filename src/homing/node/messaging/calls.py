"""Calls: requests on their way, and the callers that wait for the answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ...gen import (
    Alias,
    CallToSelf,
    MessagePriority,
    MetaTerminated,
    ProcessTerminated,
    Ref,
    Target,
    TerminateKill,
)
from ...gen.copying import refuse_copy
from ...gen.options import check_seconds
from ..mailbox.envelope import Inspection, Request
from ..scheduling.slices import WAKES
from .delivery import checked, split_address
from .waiter import Waiter

if TYPE_CHECKING:
    from ..core import Core
    from ..processes.process import Process
    from ..scheduling.activity import Activity


class Calls:
    """The open calls of one node, by their reference. Answers without a waiting caller are counted, not kept."""

    __slots__ = ("_core", "_late", "_open", "_registry", "_scheduler", "late_responses")

    __reduce__ = refuse_copy

    def __init__(self, core: Core) -> None:
        self._core = core
        self._registry = core.registry
        self._scheduler = core.scheduler
        self._late = core.publishing.late
        self._open: dict[Ref, Waiter] = {}
        self.late_responses = 0

    def __len__(self) -> int:
        return len(self._open)

    async def inspect(self, caller: Process | None, to: Target, items: tuple[str, ...], timeout: float) -> Any:
        """Returns the result of `handle_inspect` of the activity behind `to`, even if its mailbox is full."""
        timeout = check_seconds("timeout", timeout)
        self._scheduler.require_thread()
        callee = self._callee(caller, to)
        ref = self._registry.make_ref()
        sender = self._core.pid if caller is None else caller.id
        waiter = Waiter(caller, callee, to, ref, Inspection(sender, ref, items), 2, False)
        self._start_waiting(waiter)
        return waiter.take() if waiter.done else await self.wait(waiter, timeout)

    def start_request(
        self, caller: Process | None, to: Target, request: Any, timeout: float, priority: MessagePriority
    ) -> Waiter:
        """Sends a request and runs the runnable activities. Unless the waiter is `done` then, call `wait`."""
        timeout = check_seconds("timeout", timeout)
        self._scheduler.require_thread()
        callee = self._callee(caller, to)
        ref = self._registry.make_ref()
        sender = self._core.pid if caller is None else caller.id
        if self._late and priority == MessagePriority.NORMAL:
            self._core.publishing.catch_up(sender, callee)
        entry = Request(sender, ref, request, split_address(callee, to))
        waiter = Waiter(caller, callee, to, ref, entry, checked(priority), True)
        self._start_waiting(waiter)
        return waiter

    def _start_waiting(self, waiter: Waiter) -> None:
        self._open[waiter.ref] = waiter
        waiter.start()
        try:
            others = self._scheduler.run_inline(waiter)
        except BaseException:
            self._stop_waiting(waiter)
            raise
        if waiter.caller is not None:
            waiter.caller.running_time -= others  # this time has been charged to the others
        if waiter.done:
            self._stop_waiting(waiter)

    async def wait(self, waiter: Waiter, seconds: float) -> Any:
        """Returns the answer to a request that was started. Waits for it for at most `seconds`."""
        try:
            await waiter.wait(self._core.loop, seconds)
        finally:
            self._stop_waiting(waiter)
        return waiter.take()

    def _stop_waiting(self, waiter: Waiter) -> None:
        self._open.pop(waiter.ref, None)
        waiter.stop()

    def _callee(self, caller: Process | None, to: Target) -> Activity:
        """Returns the activity behind `to`. Raises `CallToSelf` if it is the caller itself."""
        callee = self._registry.find(to)
        if callee is caller or (caller is None and callee is self._scheduler.current):  # the latter by `node.call`
            raise CallToSelf(callee.id)
        return callee

    def waits(self, ref: Ref) -> bool:
        """Returns False once no caller waits for the answer any more. True for a caller on another node: not known."""
        waiter = self._open.get(ref)
        return ref.node != self._core.name if waiter is None else not waiter.done

    def answer(self, ref: Ref, answer: Any) -> None:
        """Delivers the answer to the caller, or counts it as late."""
        self._scheduler.require_thread()
        waiter = self._open.pop(ref, None)
        if waiter is None or waiter.done:
            self.late_responses += 1
        else:
            waiter.finish(answer, None)

    def fail(self, ref: Ref, error: Exception) -> None:
        """Raises `error` at the caller, or counts it as late."""
        self._scheduler.require_thread()
        waiter = self._open.pop(ref, None)
        if waiter is None or waiter.done:
            self.late_responses += 1
            return
        if isinstance(error, StopIteration):
            # raised as it is, it would end the coroutine that awaits the call
            wrapped = RuntimeError("the callee answered with StopIteration")
            wrapped.__cause__ = error
            error = wrapped
        waiter.finish(None, error)

    def forward(
        self, process: Process, to: Target, sender: Any, ref: Ref, request: Any, priority: MessagePriority
    ) -> None:
        """Forwards a request of `process` to the callee behind `to`, in the name of its caller."""
        self._scheduler.require_thread()
        callee = self._callee(process, to)
        self.moved(ref, callee)  # first, so that the call fails if the callee ends meanwhile
        try:
            self._core.delivery.request(sender, callee, to, ref, request, priority)
        except BaseException:
            self.moved(ref, process)
            raise

    def moved(self, ref: Ref, callee: Activity) -> None:
        """Makes the call fail if `callee` ends, as the request was forwarded to it."""
        waiter = self._open.get(ref)
        if waiter is not None:
            waiter.move(callee)

    def lost(self, ref: Ref, callee: Activity) -> None:
        """Fails a call whose request came to `callee` after its end."""
        waiter = self._open.pop(ref, None)
        if waiter is not None:
            reason = getattr(callee, "reason", None)
            waiter.finish(None, _gone(callee)(waiter.target, TerminateKill() if reason is None else reason))

    def callee_gone(self, callee: Activity, reason: Exception, spared: Iterable[Ref] | None = None) -> Iterator[object]:
        """Fails every open call to `callee`, step by step, the oldest first; except the calls `spared`, whose requests
        go to a successor."""
        waiters, callee.pending = callee.pending, None
        if waiters and spared is not None:
            callee.pending = {
                waiter: waiters.pop(waiter) for ref in spared if (waiter := self._open.get(ref)) in waiters
            }
        return self._fail_all(callee, waiters, reason) if waiters else iter(())

    def _fail_all(self, callee: Activity, waiters: dict[Waiter, None], reason: Exception) -> Iterator[object]:
        gone = _gone(callee)
        for waiter in tuple(waiters):
            # otherwise the request was forwarded, or has timed out, meanwhile
            if waiter.callee is callee and self._open.pop(waiter.ref, None) is not None:
                waiter.finish(None, gone(waiter.target, reason))
                yield WAKES


def _gone(callee: Activity) -> type[MetaTerminated | ProcessTerminated]:
    """Returns the error class of a call to `callee`, which has ended."""
    return MetaTerminated if isinstance(callee.id, Alias) else ProcessTerminated
