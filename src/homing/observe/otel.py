"""Spans of OpenTelemetry for traced datagrams: packet, handlers, calls and reply.

Only `opentelemetry-api` is used, and it is imported when `instrument` is called.
"""

from __future__ import annotations

from math import log, log1p
from random import random
from typing import TYPE_CHECKING, Any

from ..gen import PID, Alias, BadOption, NotAllowed
from ..gen.foreign import is_a
from ..gen.options import check_number
from ..node import Node
from ..node.node import internals
from ..node.tracing.trace import Handling, Recorder, Step, Trace
from ..node.tracing.tracer import tracer_of
from .traces.records import address_text

if TYPE_CHECKING:
    from opentelemetry.trace import Span, TracerProvider

__all__ = ["Instrumentation", "has_provider", "instrument"]

_CALLBACKS = {"batch": "handle_datagrams", "request": "handle_call", "response": "handle_response"}
"""The callback of each kind of message; `handle_message` for the others."""

_LONGEST_GAP = 1e18
"""Datagrams: more than any node gets. The smallest share would divide to infinity."""


def instrument(node: Node, tracer_provider: TracerProvider | None = None, sample: float = 0.01) -> Instrumentation:
    """Makes spans for a part of the datagrams that the node receives, from now on:

    - `udp packet` (kind SERVER): from the arrival of a datagram until nothing of it waits or runs any more;
    - `Behavior.callback`: a handler; of the datagram, of the messages sent while it was handled, of the requests and
      responses, and so on. It is a child of the handler that has sent the message;
    - `call name` (kind CLIENT): from the request until the answer; its handler is a child of it;
    - `reply` (kind PRODUCER): a datagram given to the socket.

    The span of a handler is current while it runs: spans that it starts are children. A datagram that was not sampled
    has no span, and those that its handler starts have no parent.

    tracer_provider: where spans go; None: the global provider, also if it is set later.
    sample: share of datagrams with spans, above 0 and at most 1. A sampler of the provider applies beside it.

    Call it on the node's thread; before the servers are started, or later. Returns an object whose `close` ends it.
    Raises `BadOption`; `NotAllowed` if `opentelemetry-api` is not installed, if the node has spans already, or on
    another thread.
    """
    if not is_a(node, Node):
        raise BadOption("node", node, "give a homing.Node")
    sample = check_number("sample", sample, 0.0, 1.0, "a number above 0, and 1 at most")
    if not sample:
        raise BadOption("sample", sample, "give a number above 0, and 1 at most")
    if tracer_provider is not None and not callable(getattr(tracer_provider, "get_tracer", None)):
        raise BadOption("tracer_provider", tracer_provider, "give an opentelemetry.trace.TracerProvider")
    api = _api()
    core = internals(node).core
    core.require_thread()
    tracer = tracer_of(core, node.on_stopped)
    if any(isinstance(recorder, Instrumentation) for recorder in tracer.recorders):
        raise NotAllowed(f"node {node.name} has spans already; close the first instrumentation before")
    return Instrumentation(node, api, tracer_provider, sample)


def _api() -> Any:
    """Returns the package `opentelemetry.trace`. Raises `NotAllowed`."""
    try:
        from opentelemetry import trace
    except ImportError:
        raise NotAllowed("spans need opentelemetry-api; pip install 'homing[otel]'") from None
    return trace


def has_provider() -> bool:
    """Returns True if the program has set a global provider of spans. Raises `NotAllowed` without the API."""
    api = _api()
    return not isinstance(api.get_tracer_provider(), (api.ProxyTracerProvider, api.NoOpTracerProvider))


