"""Sends and calls while something is traced: they take the places of the node's delivery and calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...gen import PID, Alias, MessagePriority, Ref, Target
from ...gen.options import check_seconds
from ..mailbox.envelope import Request
from ..mailbox.overflow import message_overflows, request_overflows
from ..messaging.calls import Calls
from ..messaging.delivery import Delivery, checked, split_address
from ..messaging.sent_request import SentRequest
from ..messaging.waiter import Waiter
from ..processes.meta_process import MetaRunner
from .envelopes import TracedMessage, TracedRequest, TracedResponse
from .trace import size_of

if TYPE_CHECKING:
    from ..core import Core
    from ..processes.process import Process
    from ..scheduling.activity import Activity
    from .trace import Handling, Step
    from .tracer import Tracer

_NORMAL = MessagePriority.NORMAL


class TracedDelivery(Delivery):
    """Sends as `Delivery` does, and follows what a traced handler sends, and what is sent to a traced process."""

    __slots__ = ("_core", "_tracer")

    def __init__(self, core: Core, tracer: Tracer) -> None:
        super().__init__(core.registry, core.scheduler, core.publishing)
        self._core = core
        self._tracer = tracer

    def send(self, sender: PID | Alias, to: Target, message: Any, priority: MessagePriority = _NORMAL) -> None:
        handling = self._tracer.handling_of(sender)
        if handling is None and not self._tracer.watched:
            super().send(sender, to, message, priority)
            return
        self._core.require_thread()
        target = self._core.registry.find(to)
        if handling is None:
            followed = self._tracer.arrival(target, "message", sender)
        else:
            followed = self._step(handling, target, sender, to, message)
        if followed is None:
            super().send(sender, to, message, priority)
        else:
            self._put(TracedMessage(sender, message, followed), target, to, priority)

    def _step(
        self, handling: Handling, target: Activity, sender: PID | Alias, to: Target, message: Any
    ) -> Handling | None:
        """Records a send. Returns the handling of the message, None if it is followed no further: a socket sends it."""
        if not isinstance(target, MetaRunner):
            step = handling.step("send", to)
            handling.step_over(step)
            return handling.trace.follow("message", sender, target, handling, step)
        is_datagram = type(message) is target.hooks.datagram
        step = handling.step("reply" if is_datagram and message.id == target.id else "send", to)
        if step is not None:
            step.peer = message.addr if is_datagram else None
            step.size = size_of(message.data if is_datagram else message)
        handling.step_over(step)
        return None

    def _put(self, entry: TracedMessage, target: Activity, to: Target, priority: MessagePriority) -> None:
        """As `Delivery.send`."""
        core, sender = self._core, entry.sender
        if core.publishing.late and priority == _NORMAL:
            core.publishing.catch_up(sender, target)
        entry.to = split_address(target, to)
        if not target.put(entry, checked(priority), target.limit):
            message_overflows(target, to, sender, entry.message, entry, priority)
        elif not target.scheduled:
            core.scheduler.schedule(target)

    def request(
        self, sender: PID, target: Activity, to: Target, ref: Ref, request: Any, priority: MessagePriority
    ) -> None:
        """As `Delivery.request`, for a request that is forwarded, also after the handler of the forwarder."""
        followed = None if isinstance(target, MetaRunner) else self._tracer.calls.get(ref)
        if followed is not None and followed.outcome != "waiting":  # its handler forwards it
            self._tracer.calls.pop(ref)
            followed = followed.trace.follow("request", sender, target, followed)
        if followed is None:
            super().request(sender, target, to, ref, request, priority)
            return
        entry = TracedRequest(sender, ref, request, split_address(target, to), followed)
        if not target.put(entry, checked(priority), target.limit):
            request_overflows(target, to, entry, priority)
        elif not target.scheduled:
            self._core.scheduler.schedule(target)


class TracedCalls:
    """Calls as `Calls` does, and follows the requests of a traced handler, and those to a traced process. All else is
    that of the calls themselves."""

    def __init__(self, core: Core, tracer: Tracer, calls: Calls) -> None:
        vars(self).update(_core=core, _tracer=tracer, _calls=calls)

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["_calls"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._calls, name, value)

    def __len__(self) -> int:
        return len(self._calls)

    def start_request(
        self, caller: Process | None, to: Target, request: Any, timeout: float, priority: MessagePriority
    ) -> Waiter:
        """As `Calls.start_request`."""
        handling = None if caller is None else self._tracer.handling_of(caller.id)
        if handling is None and not self._tracer.watched:
            return self._calls.start_request(caller, to, request, timeout, priority)  # type: ignore[no-any-return]
        core, calls = self._core, self._calls
        timeout = check_seconds("timeout", timeout)
        core.require_thread()
        callee = calls.callee(caller, to)
        ref = core.registry.make_ref()
        sender = core.pid if caller is None else caller.id
        if core.publishing.late and priority == _NORMAL:
            core.publishing.catch_up(sender, callee)
        checked(priority)
        step = None if handling is None else handling.step("call", to)
        entry = self._entry(handling, step, callee, to, sender, ref, request)
        waiter = TracedWaiter(caller, callee, to, ref, entry, priority, True)
        waiter.seconds = timeout
        waiter.follow(self._tracer, handling, step, entry)
        try:
            calls.start_waiting(waiter)
        except BaseException as error:
            waiter.over(error)
            raise
        return waiter

    def send_request(
        self, caller: Process, to: Target, request: Any, label: Any, timeout: float, priority: MessagePriority
    ) -> Ref:
        """As `Calls.send_request`."""
        handling = self._tracer.handling_of(caller.id)
        if handling is None:
            return self._calls.send_request(caller, to, request, label, timeout, priority)  # type: ignore[no-any-return]
        core, calls = self._core, self._calls
        timeout = check_seconds("timeout", timeout)
        core.require_thread()
        caller.require_alive()
        callee = core.registry.find(to)
        ref = core.registry.make_ref()
        if core.publishing.late and priority == _NORMAL:
            core.publishing.catch_up(caller.id, callee)
        step = handling.step("request", to)
        entry = self._entry(handling, step, callee, to, caller.id, ref, request)
        sent = TracedSentRequest(caller, callee, to, ref, label, timeout, calls.deadlines)
        sent.follow(self._tracer, handling, step, entry)
        try:
            return calls.open_request(sent, entry, priority)  # type: ignore[no-any-return]
        except BaseException as error:
            sent.over(error)
            raise

    def _entry(
        self,
        handling: Handling | None,
        step: Step | None,
        callee: Activity,
        to: Target,
        sender: PID,
        ref: Ref,
        request: Any,
    ) -> Request:
        followed: Handling | None = None
        if handling is None:
            followed = self._tracer.arrival(callee, "request", sender)
        elif not isinstance(callee, MetaRunner):
            followed = handling.trace.follow("request", sender, callee, handling, step)
        address = split_address(callee, to) if callee.split else None
        if followed is None:
            return Request(sender, ref, request, address)
        return TracedRequest(sender, ref, request, address, followed)


class TracedWaiter(Waiter):
    """An open call of a traced handler."""

    __slots__ = ("handling", "step", "tracer")

    def follow(self, tracer: Tracer, handling: Handling | None, step: Step | None, entry: Request) -> None:
        """Records the end of the call as that of `step`."""
        self.tracer = tracer
        self.handling = handling
        self.step = step
        if isinstance(entry, TracedRequest):
            tracer.calls[self.ref] = entry.handling

    def finish(self, answer: Any, error: Exception | None) -> None:
        self.over(error)
        super().finish(answer, error)

    def stop(self) -> None:
        self.over(None)
        super().stop()

    def over(self, error: BaseException | None) -> None:
        """Records its end. A second call does nothing."""
        self.tracer.calls.pop(self.ref, None)
        if self.handling is not None:
            self.handling.step_over(self.step, error)


class TracedSentRequest(SentRequest):
    """An open request of a traced handler: its response is traced too."""

    __slots__ = ("handling", "step", "tracer")

    def follow(self, tracer: Tracer, handling: Handling, step: Step | None, entry: Request) -> None:
        """Records the end of the request as that of `step`."""
        self.tracer = tracer
        self.handling: Handling | None = handling
        self.step = step
        handling.trace.open += 1
        if isinstance(entry, TracedRequest):
            tracer.calls[self.ref] = entry.handling
        tracer.keep_on()

    def finish(self, answer: Any, error: Exception | None) -> None:
        handling = self.handling
        if self.done or handling is None or not self.caller.alive:
            super().finish(answer, error)
            return
        followed = handling.trace.follow("response", self.callee.id, self.caller, handling, self.step)
        label = self.label
        self.over(error)
        if followed is None:
            super().finish(answer, error)
        else:
            told = answer if error is None else error
            self.respond(TracedResponse(self.callee.id, self.ref, label, told, followed))

    def close(self) -> None:
        super().close()
        self.over(None)

    def over(self, error: BaseException | None) -> None:
        """Records its end. A second call does nothing."""
        handling, self.handling = self.handling, None
        if handling is not None:
            self.tracer.calls.pop(self.ref, None)
            handling.step_over(self.step, error)
            self.tracer.let_off()
            handling.trace.close_one()
