"""Freshness: datagrams that have waited too long are dropped and counted, wherever they waited."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

import homing
from homing import act, gen, meta
from homing.testing import FakeNetwork, run_virtual

from ...datagram.traffic import Sender, linux_only
from ...faults.figures import figure
from ...support import DEADLINE, Probe, UDPPeer, eventually, examples
from ..servers import Gate, Gated, balanced, open_server

pytestmark = pytest.mark.backends

AGE = 0.25
"""Seconds: long beside what a busy machine takes to hand over a fresh datagram."""


async def time_passes(seconds: float) -> None:
    """Waits until so much time has passed."""
    end = time.monotonic() + seconds
    await eventually(lambda: time.monotonic() > end)


@pytest.fixture
async def kernel_times() -> AsyncIterator[None]:
    """The kernel notes when datagrams come. It begins with that some time after the first socket of the machine has
    asked for it, and stops with the last."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS
        sock.bind(("127.0.0.1", 0))
        late = True
        async with asyncio.timeout(DEADLINE):
            while late:
                sock.sendto(b"x", sock.getsockname())
                await time_passes(0.005)
                ((_, _, stamp),) = sock.recvmsg(1, 100)[1]
                seconds, nanoseconds = struct.unpack("ll", stamp)
                late = time.time() - (seconds + nanoseconds / 1e9) < 0.004
        yield


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
                server, _ = await open_server(probe, process="stalling", max_age=0.05, receive_buffer=1 << 20)
                peer = network.socket()
                for number in range(3000):
                    peer.send(b"%d" % number, server.local_address)
                    await asyncio.sleep(0.001)
                await asyncio.sleep(1)
                return balanced(server)

    ledger = run_virtual(main)
    assert max(age for _, age in got) <= 0.05
    assert len(got) == ledger.delivered
    assert ledger.delivered + ledger.dropped["expired"] == ledger.received == 3000
    assert 700 < ledger.dropped["expired"] < 800
    figure(56, "oldest datagram handed over, in ms, with max_age=0.05", round(1000 * max(age for _, age in got), 1))


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
@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.usefixtures("kernel_times")
async def test_a_datagram_that_grows_old_in_the_kernel_is_not_handed_over(
    pooled: bool, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    pool = meta.BufferPool(100) if pooled else None
    server = meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1", max_age=AGE, buffer_pool=pool))
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
@pytest.mark.usefixtures("kernel_times")
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
@pytest.mark.usefixtures("kernel_times")
async def test_a_train_expires_as_its_datagrams(node: homing.Node, probe: Probe) -> None:
    server = meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1", max_age=AGE))
    with Sender() as sender:
        sender.send(bytes(100 * 50), server.local_address, 100)
        await time_passes(AGE)
        sender.send(b"new", server.local_address, 100)
    await probe.do(lambda actor: actor.spawn_meta(server))
    assert (await probe.get()).data == b"new"
    assert balanced(server).dropped["expired"] == 50


# --- conflation ---------------------------------------------------------------------------------------------


def first_byte(message: meta.MessageUDP) -> int | None:
    """The key in the tests: the first byte; none if that is "-"."""
    return None if message.data[:1] == b"-" else message.data[0]


class Conflated:
    """A server whose receiver is held by a gate and has a datagram in hand, the first."""

    def __init__(self, gate: Gate, server: meta.UDPServer, alias: gen.Alias, peer: UDPPeer) -> None:
        self.gate, self.server, self.alias, self._peer = gate, server, alias, peer

    @classmethod
    async def start(
        cls, node: homing.Node, probe: Probe, peer: UDPPeer, process: gen.ProcessOptions | None = None, **options: Any
    ) -> Conflated:
        gate = Gate()
        await node.spawn(Gated, gate, name="gated", options=process)
        server, alias = await open_server(
            probe,
            **{
                "process": "gated",
                "conflate": first_byte,
                "receive_buffer": 1 << 20,
                "high_water_seconds": None,
                **options,
            },
        )
        made = cls(gate, server, alias, peer)
        await made.send(b"first")
        await eventually(lambda: gate.reached)
        return made

    async def send(self, *payloads: bytes) -> None:
        """Sends datagrams, and waits until they were read."""
        before = balanced(self.server).received
        for data in payloads:
            self._peer.send(data, self.server.local_address)
        await eventually(lambda: balanced(self.server).received == before + len(payloads))

    async def payloads(self, count: int) -> list[bytes]:
        """Lets all pass, and returns the payloads of those behind the first, once there are so many."""
        self.gate.let(10_000)
        await self.gate.passed_by(1 + count)
        return self.gate.payloads()[1:]


async def test_of_those_with_one_key_the_newest_comes_at_the_place_of_the_first(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    held = await Conflated.start(node, probe, peer)
    await held.send(b"a1", b"b1", b"-1", b"a2", b"-2", b"c1", b"b2", b"a3")
    assert await held.payloads(5) == [b"a3", b"b2", b"-1", b"-2", b"c1"]
    ledger = balanced(held.server)
    assert (ledger.delivered, ledger.dropped["conflated"]) == (6, 3)
    facts = await node.inspect_meta(held.alias, "conflated", "conflate")
    assert facts == {"conflated": 3, "conflate": repr(first_byte)}


async def test_datagrams_that_wait_are_conflated_also_after_other_options_were_changed(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    held = await Conflated.start(node, probe, peer)
    await held.send(b"a1", b"b1")
    await probe.do(lambda actor: actor.call(held.alias, meta.Reconfigure(high_water=500)))
    await held.send(b"a2")
    await probe.do(lambda actor: actor.call(held.alias, meta.Reconfigure(max_age=1000, codel=meta.CoDel())))
    await held.send(b"b2", b"a3")
    await probe.do(lambda actor: actor.call(held.alias, meta.Reconfigure(max_age=None, codel=None)))
    await held.send(b"b3")
    assert await held.payloads(2) == [b"a3", b"b3"]
    assert balanced(held.server).dropped["conflated"] == 4


async def test_a_datagram_for_a_new_receiver_takes_no_place_at_the_former_one(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    held = await Conflated.start(node, probe, peer)
    await held.send(b"a1")
    other = await Probe.start(node)
    await probe.do(lambda actor: actor.call(held.alias, meta.Reconfigure(process=other.pid)))
    await held.send(b"a2")
    assert (await other.get()).data == b"a2"
    assert await held.payloads(1) == [b"a1"]


class Giving(act.Actor):
    """Gives its server to another process while it handles the first datagram, which takes as long as its gate says."""

    async def init(self, gate: Gate, heir: gen.PID) -> None:
        self.gate, self.heir = gate, heir
        self.server = meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1", conflate=first_byte))
        self.udp = await self.spawn_meta(self.server)

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        await self.gate.enter(message)
        if message.data == b"first":
            self.give_meta(self.udp, self.heir)
            await self.gate.enter(message)

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return self.server


async def test_a_datagram_for_a_new_owner_takes_no_place_at_the_former_one(node: homing.Node, peer: UDPPeer) -> None:
    gate, heir = Gate(), await Probe.start(node)
    server = await node.call(await node.spawn(Giving, gate, heir.pid), 0)
    for number, data in enumerate([b"first", b"a1"]):
        peer.send(data, server.local_address)
        await eventually(lambda: gate.reached and balanced(server).received == number + 1)  # noqa: B023
    gate.let()
    await eventually(lambda: len(gate.reached) == 2)
    peer.send(b"a2", server.local_address)
    assert (await heir.get()).data == b"a2"
    gate.let(10)
    await gate.passed_by(3)
    assert gate.payloads() == [b"first", b"first", b"a1"]


@linux_only
@pytest.mark.parametrize("high_water", [1, 1000])
async def test_a_loss_between_datagrams_that_take_the_place_of_others_is_told(
    high_water: int, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    held = await Conflated.start(
        node, probe, peer, loss_markers=True, receive_buffer=8192, overflow="drop_newest", high_water=high_water
    )
    await held.send(b"a0")
    await held.send(*[b"a%d" % number for number in range(1, 100)])
    held.gate.let(1000)
    lost = balanced(held.server).dropped["kernel"]
    assert lost > 0

    def told() -> int:
        return sum(one.count for one in held.gate.passed if isinstance(one, meta.MessageUDPLoss))

    await eventually(lambda: told() == lost)


async def test_a_datagram_whose_turn_has_come_is_not_replaced(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    held = await Conflated.start(node, probe, peer)
    await held.send(b"first again")
    assert await held.payloads(1) == [b"first again"]
    await held.send(b"first once more")
    assert await held.payloads(2) == [b"first again", b"first once more"]
    assert balanced(held.server).dropped["conflated"] == 0


@pytest.mark.parametrize("overflow", ["drop_newest", "drop_oldest"])
async def test_a_full_mailbox_takes_a_newer_datagram_of_a_key_that_waits_there(
    overflow: Any, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    held = await Conflated.start(node, probe, peer, overflow=overflow, high_water=2, loss_markers=True)
    await held.send(b"a1")
    await held.send(b"b1")
    await held.send(b"a2", b"b2", b"a3")
    await held.send(b"c1")
    held.gate.let(100)
    wanted = [b"a3", b"b2"] if overflow == "drop_newest" else [b"b2", b"c1"]
    await held.gate.passed_by(4)
    got = [one for one in held.gate.passed[1:] if isinstance(one, meta.MessageUDP)]
    assert [bytes(one.data) for one in got] == wanted
    assert balanced(held.server).dropped["conflated"] == 3


async def test_a_key_function_that_fails_is_counted_and_the_datagram_delivered(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    class Hostile:
        def __hash__(self) -> int:
            raise ValueError("no hash")

        def __eq__(self, other: object) -> bool:
            raise ValueError("no equality")

    async def later() -> None:
        pass

    faults: dict[bytes, Any] = {b"r": 1 / 3, b"l": [], b"h": Hostile(), b"f": 0}

    def key(message: meta.MessageUDP) -> Any:
        if message.data == b"raise":
            raise KeyError("x")
        return later() if message.data == b"coroutine" else faults.get(bytes(message.data[:1]))

    held = await Conflated.start(node, probe, peer, conflate=key)
    await held.send(b"raise", b"raise", b"l", b"l", b"h", b"h", b"coroutine", b"r1", b"r2")
    assert await held.payloads(8) == [b"raise", b"raise", b"l", b"l", b"h", b"h", b"coroutine", b"r2"]
    assert held.server.statistics().conflate_errors == 7


class Unhashable:
    """Equal to everything, or raises: keys of such objects are distinct."""

    def __eq__(self, other: object) -> bool:
        raise ValueError

    __hash__ = object.__hash__


async def test_keys_that_cannot_be_compared_conflate_nothing(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    held = await Conflated.start(node, probe, peer, conflate=lambda message: Unhashable())
    await held.send(b"1", b"2")
    assert await held.payloads(2) == [b"1", b"2"]


async def test_nothing_is_lost_to_an_entry_of_a_receiver_that_has_ended(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    held = await Conflated.start(node, probe, peer)
    await held.send(b"a1", b"b1")
    receiver = node.process_info("gated").pid
    node.kill(receiver)
    await eventually(lambda: receiver not in node.processes())
    gate = Gate()
    await node.spawn(Gated, gate, name="gated")
    await held.send(b"a2", b"b2")
    gate.let(10)
    await gate.passed_by(2)
    assert gate.payloads() == [b"a2", b"b2"]


@pytest.mark.parametrize("options", [gen.ProcessOptions(), gen.ProcessOptions(concurrency=1)])
async def test_datagrams_that_wait_at_a_worker_are_conflated(
    options: gen.ProcessOptions, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = Gate()
    server, _ = await open_server(
        probe,
        worker=SlowWorker,
        worker_args=(gate,),
        workers=2,
        worker_options=options,
        route=lambda sender, message: message.data[0],
        conflate=first_byte,
    )
    for number in range(20):
        for key in b"abcd":
            peer.send(b"%c%d" % (key, number), server.local_address)
        await eventually(lambda: balanced(server).received == 4 * (number + 1))  # noqa: B023
    gate.let(100)
    await eventually(lambda: balanced(server).delivered == len(gate.passed))
    assert {bytes(message.data) for message in gate.passed} >= {b"a19", b"b19", b"c19", b"d19"}
    assert balanced(server).dropped["conflated"] >= 80 - 8


async def test_a_datagram_that_is_replaced_gives_its_buffer_back(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    pool = meta.BufferPool(100)
    held = await Conflated.start(node, probe, peer, buffer_pool=pool)
    await held.send(*[b"a%d" % number for number in range(50)])
    assert pool.lent == 2
    held.gate.let(10)
    await held.gate.passed_by(2)
    held.gate.passed.clear()
    held.gate.reached.clear()
    await eventually(lambda: pool.lent == 0)


async def test_what_replaces_a_shorter_datagram_counts_in_the_limit_of_bytes(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    held = await Conflated.start(node, probe, peer, high_water_bytes=65536)
    await held.send(b"a", b"b")
    await held.send(b"a" + bytes(40_000), b"b" + bytes(40_000))
    peer.send(b"c", held.server.local_address)
    await eventually(lambda: held.server.statistics().pauses)
    assert len(await held.payloads(3)) == 3


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(examples(4, 60)))
async def test_conflation_does_as_the_model_does(seed: int, node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    choose = random.Random(seed)
    held = await Conflated.start(node, probe, peer)
    waiting: list[bytes] = []
    wanted = [b"first"]
    sent = conflated = 0
    for _ in range(60):
        if choose.random() < 0.6:
            payloads = []
            for _ in range(choose.choice([1, 3, 10])):
                data = b"%c%d" % (choose.choice(b"abc-"), sent)
                sent += 1
                payloads.append(data)
                place = next((at for at, one in enumerate(waiting) if one[:1] == data[:1] != b"-"), None)
                if place is None:
                    waiting.append(data)
                else:
                    waiting[place] = data
                    conflated += 1
            await held.send(*payloads)
        elif waiting:
            held.gate.let(1)
            wanted.append(waiting.pop(0))
            await eventually(lambda: len(held.gate.reached) == len(wanted))
    held.gate.let(1000)
    await held.gate.passed_by(len(wanted) + len(waiting))
    assert held.gate.payloads() == wanted + waiting
    assert balanced(held.server).dropped["conflated"] == conflated
