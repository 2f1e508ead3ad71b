"""The record of a traced message: a trace has handlings, and a handling has steps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from functools import partial
from time import perf_counter, time_ns
from typing import TYPE_CHECKING, Any
from weakref import ref

from ...gen import PID, Alias, Target, is_orderly
from ...gen.foreign import class_name, safe_repr
from ..mailbox.envelope import is_coroutine
from ..scheduling.activity import Activity

if TYPE_CHECKING:
    from ..processes.process import Process
    from .tracer import Tracer

MOST_HANDLINGS = 64
"""Messages followed in one trace."""

MOST_DEPTH = 16
"""Messages followed in a chain: two processes may answer each other forever."""

MOST_STEPS = 64
"""Steps recorded of one handling: a handler may send to thousands."""

MOST_STEPS_TOGETHER = 256
"""Steps recorded in one trace, whose record has then some 50 KB."""

MOST_TEXT = 200
"""Characters of the text of an exception: it may hold its arguments."""

PAYLOAD_BYTES = 64
"""Bytes of a payload that are kept, if they were asked for."""

current: ContextVar[Handling | None] = ContextVar("homing traced handling", default=None)
"""The handling whose callback runs."""


class Recorder:
    """Decides which messages are traced, and is notified of what happens to them.

    target: the process or meta-process whose messages are traced; None: the datagrams of all sockets.
    payload: True if the first bytes of the payload are to be kept.
    """

    target: Activity | None = None
    payload = False

    def wants(self, owner: Activity, receiver: Activity | None) -> bool:
        """Returns True for the datagrams of the meta-process `owner` to the process `receiver`."""
        target = self.target
        return target is None or target is owner or target is receiver

    def due(self) -> bool:
        """Returns True if the next message is to be traced."""
        raise NotImplementedError

    def passed(self, count: int) -> None:
        """Called with the number of messages that came, and were not offered to `pick`."""

    def pick(self, count: int) -> list[int]:
        """Returns the indexes of those of the next `count` messages that are to be traced, in order."""
        raise NotImplementedError

    def target_ended(self) -> None:
        """Called when the target, or the node, has ended."""

    def trace_begun(self, trace: Trace) -> None:
        """Called when a trace begins."""

    def handling_begun(self, handling: Handling) -> None:
        """Called when a handler is about to begin; on the thread on which it runs."""

    def entered(self, handling: Handling) -> Any:
        """Called in the context in which the handler runs, before it does. Returns what `left` needs."""

    def left(self, token: Any) -> None:
        """Called in the same context, after `entered`."""

    def handling_ended(self, handling: Handling) -> None:
        """Called when a handler has ended, or a message was lost."""

    def step_begun(self, handling: Handling, step: Step) -> None:
        """Called when a handler sends or calls."""

    def step_ended(self, handling: Handling, step: Step) -> None:
        """Called when that is over: for a call, when the answer is there."""

    def trace_ended(self, trace: Trace) -> None:
        """Called when nothing of a trace waits or runs any more."""


class Step:
    """Something that a handler does while it handles a traced message.

    kind: "reply" (to a datagram), "send", "call", or "request" (of `send_request`).
    to: the address. size: bytes of a datagram, else None. peer: its destination.
    began_at, ended_at: seconds by `perf_counter`. ended_at: None while the answer is awaited.
    error, error_type: the text and the class of the exception, or "".
    notes: what recorders keep here.
    """

    __slots__ = ("began_at", "ended_at", "error", "error_type", "kind", "notes", "peer", "size", "to")

    def __init__(self, kind: str, to: object) -> None:
        self.kind = kind
        self.to = to
        self.size: int | None = None
        self.peer: Any = None
        self.began_at = perf_counter()
        self.ended_at: float | None = None
        self.error = self.error_type = ""
        self.notes: dict[Recorder, Any] = {}


class Handling:
    """One message of a trace: in a mailbox, then in a handler.

    number: 1 for the first of its trace. parent: the handling in which it was sent; None: the message that arrived.
    cause: the step of `parent` by which it was sent, if there is one.
    kind: "packet", "batch" (of datagrams), "message", "request", or "response" (for `handle_response`).
    sender: the address that it comes from. receiver: the process into whose mailbox it was put.
    queued_at, begun_at, ended_at: seconds by `perf_counter`; None: not known, or not yet. (A message that a pool gave
    to a traced worker has no known time of arrival.)
    outcome: "waiting" (in a mailbox), "running", "ok", "stopped" (the process ended in order), "error" (it crashed), or
    "lost": it was never handled. error, error_type: the text and the class of the exception, or "".
    owner, name, behavior: the process that handles it: a pool's worker, say.
    """

    __slots__ = (
        "_holders",
        "_unbegun",
        "begun_at",
        "behavior",
        "cause",
        "depth",
        "ended_at",
        "error",
        "error_type",
        "kind",
        "left_out",
        "name",
        "notes",
        "number",
        "outcome",
        "owner",
        "parent",
        "queued_at",
        "receiver",
        "sender",
        "steps",
        "trace",
    )

    def __init__(
        self, trace: Trace, parent: Handling | None, cause: Step | None, kind: str, sender: object, receiver: Activity
    ) -> None:
        self.trace = trace
        self.parent = parent
        self.cause = cause
        self.kind = kind
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.number = len(trace.handlings) + 1
        self.sender = sender
        self.receiver: PID | Alias = receiver.id
        self.queued_at: float | None = perf_counter()
        self.begun_at: float | None = None
        self.ended_at: float | None = None
        self.outcome = "waiting"
        self.error = self.error_type = ""
        self.owner: PID | Alias | None = None
        self.name: str | None = None
        self.behavior = ""
        self.steps: list[Step] = []
        self.left_out = 0
        self.notes: dict[Recorder, Any] = {}
        self._holders = 0
        self._unbegun: tuple[Coroutine[Any, Any, Any], ref[Any]] | None = None

    # --- the handler --------------------------------------------------------------------------------------

    def run(self, activity: Any, call: Callable[[Any], Any]) -> Any:
        """Runs `call(activity)`, a callback. Returns a coroutine if the callback returned one.

        activity: its process; for a process on a thread of its own, its view there.
        """
        process: Any = activity if isinstance(activity, Activity) else activity.process
        self._begin(process)
        tokens = self._enter()
        try:
            result = call(activity)
        except BaseException as error:
            self._end(process, error)
            raise
        finally:
            self._leave(tokens)
        if not is_coroutine(result):
            self._end(process, None)
            return None
        pending = self._await(process, result)
        self._unbegun = result, ref(pending, partial(self._dropped, process))
        return pending

    def _dropped(self, process: Process, _: object) -> None:
        """Called when the coroutine is no more; it may not have begun, as its process was killed before."""
        unbegun, self._unbegun = self._unbegun, None
        if unbegun is not None:
            unbegun[0].close()
            self._end(process, asyncio.CancelledError())

    async def _await(self, process: Process, pending: Coroutine[Any, Any, Any]) -> Any:
        self._unbegun = None
        tokens = self._enter()
        try:
            result = await pending
        except BaseException as error:
            self._end(process, error)
            raise
        finally:
            self._leave(tokens)
        self._end(process, None)
        return result

    def _begin(self, process: Process) -> None:
        self.begun_at = perf_counter()
        self.outcome = "running"
        self.owner, self.name, self.behavior = process.id, process.name, class_name(process.behavior)
        self.trace.tracer.entered(process, self)
        for recorder in self.trace.recorders:
            self.trace.tracer.tell(recorder.handling_begun, self)

    def _enter(self) -> list[Any]:
        token = current.set(self)
        tell = self.trace.tracer.tell
        return [token, *(tell(recorder.entered, self) for recorder in self.trace.recorders)]

    def _leave(self, tokens: list[Any]) -> None:
        for recorder, token in zip(reversed(self.trace.recorders), reversed(tokens), strict=False):
            self.trace.tracer.tell(recorder.left, token)
        try:
            current.reset(tokens[0])
        except ValueError:
            pass  # the coroutine was closed elsewhere, with its task

    def _end(self, process: Process, error: BaseException | None) -> None:
        if error is None:
            self.outcome = "ok"
        else:
            self.outcome = "stopped" if isinstance(error, Exception) and is_orderly(error) else "error"
            self.error, self.error_type = error_text(error), class_name(error)
        self._over()
        self.trace.tracer.left(process, self)

    def hold(self) -> Handling:
        """Called by each entry that carries it. Returns itself."""
        self._holders += 1
        return self

    def let_go(self) -> None:
        """Called when such an entry is no more. Without any it was lost, unless it was handled."""
        self._holders -= 1
        if self._holders == 0 and self.outcome == "waiting":
            self.outcome = "lost"
            self._over()
            self.trace.tracer.lost(self)

    def _over(self) -> None:
        self.ended_at = perf_counter()
        for recorder in self.trace.recorders:
            self.trace.tracer.tell(recorder.handling_ended, self)

    # --- what it does -------------------------------------------------------------------------------------

    def step(self, kind: str, to: object) -> Step | None:
        """Records the beginning of a step. Returns None if it has too many."""
        if len(self.steps) >= MOST_STEPS or self.trace.steps >= MOST_STEPS_TOGETHER:
            self.left_out += 1
            return None
        self.trace.steps += 1
        step = Step(kind, to)
        self.steps.append(step)
        for recorder in self.trace.recorders:
            self.trace.tracer.tell(recorder.step_begun, self, step)
        return step

    def step_over(self, step: Step | None, error: BaseException | None = None) -> None:
        """Records the end of a step."""
        if step is None or step.ended_at is not None:
            return
        step.ended_at = perf_counter()
        if error is not None:
            step.error, step.error_type = error_text(error), class_name(error)
        for recorder in self.trace.recorders:
            self.trace.tracer.tell(recorder.step_ended, self, step)


class Trace:
    """One message that arrived, and all messages sent because of it, as far as they are followed.

    recorders: who gets to know of it.
    kind: that of the first handling. source: the address that the message came from: of the UDP server, or the sender.
    arrived: by `perf_counter`; wall: nanoseconds since 1970.
    socket: the local address of the server's socket, as a tuple; None: not from a server's socket.
    peer: the peer's address, as a tuple. size: bytes. payload: the first bytes, if they were asked for.
    count: number of datagrams, for a batch.
    left_out: messages not followed, as they were too many. steps: how many steps its handlings have together.
    open: how many of its handlings, and requests without a response, are not over.
    """

    __slots__ = (
        "arrived",
        "count",
        "handlings",
        "kind",
        "left_out",
        "open",
        "payload",
        "peer",
        "recorders",
        "size",
        "socket",
        "source",
        "steps",
        "tracer",
        "wall",
    )

    def __init__(self, tracer: Tracer, recorders: tuple[Recorder, ...], kind: str, source: Target) -> None:
        self.tracer = tracer
        self.recorders = recorders
        self.kind = kind
        self.source = source
        self.arrived = perf_counter()
        self.wall = time_ns()
        self.socket: Any = None
        self.peer: Any = None
        self.size: int | None = None
        self.payload: bytes | None = None
        self.count = 1
        self.handlings: list[Handling] = []
        self.left_out = 0
        self.steps = 0
        self.open = 0

    def follow(
        self, kind: str, sender: object, receiver: Activity, parent: Handling | None = None, cause: Step | None = None
    ) -> Handling | None:
        """Returns the handling of a further message, None if the trace has too many."""
        if self.handlings and not self.open:
            return None  # its record was made
        if len(self.handlings) >= MOST_HANDLINGS or (parent is not None and parent.depth + 1 >= MOST_DEPTH):
            self.left_out += 1
            return None
        handling = Handling(self, parent, cause, kind, sender, receiver)
        self.handlings.append(handling)
        self.open += 1
        return handling

    def close_one(self) -> None:
        """Notes that one of `open` is over."""
        self.open -= 1
        if self.open == 0:
            for recorder in self.recorders:
                self.tracer.tell(recorder.trace_ended, self)

    def describe(self, datagram: Any) -> None:
        """Records the facts about a datagram that was received."""
        self.peer = datagram.addr
        self.size = size_of(datagram.data)
        if self.size is not None and any(recorder.payload for recorder in self.recorders):
            self.payload = bytes(datagram.data[:PAYLOAD_BYTES])


def size_of(data: object) -> int | None:
    """Returns the number of bytes; None if that is no payload, or its buffer was released."""
    try:
        return len(data) if isinstance(data, (bytes, bytearray, memoryview)) else None
    except ValueError:
        return None


def error_text(error: BaseException) -> str:
    """Returns a short text for an exception."""
    return safe_repr(error, MOST_TEXT)
