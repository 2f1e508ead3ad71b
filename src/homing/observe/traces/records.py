"""The records of traces, and how they are made: the items of a trace stream.

Times are seconds, sizes bytes, addresses texts. `at` is in seconds since 1970; `after` is the time since the message
arrived.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, TypedDict

from ...datagram import format_address
from ...gen.foreign import safe_str
from ...node.tracing.trace import Handling, Step, Trace

_MOST_TEXT = 256
"""Most characters of an address: names are longer only on purpose."""


class StepRecord(TypedDict):
    """Something that a handler did.

    kind: "reply" (a datagram to the peer), "send", "call", or "request" (by `send_request`).
    to: where to: a process, or the peer of a datagram. after: when.
    seconds: until the answer of a call or request was there; null if it is awaited, or there is none.
    size: of a datagram, else null.
    error: exception of the call, "" if there was none.
    """

    kind: Literal["reply", "send", "call", "request"]
    to: str
    after: float
    seconds: float | None
    size: int | None
    error: str


class HandlingRecord(TypedDict):
    """One message of a trace, and its handler.

    number: 1 for the message that arrived.
    parent, step: the handling in which the message was sent, and the step, counted from 1; 0: none, or one left out.
    kind: "packet", "batch" (of datagrams, for `handle_datagrams`), "message", "request", or "response".
    receiver: process into whose mailbox it was put. process, name, behavior: the process that handled it; another one
        than `receiver` if that is a pool, a router or a table of peers. "" and null: none has.
    after: when its handler began; null: it has not.
    queue: time between its arrival in the mailbox and the begin of its handler; null: not known.
    handling: time from the begin of the handler to its end, with everything that it awaited; null: it has not ended.
    outcome: "ok"; "error": the process crashed; "stopped": it ended in order; "waiting" or "running" at the end of the
        trace; "lost": the message was dropped, or left the trace (to several routes of a router, to dead letters).
    error: text of the exception, "" if there was none.
    steps, steps_left_out: what the handler did, in order; how many more things it did.
    """

    number: int
    parent: int
    step: int
    kind: Literal["packet", "batch", "message", "request", "response"]
    receiver: str
    process: str
    name: str | None
    behavior: str
    after: float | None
    queue: float | None
    handling: float | None
    outcome: Literal["ok", "error", "stopped", "waiting", "running", "lost"]
    error: str
    steps: list[StepRecord]
    steps_left_out: int


class TraceRecord(TypedDict):
    """One traced message, with all messages that were sent because of it.

    item: "trace". number: 1 for the first of the stream.
    kind: as that of the first handling. at: when it arrived.
    socket: local address of the server that received it; null: no server's socket.
    source: the peer of a datagram, otherwise the address of the sender. null for a batch.
    size: of the datagram, or of all in the batch; null: no datagram. count: datagrams in it.
    payload: first 64 bytes, in hexadecimal digits; null unless it was asked for.
    seconds: until nothing of it waited or ran any more; at the end of the stream, so far.
    complete: false if something of it still waited or ran at the end of the stream.
    handlings, left_out: messages that were followed; number of those that were not, as they were too many.
    """

    item: Literal["trace"]
    number: int
    kind: Literal["packet", "batch", "message", "request"]
    at: float
    socket: str | None
    source: str | None
    size: int | None
    count: int
    payload: str | None
    seconds: float
    complete: bool
    handlings: list[HandlingRecord]
    left_out: int


Ended: TypeAlias = Literal["limit", "seconds", "target", "closed"]


class SummaryRecord(TypedDict):
    """The last item of a stream of traces.

    item: "summary".
    ended: why the stream has ended: "limit", "seconds", "target" (it, or the node, has ended) or "closed".
    target: what was traced; null: all sockets.
    count: traces. incomplete, errors, lost: traces not complete; with a crash; with a lost message.
    skipped: messages that came meanwhile and were not traced, as they exceeded `rate`, or too many
        records were not read yet.
    queue_p50, queue_p99, handling_p50, handling_p99: percentiles of the queue and handling time of the first handlings;
        null if there were none.
    Of several nodes together (`homing run --processes`): also `missing`, why the traces of a node are not complete, by
    its name.
    """

    item: Literal["summary"]
    ended: Ended
    target: str | None
    count: int
    incomplete: int
    errors: int
    lost: int
    skipped: int
    queue_p50: float | None
    queue_p99: float | None
    handling_p50: float | None
    handling_p99: float | None


class Tally:
    """Adds up traces for their summary. count: how many."""

    def __init__(self) -> None:
        self.count = 0
        self._incomplete = self._errors = self._lost = 0
        self._queue: list[float] = []
        self._handling: list[float] = []

    def add(self, record: Mapping[str, Any]) -> None:
        """Adds a `TraceRecord`."""
        self.count += 1
        first, outcomes = record["handlings"][0], [handling["outcome"] for handling in record["handlings"]]
        self._incomplete += not record["complete"]
        self._errors += "error" in outcomes
        self._lost += "lost" in outcomes
        for times, value in ((self._queue, first["queue"]), (self._handling, first["handling"])):
            if value is not None:
                times.append(value)

    def summary(self, ended: Ended, target: str | None, skipped: int) -> SummaryRecord:
        """Returns the summary."""
        queue, handling = sorted(self._queue), sorted(self._handling)
        return SummaryRecord(
            item="summary",
            ended=ended,
            target=target,
            count=self.count,
            incomplete=self._incomplete,
            errors=self._errors,
            lost=self._lost,
            skipped=skipped,
            queue_p50=percentile(queue, 0.5),
            queue_p99=percentile(queue, 0.99),
            handling_p50=percentile(handling, 0.5),
            handling_p99=percentile(handling, 0.99),
        )


def trace_record(trace: Trace, number: int, now: float, payload: bool) -> TraceRecord:
    """Returns the record of a trace. now: by `perf_counter`."""
    ends = [handling.ended_at for handling in trace.handlings]
    ended = [end for end in ends if end is not None]
    complete = trace.open == 0
    return TraceRecord(
        item="trace",
        number=number,
        kind=_word(trace.kind),
        at=trace.wall / 1e9,
        socket=None if trace.socket is None else address_text(trace.socket),
        source=_source(trace),
        size=trace.size,
        count=trace.count,
        payload=trace.payload.hex() if payload and trace.payload is not None else None,
        seconds=(max(ended) if complete and ended else now) - trace.arrived,
        complete=complete,
        handlings=[_handling(trace, handling) for handling in trace.handlings],
        left_out=trace.left_out,
    )


def _word(text: str) -> Any:
    """Returns `text`, one of the words that a record may have."""
    return text


def _source(trace: Trace) -> str | None:
    if trace.kind == "batch":
        return None
    return address_text(trace.source if trace.peer is None else trace.peer)


def _handling(trace: Trace, handling: Handling) -> HandlingRecord:
    queued, begun, ended = handling.queued_at, handling.begun_at, handling.ended_at
    return HandlingRecord(
        number=handling.number,
        parent=0 if handling.parent is None else handling.parent.number,
        step=_step_number(handling),
        kind=_word(handling.kind),
        receiver=address_text(handling.receiver),
        process="" if handling.owner is None else address_text(handling.owner),
        name=handling.name,
        behavior=handling.behavior,
        after=None if begun is None else begun - trace.arrived,
        queue=None if begun is None or queued is None else begun - queued,
        handling=None if begun is None or ended is None else ended - begun,
        outcome=_word(handling.outcome),
        error=handling.error,
        steps=[_step(trace, step) for step in handling.steps],
        steps_left_out=handling.left_out,
    )


def _step_number(handling: Handling) -> int:
    steps = [] if handling.parent is None else handling.parent.steps
    return next((number for number, step in enumerate(steps, 1) if step is handling.cause), 0)


def _step(trace: Trace, step: Step) -> StepRecord:
    return StepRecord(
        kind=_word(step.kind),
        to=address_text(step.to if step.peer is None else step.peer),
        after=step.began_at - trace.arrived,
        seconds=None if step.ended_at is None or step.kind in ("send", "reply") else step.ended_at - step.began_at,
        size=step.size,
        error=step.error,
    )


def address_text(address: Any) -> str:
    """Returns the text of an address of a process or of the `socket` module, whatever a program has put there."""
    if type(address) is tuple:
        try:
            return format_address(address)[:_MOST_TEXT]
        except Exception:
            return safe_str(address, _MOST_TEXT)
    return safe_str(address, _MOST_TEXT)


def percentile(values: list[float], share: float) -> float | None:
    """Returns the value below or at which the `share` of all sorted `values` is; None if there are none."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else None
