"""The ledger: every datagram that was sent to a server is under exactly one heading, whatever way it went."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...datagram.traffic import Sender, linux_only
from ...support import Probe, UDPPeer, eventually, free_port
from ..servers import Gate, Gated, balanced, create, open_server

pytestmark = pytest.mark.backends

SENT = 300


class Batches(act.Actor):
    """Takes batches, and counts their datagrams."""

    def init(self, handled: list[int]) -> None:
        self.handled = handled

    def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        self.handled.append(batch.count)


class Worker(act.Actor):
    """Handles one datagram, and then waits for ever."""

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        await asyncio.Event().wait()


def by_first_byte(sender: gen.PID, message: Any) -> int:
    if message.data[0] % 3 == 0:
        raise ValueError("no key")
    return int(message.data[0])


WAYS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "pause": ({"high_water": 10, "receive_buffer": 8000}, {"kernel"}),
    "newest": ({"high_water": 10, "overflow": "drop_newest"}, {"receiver_full"}),
    "oldest": ({"high_water": 10, "overflow": "drop_oldest"}, {"receiver_oldest"}),
    "fair": ({"fair": meta.Fair(queue=10)}, {"unfair"}),
    "denied": ({"deny": ("127.0.0.0/8",)}, {"denied"}),
    "limited": ({"rate_limit": meta.RateLimit(rate=1e-9, burst=20, exempt=())}, {"rate_limit"}),
    "pooled": ({"high_water": 10, "overflow": "drop_newest", "buffer_pool": meta.BufferPool(100)}, {"receiver_full"}),
    "truncated": ({"buffer_size": 1}, set()),
    "workers": ({"worker": Worker, "workers": 2}, set()),
    "misrouted": ({"worker": Worker, "workers": 2, "route": by_first_byte}, {"misrouted"}),
    "peers": ({"peers": meta.PeerOptions(worker=Worker, queue=20)}, {"receiver_full"}),
    "peers limited": ({"peers": meta.PeerOptions(worker=Worker, rate=0.001, burst=5)}, {"receiver_full"}),
}
"""Options of a server by the way that its datagrams go, and what some of them are dropped for."""


@pytest.mark.parametrize("way", WAYS)
async def test_each_datagram_is_under_one_heading(way: str, node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    given, causes = WAYS[way]
    await node.spawn(Gated, Gate(), name="gated")
    receiver = {} if {"worker", "peers"} & given.keys() else {"process": "gated"}
    all_at_once = {"receive_buffer": 1 << 20, "high_water_seconds": None}  # however slow the receiver seems to be
    server, alias = await open_server(probe, **{**all_at_once, **receiver, **given})
    for number in range(SENT):
        peer.send(bytes([number % 251, 0]), server.local_address)
        if number % 50 == 0:
            await asyncio.sleep(0)
            balanced(server)
    if way != "pause":
        await eventually(lambda: balanced(server).received == SENT)
        await eventually(lambda: {cause for cause, count in balanced(server).dropped.items() if count} == causes)
    else:
        await eventually(lambda: server.statistics().pauses and balanced(server).received < SENT)
    told = await node.inspect_meta(alias, "ledger")
    ledger = balanced(server)
    assert told == {
        "ledger": {
            "received": ledger.received,
            "delivered": ledger.delivered,
            "waiting": ledger.waiting,
            "dropped": dict(ledger.dropped),
        }
    }
    assert {cause for cause, count in ledger.dropped.items() if count} == causes


async def test_batches_are_delivered_datagram_by_datagram(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    handled: list[int] = []
    await node.spawn(Batches, handled, name="batches")
    server, _ = await open_server(probe, process="batches", receive_buffer=1 << 20)
    for _ in range(SENT):
        peer.send(b"x", server.local_address)
    await eventually(lambda: balanced(server).received == SENT)
    await eventually(lambda: sum(handled) == SENT)
    assert balanced(server).delivered == SENT


@pytest.mark.backends("native")
@linux_only
async def test_what_is_left_of_a_train_when_its_socket_is_closed_is_dropped_at_the_end(
    node: homing.Node, probe: Probe
) -> None:
    await node.spawn(Gated, Gate(), name="gated")
    server, alias = await open_server(probe, process="gated", high_water=10)
    with Sender() as sender:
        sender.send(bytes(100 * 50), server.local_address, 100)
    await eventually(lambda: server.statistics().pauses)
    waiting = balanced(server).waiting
    assert (balanced(server).received, waiting > 0) == (50, True)
    await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateNormal()))
    await eventually(lambda: balanced(server).waiting == 0)
    assert balanced(server).dropped["end"] == waiting
    assert balanced(server).received == 50


async def test_the_ledger_goes_on_with_a_new_owner_and_another_socket(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    heir = await Probe.start(node)
    port = free_port()
    server, alias = await open_server(probe, port=port, linger=60.0)

    async def send_all() -> None:
        for _ in range(20):
            peer.send(b"x", server.local_address)
        before = balanced(server).received
        await eventually(lambda: balanced(server).received == before + 20)

    await send_all()
    await probe.do(lambda actor: actor.give_meta(alias, heir.pid))
    await send_all()
    await heir.do(lambda actor: actor.call(alias, meta.Reconfigure(port=0, grace=0.0)))
    await send_all()
    address = server.local_address
    node.kill(heir.pid)
    await heir.ended.wait()
    for _ in range(20):
        peer.send(b"x", address)
    again, _ = await open_server(probe, port=address[1], linger=60.0)
    await eventually(lambda: balanced(again).received == 80)
    assert balanced(again).delivered == 80


def test_the_ledger_of_a_server_that_was_never_started_is_empty() -> None:
    with create() as server:
        assert balanced(server).received == 0
