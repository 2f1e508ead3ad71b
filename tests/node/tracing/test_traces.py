"""Traces of single messages: what is recorded, how far they are followed, and when a stream ends."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import homing
from homing import act, gen, meta, observe
from homing.node.node import internals
from homing.observe.traces.records import TraceRecord

from ...meta.peers.players import Player
from ...meta.servers import create
from ...support import DEADLINE, Probe, UDPPeer, eventually
from ..actors import QUIET, Doer, Gate, Keeper

pytestmark = pytest.mark.backends

ROUNDING = 1e-9
"""Seconds by which sums of differences of times may be wrong."""

WARM = 8
"""Datagrams after which a lone one takes the short way, past the mailbox."""


class Echo(act.Actor):
    """Answers each datagram; `work(actor, message)` first, awaited if it is a coroutine."""

    async def init(self, work: Callable[[Any, Any], Any] | None = None, **options: Any) -> None:
        self.work = work
        self.server = create(**options)
        self.alias = await self.spawn_meta(self.server)

    def handle_message(self, sender: Any, message: Any) -> Any:
        if self.work is not None:
            result = self.work(self, message)
            if asyncio.iscoroutine(result):
                return self.answer_later(message, result)
        self.reply(message, bytes(message.data))
        return None

    async def answer_later(self, message: Any, work: Any) -> None:
        await work
        self.reply(message, bytes(message.data))

    def handle_call(self, sender: Any, ref: gen.Ref, request: Any) -> Any:
        return self.server if request == "server" else self.alias


class Answer(act.Actor):
    """Answers each request with itself, at once or after an iteration of the loop."""

    def init(self, waits: bool = False) -> None:
        self.waits = waits

    def handle_call(self, sender: Any, ref: gen.Ref, request: Any) -> Any:
        return self.later(request) if self.waits else request

    async def later(self, request: Any) -> Any:
        await asyncio.sleep(0)
        return request


@pytest.fixture(autouse=True)
async def nothing_is_traced_afterwards(node: homing.Node) -> AsyncIterator[None]:
    """After a test, the node's own delivery and calls are in their places."""
    core = internals(node).core
    plain = (core.delivery, core.calls, core.inlet_kind)
    yield
    await eventually(lambda: (core.delivery, core.calls, core.inlet_kind) == plain, "the end of the traces")
    for process in core.processes.values():
        assert process.routes is core.registry.routes


async def open_echo(node: homing.Node, *args: Any, **options: Any) -> tuple[meta.UDPServer, gen.PID]:
    pid = await node.spawn(Echo, *args, name="echo", options=gen.ProcessOptions(**options))
    return await node.call(pid, "server"), pid


async def first(stream: observe.TraceStream) -> TraceRecord:
    async with asyncio.timeout(DEADLINE):
        return await anext(stream)


async def traced(
    node: homing.Node, peer: UDPPeer, server: meta.UDPServer, target: Any = None, data: bytes = b"hello"
) -> TraceRecord:
    """The trace of one datagram, which came alone after others that came alone."""
    for _ in range(WARM):
        await peer.ask(data, server.local_address)
    async with observe.trace(node, target, limit=1, seconds=DEADLINE) as stream:
        await peer.ask(data, server.local_address)
        return await first(stream)


def outline(record: TraceRecord) -> list[tuple[Any, ...]]:
    """Each handling: its parent, kind, handler's behavior, outcome, and its steps."""
    return [
        (one["parent"], one["kind"], one["behavior"], one["outcome"], [step["kind"] for step in one["steps"]])
        for one in record["handlings"]
    ]


# --- what is recorded -------------------------------------------------------------------------------------


async def test_a_trace_has_the_socket_the_peer_the_times_and_the_reply(node: homing.Node, peer: UDPPeer) -> None:
    server, pid = await open_echo(node)
    before = time.time()
    record = await traced(node, peer, server)
    (handling,) = record["handlings"]
    (step,) = handling["steps"]
    host, port = peer.address
    assert record["socket"] == "{}:{}".format(*server.local_address)
    assert record["source"] == step["to"] == f"{host}:{port}"
    assert record["size"] == step["size"] == 5
    assert record["payload"] is None
    assert before - 1 < record["at"] < time.time() + 1
    assert record["complete"]
    assert handling["process"] == handling["receiver"] == str(pid)
    assert handling["name"] == "echo"
    assert step["kind"] == "reply"
    queue, handled = handling["queue"], handling["handling"]
    assert queue is not None
    assert handled is not None
    assert 0 <= queue <= handling["after"] + ROUNDING < DEADLINE
    begun, ended = handling["after"] - ROUNDING, handling["after"] + handled + ROUNDING
    assert begun <= step["after"] <= ended <= record["seconds"] + 3 * ROUNDING


