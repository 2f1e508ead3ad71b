"""Markers of losses: a receiver is told where datagrams are missing in the order of arrival, how many, and why."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from typing import Any

import pytest

import homing
from homing import act, gen, meta
from homing.testing import FakeNetwork, run_virtual

from ...datagram.traffic import linux_only
from ...faults.figures import figure
from ...support import Probe, UDPPeer, eventually, examples, free_port
from ..servers import Gate, Gated, balanced, open_server

pytestmark = pytest.mark.backends

SMALL = 8192
"""A receive buffer of 16 KiB, as Linux doubles it: it holds about 20 short datagrams."""


class Keeper(act.Actor):
    """Keeps what it gets, message by message."""

    def init(self, got: list[Any]) -> None:
        self.got = got

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.got.append(message)


class BatchKeeper(Keeper):
    """Keeps what it gets, batch by batch, with the markers within each."""

    def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        losses = list(batch.losses)
        for index, message in enumerate(batch):
            while losses and losses[0][0] == index:
                self.got.append(losses.pop(0)[1])
            self.got.append(message)
        assert not losses


def told(got: list[Any]) -> tuple[list[int], Counter[str], int]:
    """The numbers of the datagrams, the losses by cause, and the number that the next datagram would have. Every hole
    is marked where it is, by as many as are missing."""
    numbers: list[int] = []
    causes: Counter[str] = Counter()
    following = 0
    for message in got:
        if isinstance(message, meta.MessageUDPLoss):
            assert message.since <= message.until
            causes[message.cause] += message.count
            following += message.count
        else:
            number = int(bytes(message.data))
            assert number == following, [describe(one) for one in got]
            numbers.append(number)
            following += 1
    return numbers, causes, following


def describe(message: Any) -> Any:
    return (message.cause, message.count) if isinstance(message, meta.MessageUDPLoss) else bytes(message.data)


@linux_only
async def test_a_loss_in_the_kernel_is_told_between_the_datagrams_around_it_and_at_the_end_of_a_burst(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    got: list[Any] = []
    await node.spawn(Keeper, got, name="keeper")
    server, _ = await open_server(probe, process="keeper", receive_buffer=SMALL, loss_markers=True)
    for number in range(100):
        peer.send(b"%d" % number, server.local_address)
    await eventually(lambda: told(got)[2] == 100)
    assert isinstance(got[-1], meta.MessageUDPLoss)
    peer.send(b"100", server.local_address)
    await eventually(lambda: told(got)[2] == 101)
    numbers, causes, _ = told(got)
    assert numbers[-1] == 100
    assert causes == {"kernel": balanced(server).dropped["kernel"]}
    assert got[-2].id == server.alias


@pytest.mark.parametrize("overflow", ["drop_newest", "drop_oldest"])
async def test_what_a_full_mailbox_loses_is_told_at_its_place_in_one_marker(
    overflow: Any, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = Gate()
    receiver = await node.spawn(Gated, gate, name="gated")
    server, _ = await open_server(
        probe, process="gated", overflow=overflow, high_water=10, receive_buffer=1 << 20, loss_markers=True
    )
    peer.send(b"0", server.local_address)
    await eventually(lambda: len(gate.reached) == 1)
    for number in range(1, 300):
        peer.send(b"%d" % number, server.local_address)
        if number % 30 == 0:
            await eventually(lambda: balanced(server).received == number + 1)  # noqa: B023
    await eventually(lambda: balanced(server).received == 300)
    assert node.process_info(receiver).mailbox.main <= 11
    gate.let(1000)
    await eventually(lambda: told(gate.passed)[2] == 300)
    markers = [message for message in gate.passed if isinstance(message, meta.MessageUDPLoss)]
    assert len(markers) == 1
    cause = "receiver_full" if overflow == "drop_newest" else "receiver_oldest"
    assert told(gate.passed)[1] == {cause: balanced(server).dropped[cause]}


async def test_what_is_above_the_rate_of_its_source_is_told_and_what_is_denied_is_not(
    node: homing.Node, probe: Probe
) -> None:
    got: list[Any] = []
    await node.spawn(Keeper, got, name="keeper")
    limit = meta.RateLimit(rate=1e-9, burst=5, exempt=("127.0.0.3/32",))
    server, _ = await open_server(
        probe, process="keeper", rate_limit=limit, deny=("127.0.0.4",), host="0.0.0.0", loss_markers=True
    )
    address = ("127.0.0.1", server.local_address[1])
    with UDPPeer("127.0.0.1") as one, UDPPeer("127.0.0.3") as other, UDPPeer("127.0.0.4") as third:
        for number in range(20):
            one.send(b"%d" % number, address)
            third.send(b"denied", address)
        other.send(b"20", address)
        await eventually(lambda: told(got)[2] == 21)
    assert told(got)[:2] == ([0, 1, 2, 3, 4, 20], Counter(rate_limit=15))
    assert balanced(server).dropped["denied"] == 20


@linux_only
async def test_a_batch_has_the_losses_between_its_datagrams_and_those_behind_them_follow(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    got: list[Any] = []
    await node.spawn(BatchKeeper, got, name="keeper")
    server, _ = await open_server(probe, process="keeper", receive_buffer=SMALL, loss_markers=True)
    for first in range(0, 500, 100):
        for number in range(first, first + 100):
            peer.send(b"%d" % number, server.local_address)
        await asyncio.sleep(0)
    await eventually(lambda: told(got)[2] == 500)
    assert told(got)[1] == {"kernel": balanced(server).dropped["kernel"]}


@linux_only
async def test_losses_before_a_successor_has_adopted_the_socket_are_told_to_it(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    options = {"port": free_port(), "linger": 60.0, "receive_buffer": SMALL, "loss_markers": True}
    owner = await Probe.start(node)
    server, _ = await open_server(owner, **options)
    peer.send(b"0", server.local_address)
    assert bytes((await owner.get()).data) == b"0"
    node.kill(owner.pid)
    await owner.ended.wait()
    for number in range(1, 100):
        peer.send(b"%d" % number, server.local_address)
    await open_server(probe, **options)
    got = [meta.MessageUDP(addr=peer.address, data=b"0")]
    while told(got)[2] < 100:
        got.append(await probe.get())
    assert told(got)[1]["kernel"] > 0


@linux_only
async def test_markers_go_to_the_new_owner_and_can_be_switched_on_and_off(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe, receive_buffer=SMALL)
    heir = await Probe.start(node)
    await probe.do(lambda actor: actor.give_meta(alias, heir.pid))

    async def burst(first: int) -> list[Any]:
        before = balanced(server).received
        for number in range(first, first + 100):
            peer.send(b"%d" % number, server.local_address)
        await eventually(lambda: balanced(server).received == before + 100)
        peer.send(b"last", server.local_address)
        got = [await heir.get()]
        while not isinstance(got[-1], meta.MessageUDP) or got[-1].data != b"last":
            got.append(await heir.get())
        return got[:-1]

    assert not any(isinstance(message, meta.MessageUDPLoss) for message in await burst(0))
    answer = await heir.do(lambda actor: actor.call(alias, meta.Reconfigure(loss_markers=True)))
    assert answer.options.loss_markers
    assert told(await burst(0))[2] == 100
    await heir.do(lambda actor: actor.call(alias, meta.Reconfigure(loss_markers=False)))
    assert not any(isinstance(message, meta.MessageUDPLoss) for message in await burst(0))


@pytest.mark.parametrize("options", [{"max_age": 1000}, {"codel": meta.CoDel()}, {"conflate": lambda message: None}])
async def test_who_asked_for_no_markers_gets_none_for_the_oldest_that_are_dropped(
    options: dict[str, Any], node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = Gate()
    await node.spawn(Gated, gate, name="gated")
    server, _ = await open_server(
        probe, process="gated", overflow="drop_oldest", high_water=10, receive_buffer=1 << 20, **options
    )
    for number in range(100):
        peer.send(b"%d" % number, server.local_address)
        if number % 20 == 0:
            await eventually(lambda: balanced(server).received == number + 1)  # noqa: B023
    await eventually(lambda: balanced(server).received == 100)
    gate.let(1000)
    await eventually(lambda: gate.passed and gate.passed[-1].data == b"99")
    assert not [message for message in gate.passed if isinstance(message, meta.MessageUDPLoss)]
    assert len(gate.passed) == balanced(server).delivered == 100 - balanced(server).dropped["receiver_oldest"]


@pytest.mark.parametrize("process", [gen.ProcessOptions(), gen.ProcessOptions(concurrency=2, concurrency_key="source")])
@pytest.mark.parametrize("switched_off", [True, False])
async def test_a_marker_that_waits_is_no_datagram_of_the_ledger_whatever_drops_the_oldest(
    switched_off: bool, process: gen.ProcessOptions, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = Gate()
    await node.spawn(Gated, gate, name="gated", options=process)
    server, alias = await open_server(
        probe, process="gated", overflow="drop_oldest", high_water=5, receive_buffer=1 << 20, loss_markers=True
    )

    async def send(first: int, count: int) -> None:
        for number in range(first, first + count):
            peer.send(b"%d" % number, server.local_address)
            await eventually(lambda: balanced(server).received == number + 1)  # noqa: B023

    await send(0, 20)
    if switched_off:
        await probe.do(lambda actor: actor.call(alias, meta.Reconfigure(loss_markers=False)))
    await send(20, 20)
    gate.let(1000)

    def delivered() -> int:
        return sum(isinstance(message, meta.MessageUDP) for message in gate.passed)

    await eventually(lambda: gate.passed and getattr(gate.passed[-1], "data", None) == b"39")
    assert delivered() == balanced(server).delivered == 40 - balanced(server).dropped["receiver_oldest"]
    if not switched_off:
        assert sum(one.count for one in gate.passed if isinstance(one, meta.MessageUDPLoss)) == 40 - delivered()


@pytest.mark.parametrize(
    "options", [{"worker": Keeper}, {"peers": meta.PeerOptions(worker=Keeper)}, {"bpf": ((6, 0, 0, 0),)}]
)
async def test_markers_are_refused_where_they_have_no_place(options: dict[str, Any]) -> None:
    with pytest.raises(gen.BadOption, match="loss_markers"):
        meta.UDPServerOptions(loss_markers=True, **options)


def test_a_marker_compares_and_shows_its_fields() -> None:
    marker = meta.MessageUDPLoss(3, "kernel", 1, 2)
    assert marker == meta.MessageUDPLoss(3, "kernel", 1, 2) != meta.MessageUDPLoss(4, "kernel", 1, 2)
    assert hash(marker) == hash(meta.MessageUDPLoss(3, "kernel", 1, 2))
    assert repr(marker) == "MessageUDPLoss(3, 'kernel', 1, 2, id=None)"
    match marker:
        case meta.MessageUDPLoss(count, cause):
            assert (count, cause) == (3, "kernel")


# --- at random ----------------------------------------------------------------------------------------------


WAYS = ["pause", "drop_newest", "drop_oldest"]


async def run_at_random(seed: str, node: homing.Node, probe: Probe) -> None:
    choose = random.Random(seed)
    gate = Gate()
    got: list[Any] = gate.passed
    batches, pooled = choose.random() < 0.2, choose.random() < 0.2
    if batches:
        got = []
        receiver = await node.spawn(BatchKeeper, got, name="receiver")
    else:
        receiver = await node.spawn(Gated, gate, name="receiver")
    server, alias = await open_server(
        probe,
        process="receiver",
        overflow=choose.choice(WAYS),
        high_water=choose.choice([1, 5, 30, 1000]),
        receive_buffer=choose.choice([SMALL, SMALL, 100_000]),
        receive_batch=choose.choice([1, 7, 64]),
        buffer_pool=meta.BufferPool(100) if pooled else None,
        rate_limit=choose.choice([None, meta.RateLimit(rate=20_000, burst=30, exempt=())]),
        receive_timestamp=sys.platform == "linux" and choose.random() < 0.5,
        loss_markers=True,
    )
    sent = 0
    with UDPPeer() as peer:
        for _ in range(40):
            match choose.choice(["send", "send", "let", "turn", "turn"]):
                case "send":
                    for _ in range(choose.choice([1, 5, 15, 40])):
                        peer.send(b"%d" % sent, server.local_address)
                        sent += 1
                case "let":
                    gate.let(choose.choice([1, 10, 100]))
                case "turn":
                    await asyncio.sleep(0)
            balanced(server)
        gate.let(10 * sent)
        await eventually(lambda: balanced(server).received == sent)
        await eventually(lambda: told(got)[2] == sent, f"the account of {sent} datagrams in {seed}")
    numbers, causes, _ = told(got)
    ledger = balanced(server)
    assert len(numbers) == ledger.delivered
    assert causes == {cause: count for cause, count in ledger.dropped.items() if count}
    if seed == "0":
        lost = sum(ledger.dropped.values())
        figure(55, "datagrams lost of a random run, all told in their places", f"{lost:,} of {sent:,}")
    await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateNormal()))
    node.kill(receiver)
    await eventually(lambda: receiver not in node.processes())


@linux_only
@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(examples(12, 200)))
async def test_every_hole_is_found_where_it_is_and_of_its_size(seed: int, node: homing.Node, probe: Probe) -> None:
    await run_at_random(str(seed), node, probe)


def test_a_read_of_which_no_datagram_is_fresh_is_marked() -> None:
    got: list[Any] = []

    class Stalled(act.Actor):
        async def handle_message(self, sender: gen.PID, message: Any) -> None:
            got.append(message)
            await asyncio.sleep(0.2)

    async def main() -> meta.Ledger:
        with FakeNetwork(seed=1) as network:
            async with homing.start_node("test@localhost", gen.NodeOptions(handle_signals=False)) as node:
                await node.spawn(Stalled, name="stalled")
                probe = await Probe.start(node)
                server, _ = await open_server(
                    probe, process="stalled", max_age=0.05, loss_markers=True, high_water=1, low_water=0
                )
                peer = network.socket()
                for number in range(20):
                    peer.send(b"%d" % number, server.local_address)
                await asyncio.sleep(10)
                return balanced(server)

    ledger = run_virtual(main)
    numbers, causes, following = told(got)
    assert causes == {"expired": ledger.dropped["expired"]}
    assert (len(numbers), following) == (ledger.delivered, 20)