class Instrumentation(Recorder):
    """Makes spans; see `instrument`."""

    def __init__(self, node: Node, api: Any, provider: Any, sample: float) -> None:
        from opentelemetry import context

        self._api = api
        self._context = context
        self._node = node.name
        self._tracer = api.get_tracer("homing", tracer_provider=provider)
        self._sample = sample
        self._gap = self._next_gap()
        self._packets: dict[Trace, Span] = {}
        self._homing = tracer_of(internals(node).core, node.on_stopped)
        self._homing.add(self)

    def close(self) -> None:
        """Begins no more spans. Spans that have begun end as they would."""
        self._homing.remove(self)

    # --- sampling -----------------------------------------------------------------------------------------

    def _next_gap(self) -> int:
        """Returns the number of datagrams before the next with spans: one random number for each of these is enough."""
        if self._sample >= 1:
            return 0
        return int(min(_LONGEST_GAP, log(1.0 - random()) / log1p(-self._sample)))  # noqa: S311

    def due(self) -> bool:
        return self._gap == 0

    def passed(self, count: int) -> None:
        self._gap = max(0, self._gap - count)

    def pick(self, count: int) -> list[int]:
        picked = []
        index = self._gap
        while index < count:
            picked.append(index)
            index += 1 + self._next_gap()
        self._gap = index - count
        return picked

    # --- spans --------------------------------------------------------------------------------------------

    def trace_begun(self, trace: Trace) -> None:
        """The datagram is not known yet."""

    def _packet(self, trace: Trace) -> Span:
        """Returns the span of the datagram, which begins with its first handler, but at the time of the arrival."""
        span = self._packets.get(trace)
        if span is None:
            span = self._packets[trace] = self._tracer.start_span(
                f"udp {trace.kind}",
                context=self._context.Context(),
                kind=self._api.SpanKind.SERVER,
                start_time=trace.wall,
                attributes={
                    **_network("server", trace.socket),
                    **_network("network.peer", trace.peer),
                    **_known({"homing.node": self._node, "homing.size": trace.size, "homing.count": trace.count}),
                },
            )
        return span

    def handling_begun(self, handling: Handling) -> None:
        self._begin(handling)

    def _begin(self, handling: Handling) -> Span:
        trace, cause, parent = handling.trace, handling.cause, handling.parent
        above = cause.notes.get(self) if cause is not None and handling.kind == "request" else None
        if above is None:
            above = self._packet(trace) if parent is None else parent.notes.get(self, self._packet(trace))
        queue = None
        if handling.queued_at is not None and handling.begun_at is not None:
            queue = handling.begun_at - handling.queued_at
        callback = _CALLBACKS.get(handling.kind, "handle_message")
        span: Span = self._tracer.start_span(
            f"{handling.behavior or 'lost'}.{callback}",
            context=self._api.set_span_in_context(above),
            start_time=None if handling.begun_at is None else _nanoseconds(trace, handling.begun_at),
            attributes=_known(
                {
                    "homing.process": None if handling.owner is None else address_text(handling.owner),
                    "homing.process.name": handling.name,
                    "homing.receiver": address_text(handling.receiver),
                    "homing.sender": _sender(handling),
                    "homing.queue": queue,
                }
            ),
        )
        handling.notes[self] = span
        return span

    def entered(self, handling: Handling) -> Any:
        return self._context.attach(self._api.set_span_in_context(handling.notes[self]))

    def left(self, token: Any) -> None:
        if token is not None:
            self._context.detach(token)

    def handling_ended(self, handling: Handling) -> None:
        span = handling.notes.get(self) or self._begin(handling)  # a lost message has not begun
        if handling.outcome in ("error", "lost"):
            self._fail(span, handling.error_type or "lost", handling.error or "the message was not handled")
        if handling.left_out:
            span.set_attribute("homing.steps_left_out", handling.left_out)
        span.end(None if handling.ended_at is None else _nanoseconds(handling.trace, handling.ended_at))

    def step_begun(self, handling: Handling, step: Step) -> None:
        if step.kind == "send":  # the handler of the message has a span
            return
        kinds = self._api.SpanKind
        parent = handling.notes.get(self)
        if parent is not None:
            step.notes[self] = self._tracer.start_span(
                f"{step.kind} {step.to}" if type(step.to) is str else step.kind,
                context=self._api.set_span_in_context(parent),
                kind=kinds.PRODUCER if step.kind == "reply" else kinds.CLIENT,
                start_time=_nanoseconds(handling.trace, step.began_at),
                attributes={"homing.to": address_text(step.to)},
            )

    def step_ended(self, handling: Handling, step: Step) -> None:
        span = step.notes.get(self)
        if span is None:
            return
        span.set_attributes({**_network("network.peer", step.peer), **_known({"homing.size": step.size})})
        if step.error:
            self._fail(span, step.error_type, step.error)
        span.end(None if step.ended_at is None else _nanoseconds(handling.trace, step.ended_at))

    def trace_ended(self, trace: Trace) -> None:
        span = self._packets.pop(trace, None)
        if span is None:
            return
        first = trace.handlings[0]
        if first.outcome in ("error", "lost"):
            span.set_status(self._api.StatusCode.ERROR, first.error or "the datagram was not handled")
        if trace.left_out:
            span.set_attribute("homing.left_out", trace.left_out)
        ends = [handling.ended_at for handling in trace.handlings if handling.ended_at is not None]
        span.end(_nanoseconds(trace, max(ends)))

    def _fail(self, span: Span, kind: str, text: str) -> None:
        """Records an error, without its traceback: its text is bounded."""
        span.set_attribute("error.type", kind)
        span.add_event("exception", {"exception.type": kind, "exception.message": text})
        span.set_status(self._api.StatusCode.ERROR, text)


def _nanoseconds(trace: Trace, moment: float) -> int:
    """Returns a time by `perf_counter` in nanoseconds since 1970."""
    return trace.wall + int((moment - trace.arrived) * 1e9)


def _known(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}


def _sender(handling: Handling) -> str | None:
    return address_text(handling.sender) if is_a(handling.sender, (PID, Alias)) else None


def _network(what: str, address: Any) -> dict[str, Any]:
    """Returns the attributes of an address, by the semantic conventions: `network.peer.address` and so on."""
    if type(address) is tuple and len(address) >= 2:
        host = str(address[0])
        kind = "ipv6" if ":" in host else "ipv4"
        return {"network.transport": "udp", "network.type": kind, f"{what}.address": host, f"{what}.port": address[1]}
    if is_a(address, (str, bytes)) and address:
        return {"network.transport": "unix", f"{what}.address": address_text(address)}
    return {}
