"""What happens to datagrams while the receiver's mailbox is full: they wait, the newest go, or the oldest. The account
is exact whatever is chosen."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...datagram.traffic import Sender, linux_only
from ...support import Probe, UDPPeer, eventually
from ..servers import Gate, Gated, all_accounted, balanced, create, open_server

pytestmark = pytest.mark.backends

HIGH = 32
DROPPING = ["drop_newest", "drop_oldest"]


def numbered(count: int, first: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(first, first + count)]


def check(server: meta.UDPServer) -> Any:
    """The counters, which add up."""
    balanced(server)
    return server.statistics()


async def start(
    node: homing.Node, probe: Probe, overflow: str | None, behavior: Any = Gated, size: int = 0, **options: Any
) -> tuple[meta.UDPServer, Gate, gen.PID]:
    """A server whose receiver, "gated", is held by a gate."""
    gate = Gate()
    receiver = await node.spawn(behavior, gate, name="gated", options=gen.ProcessOptions(mailbox_size=size))
    options = {"high_water": HIGH, "low_water": 4, "receive_buffer": 1 << 20, **options}
    server, _ = await open_server(probe, process="gated", overflow=overflow, **options)
    return server, gate, receiver


async def hold(gate: Gate, peer: UDPPeer, server: meta.UDPServer) -> None:
    """The receiver has a datagram in hand, the first, and waits."""
    peer.send(b"first", server.local_address)
    await eventually(lambda: len(gate.reached) == 1)


def waiting(node: homing.Node, receiver: gen.PID) -> int:
    return node.process_info(receiver).mailbox.main


@pytest.mark.parametrize("overflow", DROPPING)
@pytest.mark.parametrize("size", [0, 10])
async def test_what_is_too_much_is_read_and_dropped_and_counted(
    overflow: str, size: int, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, gate, receiver = await start(node, probe, overflow, size=size)
    room = size or HIGH
    await hold(gate, peer, server)
    for data in numbered(300):
        peer.send(data, server.local_address)
    await all_accounted(server, 301)
    counted = check(server)
    assert (counted.packets_in, counted.kernel_drops, counted.pauses) == (301, 0, 0)
    assert waiting(node, receiver) == room
    assert (counted.dropped_newest, counted.dropped_oldest) == (
        (300 - room, 0) if overflow == "drop_newest" else (0, 300 - room)
    )
    facts = await node.inspect_meta(server.process.id)
    assert (facts["reading"], facts["waiting_for"]) == (True, "")
    gate.let(1 + room)
    await gate.passed_by(1 + room)
    kept = numbered(room) if overflow == "drop_newest" else numbered(room, 300 - room)
    assert gate.payloads() == [b"first", *kept]
    assert check(server).delivered == 1 + room


async def test_by_default_nothing_is_dropped_here(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    server, gate, _ = await start(node, probe, None)
    await hold(gate, peer, server)
    for data in numbered(300):
        peer.send(data, server.local_address)
    await eventually(lambda: server.statistics().pauses > 0)
    gate.let(301)
    await gate.passed_by(301)
    assert gate.payloads() == [b"first", *numbered(300)]
    assert check(server).delivered == 301


@pytest.mark.once
@pytest.mark.parametrize("wrong", ["", "raise", "drop", 0, 1, ["pause"]])
def test_what_is_no_policy_is_refused(wrong: Any) -> None:
    with pytest.raises(gen.BadOption, match="overflow"):
        meta.UDPServerOptions(overflow=wrong)


# --- what others have sent ----------------------------------------------------------------------------------


async def test_the_oldest_of_this_server_go_and_nothing_that_anybody_else_has_sent(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, gate, receiver = await start(node, probe, "drop_oldest")
    await hold(gate, peer, server)
    for number in range(HIGH // 2):
        peer.send(b"%d" % number, server.local_address)
        await all_accounted(server, number + 2)
        await probe.do(lambda actor, number=number: actor.send("gated", f"of the owner {number}"))
        node.send("gated", f"of the node {number}")
    for data in numbered(100, HIGH // 2):
        peer.send(data, server.local_address)
    await all_accounted(server, 1 + HIGH // 2 + 100)
    assert waiting(node, receiver) >= HIGH
    counted = check(server)
    gate.let(200)
    await eventually(lambda: waiting(node, receiver) == 0)
    texts = [message for message in gate.reached if isinstance(message, str)]
    assert texts == [f"of the {who} {number}" for number in range(HIGH // 2) for who in ("owner", "node")]
    datagrams = [message.data for message in gate.reached if isinstance(message, meta.MessageUDP)]
    assert len(datagrams) == counted.delivered
    assert datagrams == [b"first", *numbered(len(datagrams) - 1, HIGH // 2 + 100 - (len(datagrams) - 1))]


async def test_a_datagram_that_its_receiver_has_sent_to_itself_again_is_nobody_elses_to_drop(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    """It is the same object that came from the socket."""

    class Owner(act.Actor):
        async def init(self, gate: Gate) -> None:
            self.gate = gate
            self.server = create(overflow="drop_oldest", high_water=HIGH)
            await self.spawn_meta(self.server)

        async def handle_message(self, sender: gen.PID, message: Any) -> None:
            if message.data == b"again":
                message.data = b"for later"
                self.send(self.pid, message)
            else:
                await self.gate.enter(message)

        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            return self.server

    gate = Gate()
    owner = await node.spawn(Owner, gate)
    server = await node.call(owner, "server")
    for _ in range(HIGH // 2):
        peer.send(b"again", server.local_address)
    await all_accounted(server, HIGH // 2)
    for data in numbered(200):
        peer.send(data, server.local_address)
    await all_accounted(server, HIGH // 2 + 200)
    gate.let(300)
    await eventually(lambda: waiting(node, owner) == 0)
    assert [message.data for message in gate.reached].count(b"for later") == HIGH // 2
    assert check(server).dropped_oldest > 0


@pytest.mark.parametrize("overflow", DROPPING)
async def test_where_others_have_filled_the_mailbox_what_is_read_is_dropped(
    overflow: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, gate, _ = await start(node, probe, overflow)
    for number in range(2 * HIGH):
        node.send("gated", number)
    await eventually(lambda: len(gate.reached) == 1)
    for data in numbered(50):
        peer.send(data, server.local_address)
    await all_accounted(server, 50)
    counted = check(server)
    assert (counted.dropped_newest + counted.dropped_oldest, counted.delivered) == (50, 0)
    assert (counted.dropped_newest > 0) == (overflow == "drop_newest")
    gate.let(2 * HIGH)
    await gate.passed_by(2 * HIGH)
    peer.send(b"room again", server.local_address)
    gate.let()
    await gate.passed_by(2 * HIGH + 1)
    assert gate.passed[-1].data == b"room again"


class Split(Gated):
    split_handle = True

    async def handle_message_name(self, name: str, sender: gen.PID, message: Any) -> None:
        await self.gate.enter(message)


async def test_the_oldest_go_too_where_the_receiver_tells_its_names_apart(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, gate, receiver = await start(node, probe, "drop_oldest", Split)
    await hold(gate, peer, server)
    for data in numbered(100):
        peer.send(data, server.local_address)
    await all_accounted(server, 101)
    assert waiting(node, receiver) == HIGH
    gate.let(1 + HIGH)
    await gate.passed_by(1 + HIGH)
    assert gate.payloads() == [b"first", *numbered(HIGH, 100 - HIGH)]
    assert check(server).dropped_oldest == 100 - HIGH


# --- buffers, trains, batches, pools ------------------------------------------------------------------------


@pytest.mark.parametrize("overflow", DROPPING)
async def test_the_buffers_of_what_is_dropped_go_back_to_the_pool(
    overflow: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    pool = meta.BufferPool(size=100)
    server, gate, receiver = await start(node, probe, overflow, buffer_pool=pool)
    await hold(gate, peer, server)
    for data in numbered(300):
        peer.send(data, server.local_address)
    await all_accounted(server, 301)
    assert waiting(node, receiver) == HIGH
    assert pool.lent == HIGH + 1
    gate.let(HIGH + 1)
    await gate.passed_by(HIGH + 1)
    assert check(server).delivered == HIGH + 1
    gate.reached.clear()
    gate.passed.clear()
    await eventually(lambda: pool.lent == 0)
    assert server.statistics().pool_errors == 0


@linux_only
@pytest.mark.parametrize("overflow", DROPPING)
async def test_what_comes_joined_is_dropped_one_by_one(
    overflow: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, gate, receiver = await start(node, probe, overflow)
    await hold(gate, peer, server)
    with Sender() as sender:
        for start_at in range(0, 300, 50):
            train = b"".join(b"%05d" % number for number in range(start_at, start_at + 50))
            sender.send(train, server.local_address, 5)
    await all_accounted(server, 301)
    assert waiting(node, receiver) == HIGH
    gate.let(1 + HIGH)
    await gate.passed_by(1 + HIGH)
    first = 0 if overflow == "drop_newest" else 300 - HIGH
    assert gate.payloads() == [b"first", *[b"%05d" % number for number in range(first, first + HIGH)]]
    assert check(server).receive_waiting == 0


class Batches(act.Actor):
    """Keeps the payloads of its batches, and what else comes; each waits at the gate."""

    def init(self, gate: Gate) -> None:
        self.gate = gate

    async def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        await self.gate.enter([message.data for message in batch])

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        await self.gate.enter(message)


@pytest.mark.parametrize("overflow", DROPPING)
async def test_a_batch_that_has_not_ended_lets_the_rest_wait_in_the_kernel(
    overflow: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, gate, _ = await start(node, probe, overflow, Batches)
    peer.send(b"0", server.local_address)
    await eventually(lambda: len(gate.reached) == 1)
    for data in numbered(100, 1):
        peer.send(data, server.local_address)
    await eventually(lambda: server.statistics().pauses > 0)
    gate.let(101)
    await all_accounted(server, 101)
    await eventually(lambda: [data for batch in gate.passed for data in batch] == numbered(101))
    counted = check(server)
    assert (counted.delivered, counted.dropped_newest, counted.dropped_oldest) == (101, 0, 0)


@pytest.mark.parametrize("overflow", DROPPING)
async def test_a_batch_for_a_mailbox_that_others_have_filled_is_dropped_datagram_by_datagram(
    overflow: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, gate, receiver = await start(node, probe, overflow, Batches)
    for number in range(HIGH + 1):
        node.send("gated", number)
    await eventually(lambda: waiting(node, receiver) == HIGH)
    for data in numbered(20):
        peer.send(data, server.local_address)
    await all_accounted(server, 20)
    counted = check(server)
    assert counted.dropped_newest + counted.dropped_oldest == 20
    gate.let(HIGH + 2)
    await gate.passed_by(HIGH + 1)
    peer.send(b"room again", server.local_address)
    await gate.passed_by(HIGH + 2)
    assert gate.passed[-1] == [b"room again"]


@pytest.mark.parametrize("overflow", DROPPING)
async def test_what_a_pool_has_handed_to_its_workers_is_kept(
    overflow: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = Gate()

    class Workers(act.Pool):
        def init(self) -> act.PoolOptions:
            return act.PoolOptions(worker=Gated, worker_args=(gate,), pool_size=2, worker_mailbox_size=5)

    pool = await node.spawn(Workers, name="pool")
    server, _ = await open_server(probe, process="pool", overflow=overflow, high_water=HIGH)
    for number in range(200):
        peer.send(b"%d" % number, server.local_address)
        await all_accounted(server, number + 1)
    at_workers = 2 * (1 + 5)
    assert waiting(node, pool) == HIGH
    assert check(server).delivered == at_workers + HIGH
    gate.let(200)
    await gate.passed_by(at_workers + HIGH)
    first = at_workers if overflow == "drop_newest" else 200 - HIGH
    assert sorted(gate.payloads(), key=int) == [*numbered(at_workers), *numbered(HIGH, first)]


@pytest.mark.parametrize("overflow", DROPPING)
async def test_workers_of_the_servers_own_are_fed_alike(
    overflow: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = Gate()
    server, _ = await open_server(
        probe, worker=Gated, worker_args=(gate,), workers=1, overflow=overflow, high_water=HIGH, receive_buffer=1 << 20
    )
    at_worker = 1 + act.PoolOptions(worker=Gated).worker_mailbox_size
    total = at_worker + HIGH + 500
    for number in range(total):
        peer.send(b"%d" % number, server.local_address)
        if number % 50 == 0:
            await all_accounted(server, number + 1)
    await all_accounted(server, total)
    counted = check(server)
    assert counted.dropped_newest + counted.dropped_oldest == total - counted.delivered
    assert counted.kernel_drops == 0
    gate.let(total)
    await gate.passed_by(counted.delivered)
    await eventually(lambda: len(gate.passed) == check(server).delivered)


# --- receivers that go --------------------------------------------------------------------------------------


@pytest.mark.parametrize("overflow", DROPPING)
async def test_while_nobody_has_the_name_datagrams_wait_in_the_kernel(
    overflow: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, _ = await open_server(probe, process="late", overflow=overflow, high_water=HIGH)
    for data in numbered(20):
        peer.send(data, server.local_address)
    await eventually(lambda: server.statistics().pauses == 1)
    facts = await node.inspect_meta(server.process.id)
    assert (facts["reading"], facts["waiting_for"], facts["packets_in"]) == (False, "receiver", 0)
    late = await Probe.start(node, name="late")
    assert [(await late.get()).data for _ in range(20)] == numbered(20)


async def test_a_successor_with_another_policy_goes_on_with_the_account(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = Gate()
    receiver = await node.spawn(Gated, gate, name="gated")
    owners = [await Probe.start(node), await Probe.start(node)]
    port = 0
    sent = 0
    for owner, overflow in zip(owners, DROPPING, strict=True):
        server, _ = await open_server(
            owner, process="gated", port=port, overflow=overflow, high_water=HIGH, linger=30.0
        )
        port = server.local_address[1]
        for data in numbered(100, sent):
            peer.send(data, server.local_address)
        sent += 100
        await all_accounted(server, sent)
        check(server)
        if owner is owners[0]:
            node.kill(owner.pid)
            await eventually(lambda owner=owner: owner.pid not in node.processes())
    counted = check(server)
    assert counted.dropped_newest > 0
    assert waiting(node, receiver) == HIGH
    gate.let(200)
    await gate.passed_by(HIGH + 1)
    await eventually(lambda: waiting(node, receiver) == 0)
    assert len(gate.passed) == counted.delivered


# --- the account --------------------------------------------------------------------------------------------


def restarts(gate: Gate) -> type[act.Supervisor]:
    class Restarts(act.Supervisor):
        def init(self) -> act.SupervisorSpec:
            child = act.ChildSpec(
                name="gated", behavior=Gated, args=(gate,), options=gen.ProcessOptions(preserve_mailbox=True)
            )
            return act.SupervisorSpec(children=(child,), intensity=1000)

    return Restarts


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("overflow", ["pause", *DROPPING])
async def test_every_datagram_is_in_one_counter_or_was_handled_whatever_happens(
    overflow: str, seed: int, node: homing.Node, probe: Probe
) -> None:
    """sent = handled + waiting + dropped_newest + dropped_oldest + kernel_drops, to the last one."""
    choose = random.Random(f"{overflow} {seed}")
    gate = Gate()
    await node.spawn(restarts(gate))
    pool = meta.BufferPool(size=100) if seed % 3 == 0 else None
    server, _ = await open_server(
        probe,
        process="gated",
        overflow=overflow,
        high_water=choose.choice([1, 7, 64, 1000]),
        low_water=0,
        receive_buffer=choose.choice([20_000, 400_000]),
        receive_batch=choose.choice([1, 10, 64]),
        buffer_pool=pool,
    )
    sent = others = crashes = 0
    with UDPPeer() as one, UDPPeer() as two:
        for _ in range(60):
            match choose.choice(["send", "send", "let", "other", "crash", "turn", "turn"]):
                case "send":
                    for _ in range(choose.choice([1, 5, 70, 200])):
                        choose.choice([one, two]).send(b"%d" % sent, server.local_address)
                        sent += 1
                case "let":
                    gate.let(choose.choice([1, 10, 100]))
                case "other":
                    node.send("gated", "other")
                    others += 1
                case "crash":
                    crashes += await crash(node, gate)
                case "turn":
                    await asyncio.sleep(0)
            check(server)
        gate.let(sent + others + crashes)
        await all_accounted(server, sent)
        await eventually(lambda: idle(node))
        counted = check(server)
        assert counted.packets_in + counted.kernel_drops == sent
        datagrams = [message for message in gate.reached if isinstance(message, meta.MessageUDP)]
        assert len(datagrams) == counted.delivered
        assert len(gate.reached) - len(datagrams) == others
        numbers = [int(bytes(data)) for data in payloads_seen(datagrams)]
        assert numbers == sorted(set(numbers)), "none twice, and in order"


def payloads_seen(datagrams: list[Any]) -> list[bytes]:
    return [bytes(message.data) for message in datagrams]


def idle(node: homing.Node) -> bool:
    info = node.process_info("gated")
    return info.mailbox.main == 0 and info.state is gen.ProcessState.SLEEP


async def crash(node: homing.Node, gate: Gate) -> int:
    """Kills the receiver, once it has begun with what it has in hand; its supervisor starts it again, and what waited
    waits on."""
    found = [pid for pid in node.processes() if node.process_info(pid).name == "gated"]
    if not found:
        return 0
    process: Any = node._core.processes[found[0]]
    await eventually(lambda: process.hand is None or gate.reached[-1:] == [process.hand[1]])
    node.kill(found[0])

    def back() -> bool:
        names = [node.process_info(pid).name for pid in node.processes() if pid != found[0]]
        return "gated" in names

    await eventually(back)
    return 1