async def test_the_payload_is_told_only_if_asked_for_and_only_its_beginning(node: homing.Node, peer: UDPPeer) -> None:
    server, _ = await open_echo(node)
    async with observe.trace(node, limit=1, payload=True) as stream:
        await peer.ask(bytes(range(100)), server.local_address)
        assert (await first(stream))["payload"] == bytes(range(64)).hex()


async def test_the_handling_time_of_an_asynchronous_handler_includes_what_it_awaits(
    node: homing.Node, peer: UDPPeer
) -> None:
    server, _ = await open_echo(node, lambda actor, message: asyncio.sleep(0.02))
    record = await traced(node, peer, server)
    handled = record["handlings"][0]["handling"]
    assert handled is not None
    assert handled >= 0.019


async def test_a_crash_ends_a_trace_with_a_short_text_of_its_error(node: homing.Node, peer: UDPPeer) -> None:
    def crash(actor: Any, message: Any) -> None:
        raise ValueError("x" * 10_000)

    server, _ = await open_echo(node, crash)
    async with observe.trace(node, limit=1) as stream:
        peer.send(b"hello", server.local_address)
        record = await first(stream)
    assert outline(record) == [(0, "packet", "Echo", "error", [])]
    error = record["handlings"][0]["error"]
    assert error.startswith("ValueError(")
    assert len(error) < 300


async def test_a_process_that_ends_in_order_in_its_handler_is_told_as_stopped(node: homing.Node, peer: UDPPeer) -> None:
    def stop(actor: Any, message: Any) -> None:
        raise gen.TerminateNormal

    server, _ = await open_echo(node, stop)
    async with observe.trace(node, limit=1) as stream:
        peer.send(b"hello", server.local_address)
        assert outline(await first(stream)) == [(0, "packet", "Echo", "stopped", [])]


async def test_a_datagram_that_is_dropped_before_it_is_handled_is_told_as_lost(
    node: homing.Node, peer: UDPPeer
) -> None:
    gate = asyncio.Event()
    kept: list[Any] = []
    pid = await node.spawn(Gate, kept, gate)
    probe = await Probe.start(node)
    server = create(process=pid)
    await probe.do(lambda actor: actor.spawn_meta(server))
    peer.send(b"first", server.local_address)
    await eventually(lambda: kept)
    async with observe.trace(node, limit=1) as stream:
        peer.send(b"second", server.local_address)
        await eventually(lambda: node.process_info(pid).mailbox.main)
        node.kill(pid)
        assert outline(await first(stream)) == [(0, "packet", "", "lost", [])]


async def test_a_process_that_is_killed_before_its_asynchronous_handler_begins_ends_the_trace(
    node: homing.Node, peer: UDPPeer
) -> None:
    class Killed(Echo):
        def handle_message(self, sender: Any, message: Any) -> Any:
            node.kill(self.pid)
            return self.begins()

        async def begins(self) -> None:
            raise AssertionError("it was killed before")

    pid = await node.spawn(Killed)
    server = await node.call(pid, "server")
    async with observe.trace(node, limit=1) as stream:
        peer.send(b"hello", server.local_address)
        record = await first(stream)
    assert outline(record) == [(0, "packet", "Killed", "error", [])]
    assert record["handlings"][0]["error"] == "CancelledError()"


# --- following --------------------------------------------------------------------------------------------


