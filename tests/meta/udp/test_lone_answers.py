"""Answers to lone datagrams leave at once, and all others as ever: in order, limited, queued, refused, counted and told
the same way."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...support import Probe, UDPPeer, eventually, free_port
from ..servers import HOST, NARROW, in_network, needs_namespaces, open_server
from .lone import ALONE, Serving, Way, numbers, serve

pytestmark = [pytest.mark.backends, pytest.mark.loops]


class Sending(Serving):
    """Sends for each datagram what `answers` says, by the payload."""

    answers: Any = None

    def handle_message(self, sender: gen.PID, message: Any) -> Any:
        super().handle_message(sender, message)
        for answer in self.answers(message):
            self.send(message.id, answer)


def sending(answers: Any) -> type[Sending]:
    """A process that sends `answers(message)` to the server."""
    return type("Sending", (Sending,), {"answers": staticmethod(answers)})


async def payloads(peer: UDPPeer, count: int) -> list[bytes]:
    return [(await peer.receive())[0] for _ in range(count)]


async def test_a_hundred_answers_to_one_datagram_leave_in_order(node: homing.Node, peer: UDPPeer, way: Way) -> None:
    def answers(message: Any) -> list[Any]:
        return [message.reply(each) for each in (numbers(100) if message.data == b"many" else [message.data])]

    _, server, _ = await serve(node, sending(answers))
    await way.begin(peer, server)
    await way.send(peer, server, [b"one", b"many", b"one"])
    assert await payloads(peer, ALONE + 102) == [b"first"] * ALONE + [b"one", *numbers(100), b"one"]
    assert server.statistics().packets_out == ALONE + 102
    assert node.meta_info(server.alias).messages_in == ALONE + 102


async def test_answers_to_several_peers_and_of_several_senders_keep_the_order_of_each_sender(
    node: homing.Node, peer: UDPPeer, way: Way
) -> None:
    class Helping(act.Actor):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            for number in range(3):
                self.send(message.id, message.reply(b"helper %d" % number))

    class Both(Serving):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            self.send(message.id, message.reply(b"0"))
            self.send("helper", message)
            self.send(message.id, meta.MessageUDP(None, other.address, message.data))
            self.send(message.id, message.reply(b"1"))

    await node.spawn(Helping, name="helper")
    with UDPPeer() as other:
        _, server, _ = await serve(node, Both)
        await way.begin(peer, server)
        await way.send(peer, server, numbers(5))
        got = await payloads(peer, 5 * (ALONE + 5))
        assert await payloads(other, ALONE + 5) == [b"first"] * ALONE + numbers(5)
    assert [each for each in got if each in (b"0", b"1")] == [b"0", b"1"] * (ALONE + 5)
    helped = [each for each in got if each.startswith(b"helper")]
    assert helped == [b"helper 0", b"helper 1", b"helper 2"] * (ALONE + 5)


async def test_an_answer_waits_behind_what_another_process_has_sent_before(
    node: homing.Node, peer: UDPPeer, way: Way
) -> None:
    class Late(Serving):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            node.send(message.id, message.reply(b"of the node"))
            self.send(message.id, message.reply(b"of the process"))

    _, server, _ = await serve(node, Late)
    await way.begin(peer, server)
    await way.send(peer, server, numbers(3))
    assert await payloads(peer, 2 * (ALONE + 3)) == [b"of the node", b"of the process"] * (ALONE + 3)


async def test_a_call_and_a_send_with_priority_after_an_answer_leave_after_it(
    node: homing.Node, peer: UDPPeer, way: Way
) -> None:
    class Calling(Serving):
        async def handle_message(self, sender: gen.PID, message: Any) -> None:
            self.send(message.id, message.reply(b"first"))
            assert await self.call(message.id, message.reply(b"by call")) == 7
            self.send_with_priority(message.id, message.reply(b"high"), gen.MessagePriority.HIGH)
            self.send(message.id, message.reply(b"last"))

    _, server, _ = await serve(node, Calling)
    await way.begin(peer, server)
    await way.send(peer, server, [b"question"])
    got = await payloads(peer, 4 * (ALONE + 1))
    assert got[0::4] + got[1::4] == [b"first"] * (ALONE + 1) + [b"by call"] * (ALONE + 1)
    assert sorted(got[2::4] + got[3::4]) == [b"high"] * (ALONE + 1) + [b"last"] * (ALONE + 1)


TOO_LONG = b"x" * 65508


def released() -> memoryview:
    view = memoryview(bytearray(3))
    view.release()
    return view


REFUSED = [
    pytest.param(lambda message, own: message.reply(TOO_LONG), "EMSGSIZE", id="too long"),
    pytest.param(lambda message, own: meta.MessageUDP(None, own, b"x"), "BadAddress", id="to itself"),
    pytest.param(lambda message, own: meta.MessageUDP(None, ("name", 9), b"x"), "BadAddress", id="a name"),
    pytest.param(lambda message, own: meta.MessageUDP(None, ("::1", 9, 0, 0), b"x"), "BadAddress", id="other family"),
    pytest.param(lambda message, own: meta.MessageUDP(None, None, b"x"), "BadAddress", id="no address"),
    pytest.param(lambda message, own: meta.MessageUDP(None, (HOST, 0), b"x"), "EINVAL", id="port 0"),
    pytest.param(lambda message, own: meta.MessageUDP(None, ("255.255.255.255", 9), b"x"), "EACCES", id="broadcast"),
    pytest.param(lambda message, own: message.reply("text"), "TypeError", id="text"),
    pytest.param(lambda message, own: message.reply(released()), "ValueError", id="released"),
    pytest.param(lambda message, own: message.reply(memoryview(b"abcd")[::2]), "BufferError", id="gaps"),
]


@pytest.mark.parametrize(("answer", "error"), REFUSED)
async def test_a_refused_answer_is_counted_and_told_once_and_the_next_one_leaves(
    node: homing.Node, probe: Probe, peer: UDPPeer, way: Way, answer: Any, error: str
) -> None:
    own: list[Any] = []

    def answers(message: Any) -> list[Any]:
        if message.data != b"refuse":
            return [message.reply(message.data)]
        return [answer(message, own[0]), message.reply(b"and this")]

    _, server, _ = await serve(node, sending(answers), options={"on_error": probe.pid})
    own.append(server.local_address)
    await way.begin(peer, server)
    await way.send(peer, server, [b"refuse", b"refuse", b"last"])
    assert await payloads(peer, ALONE + 3) == [b"first"] * ALONE + [b"and this", b"and this", b"last"]
    told = [await probe.get(), await probe.get()]
    assert [type(each) for each in told] == [meta.MessageUDPError] * 2
    facts = server.statistics()
    assert sum(facts.send_errors.values()) == 2
    assert list(facts.send_errors) == [error]
    assert (facts.packets_out, facts.send_waiting) == (ALONE + 3, 0)
    assert probe.waiting() == []
    assert node.meta_info(server.alias).messages_in == ALONE + 5


@pytest.mark.parametrize("data", [bytearray(b"x y"), memoryview(b"x y"), type("Bytes", (bytes,), {})(b"x y")], ids=type)
async def test_answers_may_be_of_any_bytes_like_type(node: homing.Node, peer: UDPPeer, way: Way, data: Any) -> None:
    _, server, _ = await serve(node, sending(lambda message: [message.reply(data)]))
    await way.begin(peer, server)
    await way.send(peer, server, numbers(3))
    assert await payloads(peer, ALONE + 3) == [b"x y"] * (ALONE + 3)


async def test_answers_beyond_the_reply_limit_are_counted_and_not_sent(
    node: homing.Node, peer: UDPPeer, way: Way
) -> None:
    limit = meta.RateLimit(rate=0.001, burst=ALONE + 2, exempt=(), slip=0)
    _, server, _ = await serve(
        node, sending(lambda message: [message.reply(message.data)]), options={"reply_limit": limit}
    )
    await way.begin(peer, server)
    await way.send(peer, server, numbers(5))
    assert await payloads(peer, ALONE + 2) == [b"first"] * ALONE + numbers(2)
    await eventually(lambda: server.statistics().reply_limited == 3)
    assert server.statistics().packets_out == ALONE + 2


async def test_a_reply_guard_hears_the_lone_datagrams(node: homing.Node, peer: UDPPeer, way: Way) -> None:
    _, server, _ = await serve(
        node, sending(lambda message: [message.reply(message.data)]), options={"reply_guard": meta.ReplyGuard()}
    )
    await way.begin(peer, server)
    await way.send(peer, server, numbers(5))
    assert await payloads(peer, ALONE + 5) == [b"first"] * ALONE + numbers(5)
    assert server.statistics().reply_limited == 0


async def test_paced_answers_leave_in_order_by_their_pace(node: homing.Node, peer: UDPPeer, way: Way) -> None:
    pace = meta.Pacing(bytes_per_second=4000, burst=100)
    _, server, _ = await serve(
        node, sending(lambda message: [message.reply(message.data)]), options={"send_rate": pace}
    )
    await way.begin(peer, server)
    await way.send(peer, server, numbers(20))
    assert await payloads(peer, ALONE + 20) == [b"first"] * ALONE + numbers(20)
    assert server.statistics().send_delayed > 0


async def test_answers_in_a_bounded_mailbox_leave_in_order(node: homing.Node, peer: UDPPeer, way: Way) -> None:
    _, server, _ = await serve(
        node,
        sending(lambda message: [message.reply(message.data)]),
        options={"send_overflow": "pause", "send_queue": 100},
    )
    await way.begin(peer, server)
    await way.send(peer, server, numbers(20))
    assert await payloads(peer, ALONE + 20) == [b"first"] * ALONE + numbers(20)


@pytest.mark.skipif(not hasattr(socket, "MSG_ERRQUEUE"), reason="error queues are Linux's")
async def test_an_answer_to_a_port_that_nobody_has_is_told_once_and_no_other_is(
    node: homing.Node, probe: Probe, peer: UDPPeer, way: Way
) -> None:
    gone = (HOST, free_port())

    def answers(message: Any) -> list[Any]:
        if message.data == b"dead":
            return [meta.MessageUDP(None, gone, b"to nobody"), message.reply(b"alive")]
        return [message.reply(message.data)]

    _, server, _ = await serve(node, sending(answers), options={"error_queue": True, "on_error": probe.pid})
    await way.begin(peer, server)
    await way.send(peer, server, [b"a", b"dead", b"b"])
    assert await payloads(peer, ALONE + 3) == [b"first"] * ALONE + [b"a", b"alive", b"b"]
    told = await probe.get()
    assert (told.addr, told.errno, told.data) == (gone, errno.ECONNREFUSED, b"to nobody")
    await way.send(peer, server, [b"c"])
    assert await payloads(peer, 1) == [b"c"]
    assert probe.waiting() == []
    assert dict(server.statistics().icmp_errors) == {"ECONNREFUSED": 1}


async def test_an_address_that_equals_the_alias_is_the_alias(node: homing.Node, peer: UDPPeer, way: Way) -> None:
    class Copying(Serving):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            self.send(type(message.id)(*message.id), message.reply(message.data))

    _, server, _ = await serve(node, Copying)
    await way.begin(peer, server)
    await way.send(peer, server, numbers(3))
    assert await payloads(peer, ALONE + 3) == [b"first"] * ALONE + numbers(3)


async def test_an_answer_to_a_server_that_has_ended_raises(
    node: homing.Node, probe: Probe, peer: UDPPeer, way: Way
) -> None:
    server, alias = await open_server(probe)
    await way.begin(peer, server)
    for _ in range(ALONE):
        message = await probe.get()
        await probe.do(lambda actor, message=message: actor.send(alias, message.reply(b"answer")))  # type: ignore[misc]
    assert await payloads(peer, ALONE) == [b"answer"] * ALONE
    await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateNormal))
    await eventually(lambda: node.info().metas == 0)
    for _ in range(2):
        error = await probe.do(lambda actor: error_of_send(actor, alias, message.reply(b"too late")))
        assert type(error) is gen.MetaTerminated


def error_of_send(actor: Any, to: Any, message: Any) -> Exception | None:
    """What `send` raises."""
    try:
        actor.send(to, message)
    except gen.HomingError as error:
        return error
    return None


@needs_namespaces
@pytest.mark.backends
def test_what_the_kernel_has_no_room_for_waits_in_order_also_behind_lone_datagrams() -> None:
    async def main(node: homing.Node) -> None:
        _, server, _ = await serve(
            node,
            sending(lambda message: [message.reply(b"%03d" % number + b"x" * 1000) for number in range(20)]),
            options={"send_buffer": 5000, "send_queue": 1000},
        )
        with UDPPeer() as peer:
            for _ in range(ALONE):
                peer.send(b"alone", server.local_address)
                got = await payloads(peer, 20)
                assert [int(each[:3]) for each in got] == list(range(20))
        facts = server.statistics()
        assert (facts.packets_out, facts.dropped_send_queue) == (20 * ALONE, 0)

    in_network(NARROW, lambda: homing.run(main))
