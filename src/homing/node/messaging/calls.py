"""Calls: requests on their way, and the callers that wait for the answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ...gen import (
    Alias,
    CallToSelf,
    MessagePriority,
    MetaTerminated,
    ProcessState,
    ProcessTerminated,
    Ref,
    Target,
    TerminateKill,
    TooManyRequests,
)
from ...gen.copying import refuse_copy
from ...gen.options import check_seconds
from ..mailbox.envelope import Inspection, Request
from ..mailbox.overflow import request_overflows
from ..scheduling.slices import WAKES
from .delivery import checked, split_address
from .pressure import hold_back_from
from .sent_request import Deadlines, SentRequest
from .waiter import Waiter

if TYPE_CHECKING:
    from ..core import Core
    from ..processes.process import Process
    from ..scheduling.activity import Activity


_ZOMBIE, _TERMINATED = ProcessState.ZOMBIE, ProcessState.TERMINATED


class Calls:
    """The open calls of one node, by their reference. Answers without a waiting caller are counted, not kept."""

    __slots__ = ("_core", "_late", "_open", "_registry", "_scheduler", "deadlines", "late_responses")

    __reduce__ = refuse_copy

    def __init__(self, core: Core) -> None:
        self._core = core
        self._registry = core.registry
        self._scheduler = core.scheduler
        self._late = core.publishing.late
        self._open: dict[Ref, Waiter] = {}
        self.deadlines = Deadlines(core, self._open)
        self.late_responses = 0

    def __len__(self) -> int:
        return len(self._open)

    async def inspect(self, caller: Process | None, to: Target, items: tuple[str, ...], timeout: float) -> Any:
        """Returns the result of `handle_inspect` of the activity behind `to`, even if its mailbox is full."""
        timeout = check_seconds("timeout", timeout)
        self._scheduler.require_thread()
        callee = self.callee(caller, to)
        ref = self._registry.make_ref()
        sender = self._core.pid if caller is None else caller.id
        waiter = Waiter(caller, callee, to, ref, Inspection(sender, ref, items), 2, False)
        waiter.seconds = timeout
        self.start_waiting(waiter)
        return waiter.take() if waiter.done else await self.wait(waiter)

    def start_request(
        self, caller: Process | None, to: Target, request: Any, timeout: float, priority: MessagePriority
    ) -> Waiter:
        """Sends a request and runs the runnable activities. Unless the waiter is `done` then, call `wait`."""
        timeout = check_seconds("timeout", timeout)
        self._scheduler.require_thread()
        callee = self.callee(caller, to)
        ref = self._registry.make_ref()
        sender = self._core.pid if caller is None else caller.id
        if self._late and priority == MessagePriority.NORMAL:
            self._core.publishing.catch_up(sender, callee)
        entry = Request(sender, ref, request, split_address(callee, to))
        waiter = Waiter(caller, callee, to, ref, entry, checked(priority), True)
        waiter.seconds = timeout
        self.start_waiting(waiter)
        return waiter

    def send_request(
        self, caller: Process, to: Target, request: Any, label: Any, timeout: float, priority: MessagePriority
    ) -> Ref:
        """Sends a request whose response comes as an entry of the caller's mailbox. Returns its reference."""
        timeout = check_seconds("timeout", timeout)
        self._scheduler.require_thread()
        if caller.state is _ZOMBIE or caller.state is _TERMINATED:
            caller.require_alive()
        callee = self._registry.find(to)
        ref = self._registry.make_ref()
        entry = Request(caller.id, ref, request, split_address(callee, to) if callee.split else None)
        if self._late and priority == MessagePriority.NORMAL:
            self._core.publishing.catch_up(caller.id, callee)
        return self.open_request(SentRequest(caller, callee, to, ref, label, timeout, self.deadlines), entry, priority)

    def open_request(self, sent: SentRequest, entry: Request, priority: MessagePriority) -> Ref:
        """Puts `entry`, the request of `sent`, into the callee's mailbox. Returns its reference."""
        caller, callee, to, ref = sent.caller, sent.callee, sent.target, sent.ref
        fresh: dict[Ref, SentRequest] = {}
        requests = caller.requests
        if requests is None:  # read after the allocations, which may have run a finalizer that sends a request too
            requests = caller.requests = fresh
        most = caller.options.max_requests
        if len(requests) >= most:
            raise TooManyRequests(most)
        try:
            requests[ref] = sent
            self._open[ref] = sent
            sent.open()
            if not callee.put(entry, checked(priority), callee.limit):
                request_overflows(callee, to, entry, priority)
            elif not callee.scheduled:
                self._scheduler.schedule(callee)
        except BaseException:
            self.cancel_request(caller, ref)
            raise
        caller.messages_out += 1
        if caller.fed:
            hold_back_from(caller, to)
        return ref

    def cancel_request(self, caller: Process, ref: Ref) -> bool:
        """Makes the response to a request of `caller` not come, also if it is queued. Returns False if it has come."""
        sent = None if caller.requests is None else caller.requests.pop(ref, None)
        if sent is None:
            return False
        self._close(sent)
        return True

    def cancel_requests(self, caller: Process) -> Iterator[object]:
        """Cancels all requests of `caller`, which ends, step by step."""
        while caller.requests:
            try:
                _, sent = caller.requests.popitem()
            except KeyError:  # a thread of its own has taken the last one meanwhile
                return
            self._close(sent)
            yield None

    def _close(self, sent: SentRequest) -> None:
        self._open.pop(sent.ref, None)
        if not sent.done:
            sent.close()

    def start_waiting(self, waiter: Waiter) -> None:
        """Delivers the request of `waiter`, and runs the runnable activities. Unless it is `done` then, call `wait`."""
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

    async def wait(self, waiter: Waiter) -> Any:
        """Returns the answer to a request that was started. Waits for it for at most its `seconds`."""
        try:
            await waiter.wait(self._core.loop, self.deadlines)
        finally:
            self._stop_waiting(waiter)
            waiter.forget()
        return waiter.take()

    def _stop_waiting(self, waiter: Waiter) -> None:
        self._open.pop(waiter.ref, None)
        waiter.stop()

    def callee(self, caller: Process | None, to: Target) -> Activity:
        """Returns the activity behind `to`. Raises `CallToSelf` if it is the caller itself."""
        callee = self._registry.find(to)
        if callee is caller or (caller is None and callee is self._scheduler.current):  # the latter by `node.call`
            raise CallToSelf(callee.id)
        return callee

    def stop(self) -> None:
        """Cancels the timer of the requests, when the node has stopped."""
        self.deadlines.stop()

    def waits(self, ref: Ref) -> bool:
        """Returns False once no caller waits for the answer any more. True for a caller on another node: not known."""
        waiter = self._open.get(ref)
        return ref.node != self._core.name if waiter is None else not waiter.done

    def answer(self, ref: Ref, answer: Any) -> None:
        """Delivers the answer to the caller, or counts it as late."""
        self._scheduler.require_thread()
        waiter = self._open.pop(ref, None)
        if waiter is not None and not waiter.done:
            waiter.finish(answer, None)
        elif waiter is not None or not self._answer_elsewhere(ref, answer, None):
            self.late_responses += 1

    def fail(self, ref: Ref, error: Exception) -> None:
        """Raises `error` at the caller, or counts it as late."""
        self._scheduler.require_thread()
        waiter = self._open.pop(ref, None)
        if waiter is None or waiter.done:
            if waiter is not None or not self._answer_elsewhere(ref, None, error):
                self.late_responses += 1
            return
        if isinstance(error, StopIteration):
            # raised as it is, it would end the coroutine that awaits the call
            wrapped = RuntimeError("the callee answered with StopIteration")
            wrapped.__cause__ = error
            error = wrapped
        waiter.finish(None, error)

    def _answer_elsewhere(self, ref: Ref, answer: Any, error: Exception | None) -> bool:
        """Sends the answer or error to a caller of another node. Returns False if there can be none."""
        elsewhere = self._registry.elsewhere
        if elsewhere is None or ref.node == self._core.name:
            return False
        return elsewhere.answer(ref, answer) if error is None else elsewhere.fail(ref, error)

    def open(self, ref: Ref) -> Waiter | None:
        """Returns the open call with that reference, None if there is none."""
        return self._open.get(ref)

    def adopt(self, waiter: Waiter) -> None:
        """Makes a call of another node an open call of this one: an answer goes to `waiter`."""
        self._open[waiter.ref] = waiter

    def drop(self, ref: Ref) -> Waiter | None:
        """Removes and returns an open call, whose answer from then on is late; None if there is none."""
        return self._open.pop(ref, None)

    def forward(
        self, process: Process, to: Target, sender: Any, ref: Ref, request: Any, priority: MessagePriority
    ) -> None:
        """Forwards a request of `process` to the callee behind `to`, in the name of its caller."""
        self._scheduler.require_thread()
        callee = self.callee(process, to)
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