async def test_messages_that_a_handler_sends_are_followed_to_their_handlers(node: homing.Node, peer: UDPPeer) -> None:
    last = await node.spawn(Keeper, [])
    middle = await node.spawn(Doer)

    def work(actor: Any, message: Any) -> None:
        actor.send(middle, lambda other: other.send(last, "at last"))

    server, _ = await open_echo(node, work)
    record = await traced(node, peer, server)
    assert outline(record) == [
        (0, "packet", "Echo", "ok", ["send", "reply"]),
        (1, "message", "Doer", "ok", ["send"]),
        (2, "message", "Keeper", "ok", []),
    ]


@pytest.mark.parametrize("waits", [False, True])
async def test_a_call_is_followed_to_its_handler_and_ends_with_its_answer(
    node: homing.Node, peer: UDPPeer, waits: bool
) -> None:
    await node.spawn(Answer, waits, name="answer")
    server, _ = await open_echo(node, lambda actor, message: actor.call("answer", 1))
    record = await traced(node, peer, server)
    assert outline(record) == [
        (0, "packet", "Echo", "ok", ["call", "reply"]),
        (1, "request", "Answer", "ok", []),
    ]
    call, reply = record["handlings"][0]["steps"]
    assert call["to"] == "answer"
    assert call["seconds"] is not None
    assert call["after"] + call["seconds"] <= reply["after"] + ROUNDING


async def test_a_call_that_fails_has_its_error(node: homing.Node, peer: UDPPeer) -> None:
    async def work(actor: Any) -> None:
        with pytest.raises(gen.NotAllowed):
            await actor.call(keeper, 1)

    keeper = await node.spawn(Keeper, [])
    server, _ = await open_echo(node, lambda actor, message: work(actor))
    record = await traced(node, peer, server)
    assert record["handlings"][0]["steps"][0]["error"].startswith("NotAllowed(")


async def test_a_response_to_send_request_is_followed_to_its_handler(node: homing.Node, peer: UDPPeer) -> None:
    class Asks(Echo):
        def handle_response(self, label: Any, answer: Any) -> None:
            assert label == "label"
            self.send(keeper, answer)

    kept: list[Any] = []
    keeper = await node.spawn(Keeper, kept)
    await node.spawn(Answer, True, name="answer")
    pid = await node.spawn(Asks, lambda actor, message: None or actor.send_request("answer", 7, "label"))
    server = await node.call(pid, "server")
    record = await traced(node, peer, server)
    assert outline(record) == [
        (0, "packet", "Asks", "ok", ["request", "reply"]),
        (1, "request", "Answer", "ok", []),
        (1, "response", "Asks", "ok", ["send"]),
        (3, "message", "Keeper", "ok", []),
    ]
    assert set(kept) == {7}


async def test_messages_of_other_handlers_that_run_meanwhile_are_not_part_of_the_trace(
    node: homing.Node, peer: UDPPeer
) -> None:
    kept: list[Any] = []
    keeper = await node.spawn(Keeper, kept)
    other = await node.spawn(Doer)

    async def work(actor: Any) -> None:
        node.send(other, lambda doer: doer.send(keeper, "not traced"))
        await eventually(lambda: kept)

    server, _ = await open_echo(node, lambda actor, message: work(actor))
    assert outline(await traced(node, peer, server)) == [(0, "packet", "Echo", "ok", ["reply"])]


async def test_two_processes_that_answer_each_other_for_ever_are_followed_no_further_than_a_bound(
    node: homing.Node, peer: UDPPeer
) -> None:
    rounds = 40

    class Pong(act.Actor):
        def handle_message(self, sender: Any, message: int) -> None:
            if message:
                self.send(sender, message - 1)

    class Starts(Echo):
        def handle_message(self, sender: Any, message: Any) -> Any:
            if isinstance(message, int):
                return self.send(sender, message - 1) if message else None
            return super().handle_message(sender, message)

    pong = await node.spawn(Pong)
    pid = await node.spawn(Starts, lambda actor, message: actor.send(pong, rounds))
    record = await traced(node, peer, await node.call(pid, "server"))
    assert len(record["handlings"]) == 16
    assert record["left_out"] == 1
    assert record["complete"]


