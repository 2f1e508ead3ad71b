"""Traces of single messages: packet, handlers, sends and calls, reply."""

from __future__ import annotations

import asyncio
from collections import deque
from time import perf_counter
from typing import Any, Self

from ...gen import BadOption, Target
from ...gen.foreign import is_a
from ...gen.options import check_integer, check_number, check_seconds
from ...node import Node
from ...node.node import internals
from ...node.tracing.trace import Recorder, Trace
from ...node.tracing.tracer import tracer_of
from .records import Ended, SummaryRecord, Tally, TraceRecord, address_text, trace_record

MOST_TRACES = 10_000
"""Most traces of one stream."""

MOST_UNREAD = 1000
"""Traces that are open, or whose records nobody has read yet: with more, messages are skipped. Records are mostly 2 KB,
and 50 KB at most."""

MOST_SECONDS = 3600.0
"""The longest stream. One that was forgotten ends, too."""

MOST_RATE = 1000
"""Most traces a second. Each costs some 20 us: this is 2 % of the loop."""


def trace(
    node: Node,
    target: Target | None = None,
    *,
    limit: int = 100,
    seconds: float = 10.0,
    payload: bool = False,
    rate: float = 100.0,
) -> TraceStream:
    """Traces messages, and the messages sent because of them, as `seq_trace` of Erlang/OTP does. The result is an
    asynchronous iterator of `records.TraceRecord`, each as soon as nothing of it waits or runs any more. It ends
    by itself.

    node: the node. Call it on the node's thread.
    target: a UDP server or client, by its alias: the datagrams that it receives. A process, by PID, name or alias: the
        datagrams, messages and requests that it gets. None: the datagrams of all UDP servers and clients.
    limit: traces after which it ends, 1 to 10,000.
    seconds: time after which it ends; an hour at most.
    payload: True: records have the first 64 bytes of the datagram.
    rate: most traces a second, to 1000. Messages beyond are not traced, and counted (`skipped`); so are those that
        come while a thousand records are not read yet.

    Raises `BadOption`; the errors of `Node.send` for a target that does not exist; `NotAllowed` on another thread, or
    for a process with a thread of its own to which a pool, a router or a table of peers gives the messages.
    """
    if not is_a(node, Node):
        raise BadOption("node", node, "give a homing.Node")
    limit = check_integer("limit", limit, 1, MOST_TRACES)
    seconds = check_seconds("seconds", seconds)
    if seconds > MOST_SECONDS:
        raise BadOption("seconds", seconds, f"give {MOST_SECONDS:.0f} seconds at most")
    if type(payload) is not bool:
        raise BadOption("payload", payload, "give True or False")
    rate = check_number("rate", rate, 0.01, MOST_RATE)
    return TraceStream(node, target, limit, seconds, payload, rate)


class TraceStream(Recorder):
    """An iterator over traces; see `trace`. It traces from its creation on. With `async with`, or `close`, it ends
    early.

    name: the target, for the summary; None: all sockets.
    skipped: messages that were not traced: they exceeded the rate, or a thousand records are not read yet.
    ended: why it has ended: "limit", "seconds", "target" (it, or the node, has ended) or "closed". None: it has not.
    """

    def __init__(
        self, node: Node, target: Target | None, limit: int, seconds: float, payload: bool, rate: float
    ) -> None:
        core = internals(node).core
        core.require_thread()
        self.target = None if target is None else core.registry.find(target)
        self.payload = payload
        self.skipped = 0
        self.ended: Ended | None = None
        self._loop = core.loop
        self.name = None if target is None else address_text(target)
        self._limit = limit
        self._rate = rate
        self._tokens = self._burst = max(1.0, rate)
        self._filled_at = perf_counter()
        self._begun = 0
        self._tally = Tally()
        self._open: dict[Trace, None] = {}
        self._ready: deque[TraceRecord] = deque()
        self._changed = asyncio.Event()
        self._tracer = tracer_of(core, node.on_stopped)
        self._tracer.add(self)
        self._timer = core.loop.call_later(seconds, self._end, "seconds")

    # --- iteration ----------------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TraceRecord:
        while not self._ready:
            if self.ended is not None:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._ready.popleft()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends it. Records made so far can still be read."""
        self._end("closed")

    def summary(self) -> SummaryRecord:
        """Returns the summary of all traces so far."""
        return self._tally.summary(self.ended or "closed", self.name, self.skipped)

    # --- as a recorder ------------------------------------------------------------------------------------

    def due(self) -> bool:
        return self._room() > 0

    def passed(self, count: int) -> None:
        self.skipped += count

    def pick(self, count: int) -> list[int]:
        taken = max(0, min(count, self._room()))
        self._tokens -= taken
        self._begun += taken
        self.skipped += count - taken
        if taken and self._begun >= self._limit:
            self._loop.call_soon(self._tracer.remove, self)  # not now, in the middle of the delivery
        return list(range(taken))

    def _room(self) -> int:
        if self.ended is not None:
            return 0
        now = perf_counter()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        return min(int(self._tokens), self._limit - self._begun, MOST_UNREAD - len(self._open) - len(self._ready))

    def trace_begun(self, trace: Trace) -> None:
        self._open[trace] = None

    def trace_ended(self, trace: Trace) -> None:
        if self._open.pop(trace, ...) is None:
            self._add(trace)
        if self._begun >= self._limit and not self._open:
            self._end("limit")

    def target_ended(self) -> None:
        self._loop.call_soon(self._end, "target")  # its last message is not over yet

    def _add(self, trace: Trace) -> None:
        record = trace_record(trace, self._tally.count + 1, perf_counter(), self.payload)
        self._tally.add(record)
        self._ready.append(record)
        self._changed.set()

    def _end(self, why: Any) -> None:
        if self.ended is not None:
            return
        self.ended = why
        self._timer.cancel()
        self._tracer.remove(self)
        while self._open:
            trace, _ = self._open.popitem()
            self._add(trace)
        self._changed.set()
