"""Whoever answers the sender of a datagram answers its peer; whoever answers a process answers once, and is told."""

from __future__ import annotations

from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...support import Probe, UDPPeer
from ..servers import create

pytestmark = [pytest.mark.backends, pytest.mark.loops]


class AnswersTheSender(act.Actor):
    def handle_message(self, sender: gen.Alias, message: Any) -> None:
        self.send(sender, message.reply(b"re: " + message.data))


class AnswersTheSenderLater(act.Actor):
    async def handle_message(self, sender: gen.Alias, message: Any) -> None:
        await self.call(sender, message.reply(b"re: " + message.data))


class OfBatches(act.Actor):
    def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        for message in batch:
            self.send(batch.id, message.reply(b"re: " + message.data))


class OfThese(act.Pool):
    def init(self) -> act.PoolOptions:
        return act.PoolOptions(worker=AnswersTheSender, pool_size=2)


class ToThese(act.Router):
    def init(self) -> act.RouterOptions:
        return act.RouterOptions(routes=(act.RouteSpec(name="one", behavior=AnswersTheSender),))

    def route_message(self, sender: Any, message: Any) -> str:
        return "one"


class Forwards(act.Actor):
    async def init(self) -> None:
        self.to = await self.spawn(AnswersTheSender)

    def handle_message(self, sender: gen.Alias, message: Any) -> None:
        self.forward(self.to, message, sender=sender)


KINDS = [AnswersTheSender, AnswersTheSenderLater, OfBatches, OfThese, ToThese, Forwards]


@pytest.mark.parametrize("overflow", ["pause", "drop_oldest"])
@pytest.mark.parametrize("kind", KINDS)
async def test_an_answer_to_the_sender_of_a_datagram_goes_to_its_peer(
    kind: type[act.Actor], overflow: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    receiver = await node.spawn(kind)
    server = create(process=receiver, overflow=overflow)
    await probe.do(lambda actor: actor.spawn_meta(server))
    for number in range(5):
        data = b"%d" % number
        assert await peer.ask(data, server.local_address) == b"re: " + data
    assert server.statistics().packets_out == 5


async def test_an_answer_to_what_a_client_brings_unasked_goes_to_its_peer(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    receiver = await node.spawn(AnswersTheSender)
    client = meta.create_udp_client(meta.UDPClientOptions(host=peer.address[0], port=peer.address[1], process=receiver))
    await probe.do(lambda actor: actor.spawn_meta(client))
    assert await peer.ask(b"news", client.local_address) == b"re: news"


class AnswersItself(act.Actor):
    async def init(self, server: meta.UDPServer, to: str) -> None:
        self.to = self.pid if to == "itself" else to
        self.handled = 0
        await self.spawn_meta(server)

    def handle_message(self, sender: Any, message: Any) -> None:
        self.handled += 1
        self.send(self.to, message.reply(message.data))


class Reflects(act.Actor):
    """Another process that answers what it gets to where that came from."""

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.send(sender, message.reply(message.data))


@pytest.mark.parametrize("to", ["itself", "other"])
async def test_an_answer_to_a_process_is_not_answered_again_and_the_reason_says_what_to_do(
    to: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    other = await node.spawn(Reflects, name="other")
    server = create()
    pid = await node.spawn(AnswersItself, server, to)
    await probe.do(lambda actor: actor.monitor(pid if to == "itself" else other))
    peer.send(b"hello", server.local_address)
    ended = await probe.get()
    assert isinstance(ended.reason, gen.NotAllowed)
    assert "send it to its id" in str(ended.reason)
    assert node.info().crashes == 1


@pytest.mark.once
def test_only_an_answer_made_by_reply_is_no_question() -> None:
    question = meta.MessageUDP(gen.Alias("demo@localhost", 5, 1), ("192.0.2.1", 9), b"hello")
    answer = question.reply(b"one")
    question.reply(b"two")
    with pytest.raises(gen.NotAllowed, match=r"Alias<demo@localhost\.5>"):
        answer.reply(b"three")