async def test_a_handler_that_sends_to_many_has_a_bounded_record(node: homing.Node, peer: UDPPeer) -> None:
    kept: list[Any] = []
    keeper = await node.spawn(Keeper, kept)

    def work(actor: Any, message: Any) -> None:
        for number in range(200):
            actor.send(keeper, number)

    server, _ = await open_echo(node, work)
    record = await traced(node, peer, server)
    assert len(record["handlings"]) == 64
    assert len(record["handlings"][0]["steps"]) == 64
    assert record["handlings"][0]["steps_left_out"] == 200 + 1 - 64
    assert record["left_out"] == 200 + 1 - 64
    await eventually(lambda: len(kept) == (WARM + 1) * 200)
    assert kept == list(range(200)) * (WARM + 1)


# --- kinds of receivers -----------------------------------------------------------------------------------


async def test_a_trace_tells_which_worker_of_a_pool_has_handled_the_datagram(node: homing.Node, peer: UDPPeer) -> None:
    class Worker(act.Actor):
        def handle_message(self, sender: Any, message: Any) -> None:
            self.reply(message, b"%d" % self.pid.id)

    probe = await Probe.start(node)
    server = create(worker=Worker, workers=3)
    await probe.do(lambda actor: actor.spawn_meta(server))
    async with observe.trace(node, limit=3) as stream:
        for _ in range(3):
            worker = await peer.ask(b"hello", server.local_address)
            record = await first(stream)
            assert outline(record) == [(0, "packet", "Worker", "ok", ["reply"])]
            handling = record["handlings"][0]
            assert handling["process"] == f"<test@localhost.{int(worker)}>"
            assert handling["receiver"] != handling["process"]


async def test_a_trace_goes_through_a_router_to_the_route(node: homing.Node, peer: UDPPeer) -> None:
    class Route(act.Actor):
        def handle_message(self, sender: Any, message: Any) -> None:
            self.reply(message, b"routed")

        def handle_call(self, sender: Any, ref: Any, request: Any) -> Any:
            return request

    class ByFirst(act.Router):
        def init(self) -> act.RouterOptions:
            return act.RouterOptions(routes=(act.RouteSpec(name="a", behavior=Route),))

        def route_message(self, sender: Any, message: Any) -> str:
            return "a"

        def route_call(self, sender: Any, ref: Any, request: Any) -> str:
            return "a"

    router = await node.spawn(ByFirst)
    probe = await Probe.start(node)
    server = create(process=router)
    await probe.do(lambda actor: actor.spawn_meta(server))
    async with observe.trace(node, limit=1) as stream:
        assert await peer.ask(b"hello", server.local_address) == b"routed"
        assert outline(await first(stream)) == [(0, "packet", "Route", "ok", ["reply"])]
    echo, _ = await open_echo(node, lambda actor, message: actor.call(router, 1))
    assert outline(await traced(node, peer, echo)) == [
        (0, "packet", "Echo", "ok", ["call", "reply"]),
        (1, "request", "Route", "ok", []),
    ]


async def test_a_trace_goes_to_the_process_of_a_peer(node: homing.Node, peer: UDPPeer) -> None:
    probe = await Probe.start(node)
    server = create(peers=meta.PeerOptions(worker=Player))
    await probe.do(lambda actor: actor.spawn_meta(server))
    await peer.ask(b"one", server.local_address)
    async with observe.trace(node, limit=1) as stream:
        await peer.ask(b"two", server.local_address)
        assert outline(await first(stream)) == [(0, "packet", "Player", "ok", ["reply"])]


async def test_callbacks_that_run_side_by_side_each_have_their_own_trace(node: homing.Node, peer: UDPPeer) -> None:
    keeper = await node.spawn(Keeper, [])
    running = 0
    together = asyncio.Event()

    async def work(actor: Any, message: Any) -> None:
        nonlocal running
        running += 1
        if running == 2:
            together.set()
        await together.wait()
        actor.send(keeper, bytes(message.data))

    server, _ = await open_echo(node, work, concurrency=4)
    async with observe.trace(node, limit=2) as stream:
        peer.send(b"one", server.local_address)
        peer.send(b"three", server.local_address)
        records = [await first(stream), await first(stream)]
    for record in records:
        assert outline(record) == [
            (0, "packet", "Echo", "ok", ["send", "reply"]),
            (1, "message", "Keeper", "ok", []),
        ]
    assert {(record["size"], record["handlings"][0]["steps"][1]["size"]) for record in records} == {(3, 3), (5, 5)}


