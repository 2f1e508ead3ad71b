"""Servers that answer whatever comes: with a guard, one forged datagram does not set two of them on each other."""

from __future__ import annotations

from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...support import Probe, UDPPeer, eventually
from ..servers import HOST, create

pytestmark = [pytest.mark.backends, pytest.mark.loops]

STILL = meta.ReplyGuard(burst=10, clock=lambda: 0.0)
"""A guard for which no time passes: each peer gets ten answers for ever."""


class Echo(act.Actor):
    """Answers whatever comes with the same, by the server that it is told to open."""

    async def init(self, server: meta.UDPServer) -> None:
        self.udp = await self.spawn_meta(server)

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.send(message.id, message.reply(message.data))

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> gen.Alias:
        return self.udp


class EchoOfBatches(Echo):
    def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        for message in batch:
            self.send(batch.id, message.reply(message.data))


async def start(node: homing.Node, kind: type[Echo] = Echo, **options: Any) -> tuple[meta.UDPServer, gen.Alias]:
    server = create(**options)
    return server, await node.call(await node.spawn(kind, server), "alias")


@pytest.mark.parametrize("kind", [Echo, EchoOfBatches])
async def test_one_forged_datagram_between_two_servers_makes_no_more_than_two_bursts(
    node: homing.Node, kind: type[Echo]
) -> None:
    one, alias = await start(node, kind, reply_guard=STILL)
    other, _ = await start(node, kind, reply_guard=STILL)
    with UDPPeer() as peer:  # asks the one; the other is named by what the one sends to it of its own accord
        peer.send(b"hello", one.local_address)
        assert (await peer.receive())[0] == b"hello"
    await node.call(alias, meta.Reconfigure(reply_guard=None))
    node.send(alias, meta.MessageUDP(None, other.local_address, b"forged"))
    await eventually(lambda: other.statistics().reply_limited == 1)
    await eventually(lambda: one.statistics().packets_in == 11)
    assert other.statistics().packets_out == 10
    assert one.statistics().packets_out <= 1 + 1 + 10


@pytest.mark.parametrize("pooled", [False, True])
async def test_each_answer_is_sent_or_counted_and_its_buffer_goes_back(node: homing.Node, pooled: bool) -> None:
    pool = meta.BufferPool(size=2048) if pooled else None
    server, _ = await start(node, reply_guard=STILL, buffer_pool=pool)
    with UDPPeer() as peer:
        for _ in range(30):
            peer.send(b"hello", server.local_address)
        await eventually(lambda: server.statistics().reply_limited == 20)
        assert server.statistics().packets_out == 10
        assert server.statistics().delivered == 30
    assert pool is None or pool.lent == 0


async def test_a_call_is_told_that_its_datagram_was_held_back(node: homing.Node, probe: Probe) -> None:
    server = create(reply_guard=STILL)
    alias = await probe.do(lambda actor: actor.spawn_meta(server))
    with UDPPeer() as peer:
        with pytest.raises(gen.ReplyLimited):
            await node.call(alias, meta.MessageUDP(None, peer.address, b"unasked"))
        peer.send(b"hello", server.local_address)
        message = await probe.get()
        assert await node.call(alias, message.reply(b"hello")) == 5
        with pytest.raises(gen.ReplyLimited):
            await node.call(alias, message.reply(bytes(200)))


async def test_a_guard_can_be_set_while_the_server_runs_and_is_shown(node: homing.Node, probe: Probe) -> None:
    server = create()
    alias = await probe.do(lambda actor: actor.spawn_meta(server))
    assert (await node.inspect_meta(alias, "reply_guard"))["reply_guard"] is False
    answer = await node.call(alias, meta.Reconfigure(reply_guard=STILL))
    assert answer.options.reply_guard == STILL
    assert (await node.inspect_meta(alias, "reply_guard"))["reply_guard"] is True
    with UDPPeer() as peer:
        for _ in range(11):
            peer.send(b"hello", server.local_address)
            node.send(alias, (await probe.get()).reply(b"hello"))
        await eventually(lambda: server.statistics().reply_limited == 1)
        assert server.statistics().packets_out == 10


def test_what_is_no_guard_is_refused_by_name() -> None:
    with pytest.raises(gen.BadOption) as caught:
        meta.UDPServerOptions(host=HOST, reply_guard=True)  # type: ignore[arg-type]
    assert caught.value.option == "reply_guard"
