"""The tracer of a node: what is traced at present, and the switches for that."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any

from ...gen import PID, Alias, NodeTerminated, NotAllowed, ProcessOptions, Ref
from ...gen.foreign import safe_repr
from ..mailbox.envelope import is_coroutine
from ..messaging.calls import Calls
from ..messaging.delivery import Delivery
from ..messaging.flow import Inlet
from ..processes.meta_process import MetaRunner
from .arrivals import TracedInlet
from .sending import TracedCalls, TracedDelivery
from .trace import Handling, Recorder, Trace, current

if TYPE_CHECKING:
    from ..core import Core
    from ..processes.process import Process
    from ..scheduling.activity import Activity

_NOWHERE: dict[object, Any] = {}
"""The routes of a process while it handles a traced message: so its sends take the long way, by `Core.delivery`."""


class Tracer:
    """Traces for the recorders that were added.

    While there are recorders, sockets deliver through `TracedInlet`. While a traced message is handled, or a process is
    watched, `TracedDelivery` and `TracedCalls` take the places of the node's own.

    watched: the processes that are the targets of recorders, by their addresses, and the recorders.
    calls: the handlings of the requests that are open, by their refs: such a request may be forwarded.
    """

    def __init__(self, core: Core) -> None:
        self.core = core
        self.recorders: list[Recorder] = []
        self.watched: dict[PID | Alias, list[Recorder]] = {}
        self.calls: dict[Ref, Handling] = {}
        self._plain: tuple[Delivery, Calls] = (core.delivery, core.calls)
        self._traced: tuple[Any, Any] = (TracedDelivery(core, self), TracedCalls(core, self, core.calls))
        self._on = 0
        self._busy: dict[PID | Alias, int] = {}
        self._threaded: dict[object, Handling] = {}
        self._taps: dict[PID | Alias, Callable[[], None]] = {}
        self._ending: set[PID | Alias] = set()

    # --- recorders ----------------------------------------------------------------------------------------

    def add(self, recorder: Recorder) -> None:
        """Traces for `recorder` from now on, until `remove`. Raises `NotAllowed` if its target cannot be traced."""
        target = recorder.target
        if target is not None and not isinstance(target, MetaRunner):
            self._watch(target, recorder)
        self.recorders.append(recorder)
        if target is not None and target.id not in self._ending:  # one callback, as a target outlives many recorders
            self._ending.add(target.id)
            target.when_ended(partial(self._target_ended, target))
        if len(self.recorders) == 1:
            self._divert(TracedInlet)

    def remove(self, recorder: Recorder) -> None:
        """Begins no more traces for `recorder`. Traces that have begun continue."""
        if recorder not in self.recorders:
            return
        self.recorders.remove(recorder)
        if recorder.target is not None and recorder.target.id in self.watched:
            self._unwatch(recorder.target, recorder)
        if not self.recorders:
            self._divert(Inlet)

    def stop(self) -> None:
        """Tells the recorders that the node has stopped."""
        for recorder in tuple(self.recorders):
            recorder.target_ended()

    def _target_ended(self, target: Activity) -> None:
        self._ending.discard(target.id)
        for recorder in tuple(self.recorders):
            if recorder.target is target:
                recorder.target_ended()

    def _divert(self, kind: type[Inlet]) -> None:
        self.core.inlet_kind = kind
        for meta in tuple(self.core.metas.values()):
            meta.hooks.divert(kind)

    def recorders_of(self, owner: Activity, receiver: Activity | None) -> list[Recorder]:
        """Returns the recorders that want datagrams of the meta-process `owner` for `receiver`."""
        return [one for one in self.recorders if one.wants(owner, receiver)]

    def begin(self, kind: str, source: PID | Alias, receiver: Activity, recorders: tuple[Recorder, ...]) -> Handling:
        """Begins a trace. Returns its first handling."""
        trace = Trace(self, recorders, kind, source)
        for recorder in recorders:
            self.tell(recorder.trace_begun, trace)
        handling = trace.follow(kind, source, receiver)
        assert handling is not None  # noqa: S101 - it is the first
        return handling

    def arrival(self, target: Activity, kind: str, sender: PID | Alias) -> Handling | None:
        """Returns the handling of a message or request to `target`, if a trace is to begin with it."""
        recorders = tuple(one for one in self.watched.get(target.id, ()) if one.pick(1))
        return self.begin(kind, sender, target, recorders) if recorders else None

    def tell(self, hook: Callable[..., Any], *args: Any) -> Any:
        """Returns `hook(*args)`, of a recorder. Logs its exception and returns None: a trace must not end a process."""
        try:
            return hook(*args)
        except Exception as error:
            self.core.log_failure(self.core.log, "fault in a trace: %s", safe_repr(error), fault=error)
            return None

    # --- watched processes --------------------------------------------------------------------------------

    def _watch(self, process: Any, recorder: Recorder) -> None:
        recorders = self.watched.get(process.id)
        if recorders is not None:
            recorders.append(recorder)
            return
        parent = self.core.registry.routes.get(process.parent)
        if parent is not None and parent.forwards:
            self._tap(process)
        else:
            process.main_lane()
            process.guarded = True  # all senders take the long way, by `TracedDelivery`
        self.watched[process.id] = [recorder]
        self.keep_on()

    def _unwatch(self, process: Any, recorder: Recorder) -> None:
        recorders = self.watched[process.id]
        recorders.remove(recorder)
        if recorders:
            return
        del self.watched[process.id]
        self.let_off()
        untap = self._taps.pop(process.id, None)
        if untap is not None:
            untap()
        elif process.alive:
            process.guarded = process.split or process.limit > 0

    def _tap(self, process: Any) -> None:
        """Traces the messages of a process at their handler, as a pool or the like puts them into its mailbox."""
        options: ProcessOptions = process.options
        if options.thread:
            raise NotAllowed(
                f"{process.title} has a thread of its own and gets its messages from {process.parent}: trace that"
            )
        inner = process.handler

        def handler(sender: Any, message: Any) -> Any:
            handle = process.behavior.handle_message if inner is None else inner
            handling = current.get()
            if handling is not None and handling.owner == process.id:
                return handle(sender, message)
            recorders = tuple(one for one in self.watched.get(process.id, ()) if one.pick(1))
            if not recorders:
                return handle(sender, message)
            source = self.core.metas.get(sender)
            is_datagram = source is not None and type(message) is source.hooks.datagram
            handling = self.begin("packet" if is_datagram else "message", sender, process, recorders)
            handling.queued_at = None
            if is_datagram:
                handling.trace.describe(message)
            return handling.run(process, lambda _: _only_coroutine(handle(sender, message)))

        def untap() -> None:
            if process.handler is handler:
                process.handler = inner

        process.handler = handler
        self._taps[process.id] = untap

    # --- handlings ----------------------------------------------------------------------------------------

    def handling_of(self, sender: PID | Alias) -> Handling | None:
        """Returns the handling in which `sender` sends."""
        handling = current.get()
        if handling is not None and handling.owner == sender and handling.ended_at is None:
            return handling
        return self._threaded.get(sender) if self._threaded else None

    def entered(self, process: Process, handling: Handling) -> None:
        """Called when `process` begins to handle a traced message, on the thread on which it does."""
        if get_ident() == self.core.thread:
            self._enter(process)
        else:
            self.core.from_thread(self._enter_threaded, process, handling)

    def left(self, process: Process, handling: Handling) -> None:
        """Called when `process` has handled a traced message, on the thread on which it has."""
        if get_ident() == self.core.thread:
            self._leave(process)
            handling.trace.close_one()
        else:
            self.core.from_thread(self._leave_threaded, process, handling)

    def lost(self, handling: Handling) -> None:
        """Called when a traced message was dropped, on whatever thread."""
        if get_ident() == self.core.thread:
            handling.trace.close_one()
        else:
            try:
                self.core.from_thread(handling.trace.close_one)
            except NodeTerminated:
                pass  # nobody waits for the trace any more

    def _enter_threaded(self, process: Process, handling: Handling) -> None:
        self._enter(process)
        self._threaded[process.id] = handling

    def _leave_threaded(self, process: Process, handling: Handling) -> None:
        self._threaded.pop(process.id, None)
        self._leave(process)
        handling.trace.close_one()

    def _enter(self, process: Process) -> None:
        self.keep_on()
        self._busy[process.id] = self._busy.get(process.id, 0) + 1
        process.routes = _NOWHERE
        process.last_target = None

    def _leave(self, process: Process) -> None:
        count = self._busy.pop(process.id, 1) - 1
        if count:
            self._busy[process.id] = count
        elif process.id not in self.core.publishing.late:  # otherwise the end of its publication does it
            process.routes = self.core.registry.routes
        self.let_off()

    def keep_on(self) -> None:
        """Lets the traced delivery and calls take the places of the node's own, until as many calls of `let_off`."""
        self._on += 1
        if self._on == 1:
            self.core.delivery, self.core.calls = self._traced

    def let_off(self) -> None:
        """See `keep_on`."""
        self._on -= 1
        if self._on == 0:
            self.core.delivery, self.core.calls = self._plain


def _only_coroutine(result: Any) -> Any:
    return result if is_coroutine(result) else None


def tracer_of(core: Core, on_stopped: Callable[[Callable[[], None]], None]) -> Tracer:
    """Returns the tracer of a node, made when it is first asked for. on_stopped: the node's method of that name."""
    tracer = core.tracer or Tracer(core)
    if core.tracer is None:  # read again, as making one may have run a finalizer that has made one
        core.tracer = tracer
        on_stopped(tracer.stop)
    return core.tracer