async def test_a_process_on_a_thread_of_its_own_is_traced_with_what_it_sends_and_calls(
    node: homing.Node, peer: UDPPeer
) -> None:
    await node.spawn(Answer, name="answer")
    keeper = await node.spawn(Keeper, [])

    async def work(actor: Any) -> None:
        await actor.call("answer", 1)
        actor.send(keeper, 2)

    server, _ = await open_echo(node, lambda actor, message: work(actor), thread=True)
    assert outline(await traced(node, peer, server)) == [
        (0, "packet", "Echo", "ok", ["call", "send", "reply"]),
        (1, "request", "Answer", "ok", []),
        (1, "message", "Keeper", "ok", []),
    ]


async def test_a_batch_is_one_trace_with_the_number_of_its_datagrams(node: homing.Node, peer: UDPPeer) -> None:
    class Batches(act.Actor):
        def handle_datagrams(self, batch: Any) -> None:
            for message in batch:
                self.reply(message, b"ok")

    pid = await node.spawn(Batches)
    probe = await Probe.start(node)
    server = create(process=pid)
    await probe.do(lambda actor: actor.spawn_meta(server))
    async with observe.trace(node, limit=1) as stream:
        await peer.ask(b"hello", server.local_address)
        record = await first(stream)
    assert outline(record) == [(0, "batch", "Batches", "ok", ["reply"])]
    assert (record["count"], record["size"], record["source"]) == (1, 5, None)


async def test_a_request_to_a_udp_client_is_a_step_that_ends_with_the_reply(node: homing.Node, peer: UDPPeer) -> None:
    upstream, _ = await open_echo(node)
    host, port = upstream.local_address

    class Asks(Echo):
        async def init(self) -> None:  # type: ignore[override]
            self.client = await meta.connect_udp(self, host=host, port=port)
            await super().init(lambda actor, message: actor.call(self.client.alias, b"question"))

    pid = await node.spawn(Asks)
    record = await traced(node, peer, await node.call(pid, "server"), target=pid)
    assert outline(record) == [(0, "packet", "Asks", "ok", ["call", "reply"])]
    assert record["handlings"][0]["steps"][0]["seconds"] is not None


async def test_a_datagram_to_a_udp_client_that_answers_nothing_is_traced(node: homing.Node, peer: UDPPeer) -> None:
    kept: list[Any] = []

    class Listens(Keeper):
        async def init(self, kept: list[Any]) -> None:  # type: ignore[override]
            self.kept = kept
            self.client = await meta.connect_udp(self, host=peer.address[0], port=peer.address[1])
            self.send(self.client.alias, b"hello")

    await node.spawn(Listens, kept)
    _, client = await peer.receive()
    async with observe.trace(node, limit=1) as stream:
        peer.send(b"news", client)
        assert outline(await first(stream)) == [(0, "packet", "Listens", "ok", [])]


async def test_messages_sent_by_name_reach_the_callbacks_of_split_handle(node: homing.Node, peer: UDPPeer) -> None:
    told: list[Any] = []

    class Split(act.Actor):
        split_handle = True

        def handle_message_name(self, name: str, sender: Any, message: Any) -> None:
            told.append((name, message))

    await node.spawn(Split, name="split")
    server, _ = await open_echo(node, lambda actor, message: actor.send("split", 1))
    record = await traced(node, peer, server)
    assert record["handlings"][1]["behavior"] == "Split"
    assert set(told) == {("split", 1)}


# --- targets ----------------------------------------------------------------------------------------------


async def test_a_server_is_a_target_by_its_alias_and_others_are_not_traced(node: homing.Node, peer: UDPPeer) -> None:
    one = await node.spawn(Echo)
    two = await node.spawn(Echo)
    async with observe.trace(node, await node.call(two, "alias"), limit=1) as stream:
        await peer.ask(b"one", (await node.call(one, "server")).local_address)
        await peer.ask(b"two!", (await node.call(two, "server")).local_address)
        assert (await first(stream))["size"] == 4
        assert stream.skipped == 0


