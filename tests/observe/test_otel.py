"""Spans of OpenTelemetry: which there are, how they hang together, and what they say."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from opentelemetry import trace as api
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import homing
from homing import act, gen
from homing.node.node import internals
from homing.observe import otel

from ..meta.servers import create
from ..node.actors import Keeper
from ..support import UDPPeer, eventually

pytestmark = pytest.mark.backends


class Spans:
    """A provider whose spans are kept in memory."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def ended(self) -> dict[str, ReadableSpan]:
        """The spans that have ended, by their names."""
        return {span.name: span for span in self.exporter.get_finished_spans()}

    async def of(self, *names: str) -> list[ReadableSpan]:
        """Waits until there are spans of these names, and gives them."""
        await eventually(lambda: set(names) <= set(self.ended))
        return [self.ended[name] for name in names]


@pytest.fixture
def spans() -> Iterator[Spans]:
    made = Spans()
    yield made
    made.provider.shutdown()


@pytest.fixture(autouse=True)
async def the_node_is_as_before(node: homing.Node) -> AsyncIterator[None]:
    core = internals(node).core
    plain = (core.delivery, core.calls)
    yield
    for recorder in list(core.tracer.recorders if core.tracer else ()):
        core.tracer.remove(recorder)  # type: ignore[union-attr]
    await eventually(lambda: (core.delivery, core.calls) == plain)


class Server(act.Actor):
    """Opens a server, and does with each datagram what `work` says."""

    async def init(self, work: Any = None) -> None:
        self.work = work
        self.server = create()
        await self.spawn_meta(self.server)

    async def handle_message(self, sender: Any, message: Any) -> None:
        if self.work is not None:
            result = self.work(self)
            if asyncio.iscoroutine(result):
                await result
        self.reply(message, b"answer!")

    def handle_call(self, sender: Any, ref: gen.Ref, request: Any) -> Any:
        return self.server


class Base(act.Actor):
    async def handle_call(self, sender: Any, ref: gen.Ref, request: Any) -> Any:
        await asyncio.sleep(0)
        if request == "refuse":
            self.send_response_error(sender, ref, ValueError("x" * 10_000))
            return gen.NO_REPLY
        return request


async def ask(node: homing.Node, peer: UDPPeer, work: Any = None, times: int = 1) -> tuple[Any, ...]:
    """Starts a server, sends it datagrams, and gives its address."""
    server = await node.call(await node.spawn(Server, work), "server")
    for _ in range(times):
        assert await peer.ask(b"hello", server.local_address) == b"answer!"
    address: tuple[Any, ...] = server.local_address
    return address


def is_child(span: ReadableSpan, parent: ReadableSpan) -> bool:
    assert span.parent is not None
    assert parent.context is not None
    return span.parent.span_id == parent.context.span_id and span.parent.trace_id == parent.context.trace_id


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_a_datagram_has_spans_of_packet_handler_and_reply(node: homing.Node, peer: UDPPeer, spans: Spans) -> None:
    otel.instrument(node, spans.provider, sample=1)
    address = await ask(node, peer)
    packet, handler, reply = await spans.of("udp packet", "Server.handle_message", "reply")
    assert packet.parent is None
    assert packet.kind is api.SpanKind.SERVER
    assert is_child(handler, packet)
    assert is_child(reply, handler)
    assert reply.kind is api.SpanKind.PRODUCER
    host, port = peer.address
    told = attributes(packet)
    assert told["network.transport"] == "udp"
    assert told["network.type"] == "ipv4"
    assert (told["network.peer.address"], told["network.peer.port"]) == (host, port)
    assert (told["server.address"], told["server.port"]) == address
    assert told["homing.size"] == 5
    assert attributes(reply)["homing.size"] == 7
    assert attributes(reply)["network.peer.port"] == port
    assert attributes(handler)["homing.queue"] >= 0
    times = [packet.start_time, handler.start_time, reply.start_time, reply.end_time, handler.end_time, packet.end_time]
    assert times == sorted(times, key=lambda time: time or 0)


async def test_a_call_is_a_span_whose_child_is_the_handler_of_the_request(
    node: homing.Node, peer: UDPPeer, spans: Spans
) -> None:
    await node.spawn(Base, name="base")
    otel.instrument(node, spans.provider, sample=1)
    await ask(node, peer, lambda actor: actor.call("base", 1))
    handler, call, answering = await spans.of("Server.handle_message", "call base", "Base.handle_call")
    assert is_child(call, handler)
    assert call.kind is api.SpanKind.CLIENT
    assert is_child(answering, call)


async def test_the_handler_of_a_message_is_a_child_of_the_handler_that_has_sent_it(
    node: homing.Node, peer: UDPPeer, spans: Spans
) -> None:
    keeper = await node.spawn(Keeper, [])
    otel.instrument(node, spans.provider, sample=1)
    await ask(node, peer, lambda actor: actor.send(keeper, 1))
    handler, keeping, packet = await spans.of("Server.handle_message", "Keeper.handle_message", "udp packet")
    assert is_child(keeping, handler)
    assert (packet.end_time or 0) >= (keeping.end_time or 0)


@pytest.mark.parametrize("thread", [False, True])
async def test_spans_that_a_handler_starts_are_children_of_its_span(
    node: homing.Node, peer: UDPPeer, spans: Spans, thread: bool
) -> None:
    tracer = spans.provider.get_tracer("program")

    class Own(Server):
        async def handle_message(self, sender: Any, message: Any) -> None:
            with tracer.start_as_current_span("before"):
                await asyncio.sleep(0)
            with tracer.start_as_current_span("after"):
                self.reply(message, b"answer!")

    otel.instrument(node, spans.provider, sample=1)
    server = await node.call(await node.spawn(Own, options=gen.ProcessOptions(thread=thread)), "server")
    await peer.ask(b"hello", server.local_address)
    handler, before, after = await spans.of("Own.handle_message", "before", "after")
    assert is_child(before, handler)
    assert is_child(after, handler)


