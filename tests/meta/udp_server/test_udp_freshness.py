"""Freshness: datagrams that have waited too long are dropped and counted, wherever they waited."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import pytest

import homing
from homing import act, gen, meta
from homing.testing import FakeNetwork, run_virtual

from ...datagram.traffic import Sender, linux_only
from ...support import Probe, UDPPeer, eventually, free_port
from ..servers import Gate, Gated, balanced, open_server

pytestmark = pytest.mark.backends

AGE = 0.05


async def time_passes(seconds: float) -> None:
    """Waits until so much time has passed."""
    end = time.monotonic() + seconds
    await eventually(lambda: time.monotonic() > end)


class Stalling(act.Actor):
    """Notes each number and its age, and is busy for a while with each hundredth."""

    def init(self, got: list[tuple[int, float]]) -> None:
        self.got = got

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        number = int(message.data)
        self.got.append((number, asyncio.get_running_loop().time() - message.info.timestamp / 1e9))
        if number % 1000 == 0:
            await asyncio.sleep(0.3)


def test_of_a_thousand_datagrams_a_second_none_older_than_the_limit_is_delivered_after_a_stall() -> None:
    got: list[tuple[int, float]] = []

    async def main() -> meta.Ledger:
        with FakeNetwork(seed=1) as network:
            async with homing.start_node("test@localhost", gen.NodeOptions(handle_signals=False)) as node:
                await node.spawn(Stalling, got, name="stalling")
                probe = await Probe.start(node)
                server, _ = await open_server(probe, process="stalling", max_age=AGE, receive_buffer=1 << 20)
                peer = network.socket()
                for number in range(3000):
                    peer.send(b"%d" % number, server.local_address)
                    await asyncio.sleep(0.001)
                await asyncio.sleep(1)
                return balanced(server)

    ledger = run_virtual(main)
    assert max(age for _, age in got) <= AGE
    assert len(got) == ledger.delivered
    assert ledger.delivered + ledger.dropped["expired"] == ledger.received == 3000
    assert 700 < ledger.dropped["expired"] < 800


@pytest.mark.parametrize("pooled", [False, True])
async def test_a_datagram_that_grows_old_in_the_mailbox_is_not_handed_over(
    pooled: bool, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate, pool = Gate(), meta.BufferPool(100)
    await node.spawn(Gated, gate, name="gated")
    server, alias = await open_server(
        probe, process="gated", max_age=AGE, buffer_pool=pool if pooled else None, high_water=10_000
    )
    peer.send(b"first", server.local_address)
    await eventually(lambda: gate.reached)
    for _ in range(100):
        peer.send(b"old", server.local_address)
    await eventually(lambda: balanced(server).received == 101)
    await time_passes(AGE)
    gate.let(1000)
    await eventually(lambda: balanced(server).dropped["expired"] == 100)
    peer.send(b"new", server.local_address)
    await gate.passed_by(2)
    assert gate.payloads() == [b"first", b"new"]
    gate.passed.clear()
    gate.reached.clear()
    await eventually(lambda: pool.lent == 0)
    facts = await node.inspect_meta(alias, "expired", "max_age")
    assert facts == {"expired": 100, "max_age": AGE}


@linux_only
async def test_a_datagram_that_grows_old_in_the_kernel_is_not_handed_over(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    port = free_port()
    server = meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1", port=port, max_age=AGE))
    for _ in range(20):
        peer.send(b"old", server.local_address)
    await time_passes(AGE)
    peer.send(b"new", server.local_address)
    await probe.do(lambda actor: actor.spawn_meta(server))
    assert (await probe.get()).data == b"new"
    assert balanced(server).dropped["expired"] == 20


class SlowWorker(act.Actor):
    """A worker as slow as its gate."""

    def init(self, gate: Gate) -> None:
        self.gate = gate

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        await self.gate.enter(message)


@pytest.mark.parametrize("options", [gen.ProcessOptions(), gen.ProcessOptions(concurrency=2)])
@pytest.mark.parametrize("route", ["round_robin", "least", "source"])
async def test_a_datagram_that_grows_old_at_a_worker_is_not_handed_over(
    route: Any, options: gen.ProcessOptions, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = Gate()
    server, _ = await open_server(
        probe, worker=SlowWorker, worker_args=(gate,), workers=2, worker_options=options, route=route, max_age=AGE
    )
    for number in range(50):
        peer.send(b"%d" % number, server.local_address)
    await eventually(lambda: balanced(server).received == 50)
    await eventually(lambda: gate.reached)
    await time_passes(AGE)
    gate.let(1000)
    await eventually(lambda: len(gate.passed) + balanced(server).dropped["expired"] == 50)
    assert balanced(server).delivered == len(gate.passed) < 10


class Threaded(act.Actor):
    """Blocks its thread with the first datagram."""

    def init(self, got: list[bytes]) -> None:
        self.got = got

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.got.append(bytes(message.data))
        if message.data == b"first":
            time.sleep(2 * AGE)


async def test_a_datagram_that_grows_old_at_a_thread_is_not_handed_over(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    got: list[bytes] = []
    await node.spawn(Threaded, got, name="threaded", options=gen.ProcessOptions(thread=True))
    server, _ = await open_server(probe, process="threaded", max_age=AGE)
    peer.send(b"first", server.local_address)
    await eventually(lambda: got)
    for _ in range(10):
        peer.send(b"old", server.local_address)
    await eventually(lambda: balanced(server).dropped["expired"] == 10)
    peer.send(b"new", server.local_address)
    await eventually(lambda: len(got) == 2)
    assert got == [b"first", b"new"]


async def test_a_datagram_that_grows_old_at_a_peers_process_is_not_handed_over(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = Gate()
    server, _ = await open_server(probe, peers=meta.PeerOptions(worker=SlowWorker, worker_args=(gate,)), max_age=AGE)
    for _ in range(20):
        peer.send(b"x", server.local_address)
    await eventually(lambda: gate.reached and balanced(server).received == 20)
    await time_passes(AGE)
    gate.let(100)
    await eventually(lambda: balanced(server).dropped["expired"] == 19)
    assert balanced(server).delivered == 1


class BatchKeeper(act.Actor):
    """Keeps the datagrams and markers of batches."""

    def init(self, got: list[Any]) -> None:
        self.got = got

    def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        assert batch.count > 0
        losses = list(batch.losses)
        assert (len(batch.hosts), len(batch.ports)) == (4 * batch.count, batch.count)
        for index, message in enumerate(batch):
            while losses and losses[0][0] == index:
                self.got.append(losses.pop(0)[1])
            self.got.append(bytes(message.data))

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.got.append(message)


@linux_only
async def test_a_batch_has_no_old_datagrams_and_their_place_is_marked(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    got: list[Any] = []
    receiver = await node.spawn(BatchKeeper, got)
    server = meta.create_udp_server(
        meta.UDPServerOptions(host="127.0.0.1", process=receiver, max_age=AGE, loss_markers=True)
    )
    for _ in range(5):
        peer.send(b"old", server.local_address)
    await time_passes(AGE)
    for number in range(3):
        peer.send(b"%d" % number, server.local_address)
    await probe.do(lambda actor: actor.spawn_meta(server))
    await eventually(lambda: got[-1:] == [b"2"])
    assert [one if isinstance(one, bytes) else (one.count, one.cause) for one in got] == [
        (5, "expired"),
        b"0",
        b"1",
        b"2",
    ]
    assert balanced(server).dropped["expired"] == 5


@linux_only
async def test_markers_stand_in_the_place_of_those_that_expired(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    gate = Gate()
    await node.spawn(Gated, gate, name="gated")
    server, _ = await open_server(probe, process="gated", max_age=AGE, loss_markers=True)
    peer.send(b"first", server.local_address)
    await eventually(lambda: gate.reached)
    for _ in range(10):
        peer.send(b"old", server.local_address)
    await eventually(lambda: balanced(server).received == 11)
    await time_passes(AGE)
    peer.send(b"new", server.local_address)
    gate.let(100)
    await eventually(
        lambda: [bytes(one.data) for one in gate.passed if isinstance(one, meta.MessageUDP)][-1:] == [b"new"]
    )
    markers = gate.passed[1:-1]
    assert sum(marker.count for marker in markers) == 10
    assert {marker.cause for marker in markers} == {"expired"}


async def test_the_limit_changes_while_the_server_runs_and_outlives_its_owner(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe)
    peer.send(b"one", server.local_address)
    assert (await probe.get()).data == b"one"
    answer = await probe.do(lambda actor: actor.call(alias, meta.Reconfigure(max_age=1e-9)))
    assert answer.options.max_age == 1e-9
    peer.send(b"two", server.local_address)
    await eventually(lambda: balanced(server).dropped["expired"] == 1)
    await probe.do(lambda actor: actor.call(alias, meta.Reconfigure(max_age=1000)))
    peer.send(b"three", server.local_address)
    message = await probe.get()
    assert message.data == b"three"
    if sys.platform == "linux":
        assert message.info.timestamp is not None
    await probe.do(lambda actor: actor.call(alias, meta.Reconfigure(max_age=None)))
    peer.send(b"four", server.local_address)
    assert (await probe.get()).data == b"four"
    assert balanced(server).dropped["expired"] == 1


@pytest.mark.parametrize("age", [0, -1, "1", float("nan"), True])
def test_an_age_that_is_none_is_refused(age: Any) -> None:
    with pytest.raises(gen.BadOption, match="max_age"):
        meta.UDPServerOptions(max_age=age)


@pytest.mark.backends("native")
@linux_only
async def test_a_train_expires_as_its_datagrams(node: homing.Node, probe: Probe) -> None:
    server = meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1", max_age=AGE))
    with Sender() as sender:
        sender.send(bytes(100 * 50), server.local_address, 100)
        await time_passes(AGE)
        sender.send(b"new", server.local_address, 100)
    await probe.do(lambda actor: actor.spawn_meta(server))
    assert (await probe.get()).data == b"new"
    assert balanced(server).dropped["expired"] == 50
