"""What a server tells of each datagram, and sends with one: through mailboxes, pools, batches, queues and adoption."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...datagram.backend.marks import MarkedReceiver, MarkingSender, Marks
from ...datagram.traffic import linux_only
from ...support import Probe, UDPPeer, eventually
from ..servers import HOST, NARROW, create, error_of, in_network, needs_namespaces, open_echo, open_server

pytestmark = [
    pytest.mark.backends,
    linux_only,
]
ALL: dict[str, Any] = {
    "receive_local_address": True,
    "receive_tos": True,
    "receive_ttl": True,
    "receive_timestamp": True,
}


async def test_a_message_has_no_info_unless_it_is_asked_for(probe: Probe, peer: UDPPeer) -> None:
    server, _ = await open_server(probe)
    peer.send(b"x", server.local_address)
    assert (await probe.get()).info is None


async def test_a_message_tells_what_its_options_ask_for(probe: Probe) -> None:
    server, _ = await open_server(probe, host="0.0.0.0", **ALL)
    with MarkingSender("IPv4") as sender:
        before = time.time_ns()
        sender.send(b"x", ("127.0.0.7", server.local_address[1]), Marks(tos=0xBB, ttl=5))
        info = (await probe.get()).info
        assert (info.local, info.dscp, info.ecn, info.ttl) == ("127.0.0.7", 46, 3, 5)
        assert before <= info.timestamp <= time.time_ns()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "127.200.3.4"])
async def test_an_echo_comes_from_the_address_that_was_asked(host: str, node: homing.Node, peer: UDPPeer) -> None:
    server = await open_echo(node, host="0.0.0.0", receive_local_address=True)
    peer.send(b"who is there", (host, server.local_address[1]))
    assert await peer.receive() == (b"who is there", (host, server.local_address[1]))


async def test_a_call_sends_with_info_and_is_told_what_cannot_be_sent(node: homing.Node, probe: Probe) -> None:
    server, alias = await open_server(probe)
    with MarkedReceiver("IPv4") as receiver:
        assert await node.call(alias, message_to(receiver, meta.PacketInfo(tos=7, ttl=8, local="127.0.0.1"))) == 1
        assert receiver.receive(1) == [(b"x", HOST, 7, 8)]
        error = await error_of(node.call(alias, message_to(receiver, meta.PacketInfo(local="::1"))))
        assert isinstance(error, gen.BadOption)
        assert error.option == "local"
        assert await node.call(alias, message_to(receiver, None)) == 1
        assert receiver.receive(1) == [(b"x", HOST, *receiver.usual)]
    assert server.statistics().send_errors == {"BadOption": 1}


def message_to(receiver: MarkedReceiver, info: meta.PacketInfo | None) -> meta.MessageUDP:
    return meta.MessageUDP(None, receiver.address, b"x", info=info)


async def test_an_info_that_is_none_is_counted_and_the_others_go_out(probe: Probe) -> None:
    server, alias = await open_server(probe)
    with MarkedReceiver("IPv4") as receiver:

        def send_all(actor: Any) -> None:
            for info in (meta.PacketInfo(tos=1), "none", meta.PacketInfo(tos=2)):
                actor.send(alias, message_to(receiver, info))

        await probe.do(send_all)
        await eventually(lambda: server.statistics().packets_out == 2)
        assert [tos for _, _, tos, _ in receiver.receive(2)] == [1, 2]
        assert server.statistics().send_errors == {"BadOption": 1}


@needs_namespaces
async def test_what_waits_in_the_send_queue_keeps_its_info_and_what_could_never_go_is_refused_at_once(
    node: homing.Node, probe: Probe
) -> None:
    server, receiver = in_network(NARROW, lambda: (create(send_buffer=1), MarkedReceiver("IPv4")))
    with receiver:
        alias = await probe.do(lambda actor: actor.spawn_meta(server))

        def send_all(actor: Any) -> None:
            for number in range(60):
                info = meta.PacketInfo(tos=number, ttl=number + 1) if number % 3 else None
                actor.send(alias, meta.MessageUDP(None, receiver.address, bytes(500), info=info))

        await probe.do(send_all)
        await eventually(lambda: server.statistics().send_waiting)
        error = await error_of(node.call(alias, message_to(receiver, meta.PacketInfo(local="::1"))))
        assert isinstance(error, gen.BadOption)
        await eventually(lambda: server.statistics().packets_out == 60)
        usual = receiver.usual
        assert [marks[2:] for marks in receiver.receive(60)] == [
            (number, number + 1) if number % 3 else usual for number in range(60)
        ]


async def test_with_a_buffer_pool_the_answer_leaves_from_the_address_that_was_asked(
    node: homing.Node, peer: UDPPeer
) -> None:
    pool = meta.BufferPool(size=2000)
    server = await open_echo(node, host="0.0.0.0", buffer_pool=pool, receive_local_address=True)
    peer.send(b"pooled", ("127.0.0.9", server.local_address[1]))
    assert await peer.receive() == (b"pooled", ("127.0.0.9", server.local_address[1]))
    await eventually(lambda: pool.lent == 0)


@pytest.mark.parametrize(("family", "asked"), [("IPv4", "127.0.0.9"), ("IPv6", "::1")])
async def test_a_server_of_both_families_tells_and_marks_in_that_of_the_peer(
    family: str, asked: str, node: homing.Node, probe: Probe
) -> None:
    server, alias = await open_server(probe, host="::", dual_stack=True, **ALL)
    with MarkedReceiver(family) as receiver:
        receiver.set(Marks(tos=0xBB, ttl=9))
        receiver.socket.sendto(b"x", (asked, server.local_address[1]))
        message = await probe.get()
        assert (message.info.local, message.info.tos, message.info.ttl) == (asked, 0xBB, 9)
        assert await node.call(alias, message.reply(b"answer", meta.PacketInfo(tos=7, ttl=8))) == 6
        assert receiver.receive(1) == [(b"answer", asked, 7, 8)]
        other = meta.PacketInfo(local="127.0.0.1" if family == "IPv6" else "::1")
        assert isinstance(await error_of(node.call(alias, message.reply(b"", other))), gen.BadOption)


class Answering(act.Actor):
    """Answers, and tells the class of service."""

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.send(message.id, message.reply(b"%d" % message.info.dscp))


class AnsweringBatches(act.Actor):
    """The same, a batch at a time, and after its end."""

    def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        copy = batch.detach()
        for index, message in enumerate(copy):
            info = copy.info(index)
            assert info is not None
            self.send(batch.id, message.reply(b"%d" % info.dscp))  # type: ignore[str-bytes-safe]


@pytest.mark.parametrize("how", ["worker", "batches"])
async def test_workers_and_batches_answer_from_the_address_that_was_asked(
    how: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    to = {"worker": Answering} if how == "worker" else {"process": await node.spawn(AnsweringBatches)}
    server, _ = await open_server(probe, host="0.0.0.0", receive_local_address=True, receive_tos=True, **to)
    for number in range(1, 5):
        peer.socket.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, number << 2)
        peer.send(b"x", (f"127.0.0.{number}", server.local_address[1]))
    got = [await peer.receive() for _ in range(4)]
    assert sorted(got) == [(b"%d" % number, (f"127.0.0.{number}", server.local_address[1])) for number in range(1, 5)]


@pytest.mark.once
@pytest.mark.parametrize("option", sorted(ALL))
@pytest.mark.parametrize("value", [None, 1, "yes"])
def test_an_option_is_true_or_false(option: str, value: Any) -> None:
    with pytest.raises(gen.BadOption, match=option):
        meta.UDPServerOptions(**{option: value})


@pytest.mark.once
@pytest.mark.parametrize("option", sorted(ALL))
def test_where_the_system_does_not_tell_no_socket_is_left_open(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homing.datagram.sockets.packet_info.sys.platform", "darwin")
    with pytest.raises(gen.BadOption, match="Linux only"):
        create(**{option: True})