async def test_a_process_is_a_target_with_its_datagrams_messages_and_requests(node: homing.Node, peer: UDPPeer) -> None:
    server, pid = await open_echo(node)
    other = await node.spawn(Doer)
    async with observe.trace(node, "echo", limit=4) as stream:
        await peer.ask(b"hello", server.local_address)
        assert outline(await first(stream)) == [(0, "packet", "Echo", "ok", ["reply"])]
        await node.call(pid, "alias")
        assert outline(await first(stream)) == [(0, "request", "Echo", "ok", [])]
        message = meta.MessageUDP(await node.call(pid, "alias"), peer.address, b"by hand")
        await first(stream)
        node.send(other, lambda doer: doer.send(pid, message))
        record = await first(stream)
        assert outline(record) == [(0, "message", "Echo", "ok", ["reply"])]
        assert record["source"] == str(other)
        assert record["handlings"][0]["queue"] is not None


async def test_a_worker_of_a_pool_is_a_target_without_a_known_queue_time(node: homing.Node, peer: UDPPeer) -> None:
    class Worker(act.Actor):
        def handle_message(self, sender: Any, message: Any) -> None:
            self.reply(message, b"%d" % self.pid.id)

    probe = await Probe.start(node)
    server = create(worker=Worker, workers=2)
    await probe.do(lambda actor: actor.spawn_meta(server))
    worker = int(await peer.ask(b"hello", server.local_address))
    target = next(pid for pid in node.processes() if pid.id == worker)
    async with observe.trace(node, target, limit=1) as stream:
        while int(await peer.ask(b"hello", server.local_address)) != worker:
            pass
        record = await first(stream)
    assert outline(record) == [(0, "packet", "Worker", "ok", ["reply"])]
    assert record["handlings"][0]["queue"] is None


async def test_a_worker_with_a_thread_of_its_own_is_refused_with_what_to_trace_instead(node: homing.Node) -> None:
    class Workers(act.Pool):
        def init(self) -> act.PoolOptions:
            return act.PoolOptions(
                worker=Keeper, worker_args=([],), pool_size=1, worker_options=gen.ProcessOptions(thread=True)
            )

    pool = await node.spawn(Workers)
    worker = node.processes()[-1]
    with pytest.raises(gen.NotAllowed, match="trace that") as caught:
        observe.trace(node, worker)
    assert str(pool) in str(caught.value)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 10_001}, "limit"),
        ({"limit": "1"}, "limit"),
        ({"seconds": 0}, "seconds"),
        ({"seconds": 3601}, "seconds"),
        ({"seconds": float("nan")}, "seconds"),
        ({"payload": 1}, "payload"),
        ({"rate": 0}, "rate"),
        ({"rate": 1001}, "rate"),
        ({"target": object()}, "to"),
        ({"node": None}, "node"),
    ],
)
async def test_a_bad_option_is_refused_by_its_name(node: homing.Node, options: dict[str, Any], named: str) -> None:
    with pytest.raises(gen.BadOption) as caught:
        observe.trace(**{"node": node, **options})
    assert caught.value.option == named


async def test_a_target_that_does_not_exist_is_refused(node: homing.Node) -> None:
    with pytest.raises(gen.NameUnknown):
        observe.trace(node, "nobody")


# --- the stream -------------------------------------------------------------------------------------------


async def test_a_stream_ends_by_its_limit_with_a_summary(node: homing.Node, peer: UDPPeer) -> None:
    server, _ = await open_echo(node)
    stream = observe.trace(node, limit=2)
    for _ in range(4):
        await peer.ask(b"hello", server.local_address)
    assert [record["number"] async for record in stream] == [1, 2]
    summary = stream.summary()
    assert (summary["ended"], summary["count"], summary["errors"], summary["incomplete"]) == ("limit", 2, 0, 0)
    assert summary["queue_p50"] is not None
    assert summary["handling_p99"] is not None


async def test_a_stream_ends_by_its_time_and_tells_what_was_not_over(node: homing.Node, peer: UDPPeer) -> None:
    gate = asyncio.Event()
    server, _ = await open_echo(node, lambda actor, message: gate.wait())
    stream = observe.trace(node, seconds=0.05)
    peer.send(b"hello", server.local_address)
    records = [record async for record in stream]
    assert stream.ended == "seconds"
    assert [outline(record) for record in records] == [[(0, "packet", "Echo", "running", [])]]
    assert not records[0]["complete"]
    gate.set()
    assert (await peer.receive())[0] == b"hello"