async def test_no_span_is_current_in_other_handlers_and_after_the_handler(
    node: homing.Node, peer: UDPPeer, spans: Spans
) -> None:
    current: list[bool] = []

    class Looks(act.Actor):
        def handle_message(self, sender: Any, message: Any) -> None:
            current.append(api.get_current_span().get_span_context().is_valid)

    looks = await node.spawn(Looks)

    async def work(actor: Any) -> None:
        node.send(looks, "not part of the trace")
        await eventually(lambda: current)

    otel.instrument(node, spans.provider, sample=1)
    await ask(node, peer, work)
    await spans.of("Server.handle_message")
    node.send(looks, "afterwards")
    await eventually(lambda: len(current) == 2)
    assert current == [False, False]


async def test_a_crash_is_an_error_with_a_bounded_text_and_no_traceback(
    node: homing.Node, peer: UDPPeer, spans: Spans
) -> None:
    class Crashes(Server):
        async def handle_message(self, sender: Any, message: Any) -> None:
            raise ValueError("x" * 10_000)

    otel.instrument(node, spans.provider, sample=1)
    server = await node.call(await node.spawn(Crashes), "server")
    peer.send(b"hello", server.local_address)
    for span in await spans.of("Crashes.handle_message", "udp packet"):
        assert span.status.status_code is api.StatusCode.ERROR
        assert span.status.description is not None
        assert len(span.status.description) < 300
    (event,) = spans.ended["Crashes.handle_message"].events
    assert dict(event.attributes or {})["exception.type"] == "ValueError"
    assert "exception.stacktrace" not in dict(event.attributes or {})
    assert attributes(spans.ended["Crashes.handle_message"])["error.type"] == "ValueError"


async def test_a_call_that_fails_is_an_error_and_the_handler_is_not(
    node: homing.Node, peer: UDPPeer, spans: Spans
) -> None:
    await node.spawn(Base, name="base")

    async def work(actor: Any) -> None:
        with pytest.raises(ValueError, match="x"):
            await actor.call("base", "refuse")

    otel.instrument(node, spans.provider, sample=1)
    await ask(node, peer, work)
    call, handler = await spans.of("call base", "Server.handle_message")
    assert call.status.status_code is api.StatusCode.ERROR
    assert handler.status.status_code is api.StatusCode.UNSET


async def test_about_the_asked_share_of_the_datagrams_has_spans(
    node: homing.Node, peer: UDPPeer, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otel, "random", lambda: 0.5)  # the median: every gap is log(0.5) / log(0.9), 6
    otel.instrument(node, spans.provider, sample=0.1)
    await ask(node, peer, times=70)
    await eventually(lambda: len(spans.exporter.get_finished_spans()) == 3 * 10)


async def test_after_close_no_datagram_has_spans(node: homing.Node, peer: UDPPeer, spans: Spans) -> None:
    instrumentation = otel.instrument(node, spans.provider, sample=1)
    instrumentation.close()
    await ask(node, peer)
    assert spans.ended == {}
    otel.instrument(node, spans.provider, sample=1)
    await ask(node, peer)
    await spans.of("udp packet")


async def test_a_provider_that_raises_harms_no_handler(node: homing.Node, peer: UDPPeer) -> None:
    class Broken(api.NoOpTracerProvider):
        def get_tracer(self, *args: Any, **kwargs: Any) -> Any:
            class Tracer:
                def start_span(self, *args: Any, **kwargs: Any) -> Any:
                    raise RuntimeError("broken")

            return Tracer()

    otel.instrument(node, Broken(), sample=1)
    await ask(node, peer, times=3)


async def test_without_a_provider_spans_go_nowhere_and_the_node_serves(node: homing.Node, peer: UDPPeer) -> None:
    assert not otel.has_provider()
    otel.instrument(node, sample=1)
    await ask(node, peer, times=3)


@pytest.mark.parametrize("sample", [0, -0.1, 1.1, float("nan"), "1", None])
async def test_a_share_that_is_none_is_refused(node: homing.Node, sample: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        otel.instrument(node, sample=sample)
    assert caught.value.option == "sample"


@pytest.mark.parametrize("sample", [1e-17, 5e-324])
async def test_a_share_however_small_is_taken(node: homing.Node, peer: UDPPeer, spans: Spans, sample: float) -> None:
    instrumentation = otel.instrument(node, spans.provider, sample=sample)
    await ask(node, peer, times=3)
    instrumentation.close()
    assert spans.ended == {}


async def test_a_provider_that_is_none_is_refused(node: homing.Node) -> None:
    with pytest.raises(gen.BadOption) as caught:
        otel.instrument(node, object())  # type: ignore[arg-type]
    assert caught.value.option == "tracer_provider"


async def test_a_second_instrumentation_is_refused(node: homing.Node, spans: Spans) -> None:
    otel.instrument(node, spans.provider)
    with pytest.raises(gen.NotAllowed, match="close the first"):
        otel.instrument(node, spans.provider)


async def test_without_the_api_the_extra_to_install_is_named(
    node: homing.Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(gen.NotAllowed, match=r"pip install 'homing\[otel\]'"):
        otel.instrument(node)