async def test_messages_beyond_the_rate_are_counted_and_not_traced(node: homing.Node, peer: UDPPeer) -> None:
    server, _ = await open_echo(node)
    async with observe.trace(node, rate=0.01, seconds=DEADLINE) as stream:
        for _ in range(20):
            await peer.ask(b"hello", server.local_address)
        await first(stream)
        stream.close()
        assert [record async for record in stream] == []
    assert stream.summary()["count"] == 1
    assert stream.summary()["skipped"] == 19
    assert stream.summary()["ended"] == "closed"


async def test_a_stream_ends_when_its_target_has_ended(node: homing.Node, peer: UDPPeer) -> None:
    _, pid = await open_echo(node)
    stream = observe.trace(node, "echo", seconds=DEADLINE)
    node.kill(pid)
    assert [record async for record in stream] == []
    assert stream.ended == "target"


async def test_a_stream_ends_when_the_node_has_stopped() -> None:
    async with homing.start_node("other@localhost", QUIET) as node:
        stream = observe.trace(node, seconds=DEADLINE)
        await node.stop()
        assert [record async for record in stream] == []
        assert stream.ended == "target"


async def test_while_a_thousand_records_are_not_read_further_messages_are_skipped(node: homing.Node) -> None:
    kept: list[Any] = []
    pid = await node.spawn(Keeper, kept)
    async with observe.trace(node, pid, limit=5000, rate=1000, seconds=DEADLINE) as stream:
        stream._tokens = stream._burst = 5000.0
        for number in range(1100):
            node.send(pid, number)
        await eventually(lambda: len(kept) == 1100)
        assert stream.skipped == 100
        await first(stream)
        node.send(pid, "one more")
        await eventually(lambda: len(kept) == 1101)
        assert stream.skipped == 100
    assert kept[:1100] == list(range(1100))


async def test_several_traces_run_at_once_and_each_ends_alone(node: homing.Node, peer: UDPPeer) -> None:
    server, _ = await open_echo(node)
    async with observe.trace(node, limit=1) as one, observe.trace(node, "echo", limit=2) as two:
        await peer.ask(b"hello", server.local_address)
        assert outline(await first(one)) == outline(await first(two))
        await eventually(lambda: one.ended)
        await peer.ask(b"hello", server.local_address)
        assert (await first(two))["number"] == 2


async def test_an_iterator_that_is_dropped_ends_by_itself(node: homing.Node, peer: UDPPeer) -> None:
    observe.trace(node, seconds=0.01)
    gc.collect()
    tracer = internals(node).core.tracer
    assert tracer is not None
    await eventually(lambda: not tracer.recorders)


@pytest.mark.parametrize("target", ["echo", None])
async def test_a_target_that_lives_on_keeps_no_stream_that_has_ended(
    node: homing.Node, peer: UDPPeer, target: str | None
) -> None:
    server, _ = await open_echo(node)
    streams = []
    for _ in range(3):
        async with observe.trace(node, target or server.alias) as stream:
            await peer.ask(b"hello", server.local_address)
        streams.append(weakref.ref(stream))
    del stream
    gc.collect()
    assert [kept() for kept in streams] == [None] * 3


async def test_order_and_counters_of_a_flood_are_as_without_a_trace(node: homing.Node, peer: UDPPeer) -> None:
    kept: list[Any] = []
    pid = await node.spawn(Keeper, kept)
    probe = await Probe.start(node)
    server = create(process=pid)
    await probe.do(lambda actor: actor.spawn_meta(server))
    async with observe.trace(node, limit=50, rate=1000, seconds=DEADLINE) as stream:
        for number in range(150):
            peer.send(b"%d" % number, server.local_address)
        await eventually(lambda: len(kept) == 150)
        records = [await first(stream) for _ in range(50)]
    assert [bytes(message.data) for message in kept] == [b"%d" % number for number in range(150)]
    statistics = server.statistics()
    assert statistics.delivered == statistics.packets_in == 150
    assert node.process_info(pid).messages_in == 150
    assert all(outline(record) == [(0, "packet", "Keeper", "ok", [])] for record in records)
