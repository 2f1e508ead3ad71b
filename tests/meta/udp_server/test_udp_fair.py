"""Datagrams that wait are served in turn by source: a flood costs the flooder."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import homing
from homing import act, gen, meta
from homing.testing import FakeNetwork, run_virtual

from ...faults.figures import figure
from ...support import Probe, UDPPeer, eventually, free_port
from ..servers import Gate, Gated, balanced, is_bound, open_server
from .test_udp_linger import crash, owned

pytestmark = [
    pytest.mark.backends,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 on its loopback"),
]

FLOODER, QUIET = "127.0.0.2", "127.0.0.3"


@pytest.fixture
def flooder() -> Iterator[UDPPeer]:
    with UDPPeer(FLOODER) as peer:
        yield peer


@pytest.fixture
def quiet() -> Iterator[UDPPeer]:
    with UDPPeer(QUIET) as peer:
        yield peer


async def send_all(server: meta.UDPServer, peer: UDPPeer, numbers: range) -> None:
    """Sends numbers, not faster than they are read, so that the kernel drops none."""
    before = balanced(server).received
    for count, number in enumerate(numbers, 1):
        peer.send(b"%d" % number, server.local_address)
        if count % 50 == 0 or count == len(numbers):
            await eventually(lambda: balanced(server).received == before + count)  # noqa: B023


async def gated(node: homing.Node, probe: Probe, **options: Any) -> tuple[Gate, meta.UDPServer, gen.Alias]:
    gate = Gate()
    await node.spawn(Gated, gate, name="gated")
    return gate, *await open_server(probe, **{"process": "gated", "fair": meta.Fair(), **options})


def by_source(messages: list[Any]) -> dict[str, list[int]]:
    """The numbers of the datagrams, by the host that sent them."""
    found: dict[str, list[int]] = {}
    for message in messages:
        if isinstance(message, meta.MessageUDP):
            found.setdefault(message.addr[0], []).append(int(bytes(message.data)))
    return found


async def test_case_53_a_flood_is_dropped_at_the_cost_of_its_source_and_another_loses_nothing(
    node: homing.Node, probe: Probe, flooder: UDPPeer, quiet: UDPPeer
) -> None:
    gate, server, alias = await gated(node, probe)
    for turn in range(20):
        await send_all(server, flooder, range(100 * turn, 100 * turn + 100))
        await send_all(server, quiet, range(turn, turn + 1))
    ledger = balanced(server)
    dropped = ledger.dropped["unfair"]
    assert (ledger.received, ledger.waiting + ledger.delivered + dropped) == (2020, 2020)
    assert dropped > 1800
    facts = await node.inspect_meta(alias)
    assert (facts["dropped_unfair"], facts["unfair_sources"]) == (dropped, {FLOODER: dropped})
    assert facts["fair_sources"] == 2
    assert facts["waiting_for"] == ""
    gate.let(2020)
    await gate.passed_by(2020 - dropped)
    got = by_source(gate.passed)
    assert got[QUIET] == list(range(20))
    assert got[FLOODER] == sorted(got[FLOODER])
    assert balanced(server).delivered == 2020 - dropped


async def test_a_datagram_waits_for_those_at_the_receiver_and_a_turn_of_each_other_source(
    node: homing.Node, probe: Probe, flooder: UDPPeer, quiet: UDPPeer
) -> None:
    gate, server, _ = await gated(node, probe, fair=meta.Fair(ahead=4))
    for _ in range(20):
        flooder.send(bytes(1400), server.local_address)  # one of them is a turn
    await eventually(lambda: balanced(server).received == 20)
    await send_all(server, quiet, range(1))
    gate.let(100)
    await gate.passed_by(21)
    assert [message.addr[0] for message in gate.passed].index(QUIET) <= 1 + 4 + 2


class Slow(act.Actor):
    """Takes 5 ms for each datagram, and notes how long those of the quiet source had waited."""

    def init(self, waited: list[float]) -> None:
        self.waited = waited

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        if message.addr[0] == QUIET:
            self.waited.append(asyncio.get_running_loop().time() - message.info.timestamp / 1e9)
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("fair", [None, meta.Fair()])
def test_case_53_under_a_flood_a_source_of_a_hundred_a_second_loses_none_and_waits_a_bounded_time(
    fair: meta.Fair | None,
) -> None:
    waited: list[float] = []

    async def main() -> tuple[meta.Ledger, dict[str, int]]:
        with FakeNetwork(seed=1) as network:
            async with homing.start_node("test@localhost", gen.NodeOptions(handle_signals=False)) as node:
                await node.spawn(Slow, waited, name="slow")
                probe = await Probe.start(node)
                server, alias = await open_server(
                    probe, process="slow", fair=fair, receive_timestamp=True, receive_buffer=1 << 16
                )
                flooder, quiet = network.socket(FLOODER), network.socket(QUIET)
                for tick in range(1000):
                    for _ in range(5):
                        flooder.send(bytes(1000), server.local_address)
                    if tick % 10 == 0:
                        quiet.send(bytes(100), server.local_address)
                    await asyncio.sleep(0.001)
                await asyncio.sleep(2)
                return balanced(server), (await node.inspect_meta(alias, "unfair_sources"))["unfair_sources"]

    ledger, losers = run_virtual(main)
    if fair is None:
        assert len(waited) < 100
    else:
        assert len(waited) == 100
        assert max(waited) < 0.005 * (1 + 16 + 3)
        figure(53, "times the receiver's time for one that the quiet source waited at most", round(max(waited) / 0.005))
        assert losers == {FLOODER: ledger.dropped["unfair"]}
        assert ledger.dropped["unfair"] > 4000
        assert ledger.received == 5100


@pytest.mark.parametrize(("overflow", "kept"), [(None, "first"), ("drop_newest", "first"), ("drop_oldest", "last")])
async def test_of_a_full_queue_the_newest_or_the_oldest_is_dropped_and_marked_where_it_is_missing(
    overflow: Any, kept: str, node: homing.Node, probe: Probe, quiet: UDPPeer
) -> None:
    fair = meta.Fair(queue=10, ahead=1)
    gate, server, _ = await gated(node, probe, fair=fair, overflow=overflow, loss_markers=True)
    await send_all(server, quiet, range(1))
    await eventually(lambda: len(gate.reached) == 1)
    await send_all(server, quiet, range(1, 100))
    gate.let(200)
    await eventually(lambda: balanced(server).waiting == 0)
    await send_all(server, quiet, range(100, 101))
    await eventually(lambda: b"100" in payloads(gate))
    markers = [message for message in gate.passed if isinstance(message, meta.MessageUDPLoss)]
    assert {marker.cause for marker in markers} == {"unfair"}
    assert sum(marker.count for marker in markers) == balanced(server).dropped["unfair"]
    following = 0
    for message in gate.passed:
        if isinstance(message, meta.MessageUDPLoss):
            following += message.count
        else:
            assert int(bytes(message.data)) == following
            following += 1
    assert (b"99" in payloads(gate)) == (kept == "last")


def payloads(gate: Gate) -> list[bytes]:
    return [bytes(message.data) for message in gate.passed if isinstance(message, meta.MessageUDP)]


def first_digit(message: meta.MessageUDP) -> bytes:
    return bytes(message.data[:1])


@pytest.mark.parametrize(("by", "label"), [(meta.where[0:1], b"\0\0\x001"), (first_digit, b"1")])
async def test_sources_may_be_told_by_the_data(
    by: Any, label: bytes, node: homing.Node, probe: Probe, quiet: UDPPeer
) -> None:
    gate, server, alias = await gated(node, probe, fair=meta.Fair(by=by, queue=5, ahead=1))
    await send_all(server, quiet, range(100, 200))
    await send_all(server, quiet, range(200, 204))
    dropped = balanced(server).dropped["unfair"]
    losers = (await node.inspect_meta(alias, "unfair_sources"))["unfair_sources"]
    assert losers == {repr(label): dropped}
    gate.let(200)
    await gate.passed_by(104 - dropped)
    assert [number for number in by_source(gate.passed)[QUIET] if number >= 200] == [200, 201, 202, 203]


def fails(message: meta.MessageUDP) -> str:
    raise ValueError("no key")


async def unready(message: meta.MessageUDP) -> str:
    return "key"


@pytest.mark.parametrize("by", [fails, unready, lambda message: [1]])
async def test_a_function_that_fails_is_counted_and_the_datagram_waits_in_the_queue_of_its_address(
    by: Any, node: homing.Node, probe: Probe, flooder: UDPPeer, quiet: UDPPeer
) -> None:
    gate, server, alias = await gated(node, probe, fair=meta.Fair(by=by, queue=5))
    await send_all(server, flooder, range(100))
    await send_all(server, quiet, range(5))
    dropped = balanced(server).dropped["unfair"]
    facts = await node.inspect_meta(alias, "fair_errors", "unfair_sources")
    assert facts == {"fair_errors": 105, "unfair_sources": {FLOODER: dropped}}
    gate.let(105)
    await gate.passed_by(105 - dropped)
    assert by_source(gate.passed)[QUIET] == list(range(5))


async def test_by_a_network_its_addresses_are_one_source(
    node: homing.Node, probe: Probe, flooder: UDPPeer, quiet: UDPPeer
) -> None:
    _, server, alias = await gated(node, probe, fair=meta.Fair(by=(24, 48), queue=5, ahead=1))
    await send_all(server, flooder, range(100))
    await send_all(server, quiet, range(50))
    facts = await node.inspect_meta(alias, "dropped_unfair", "unfair_sources")
    assert facts["unfair_sources"] == {"127.0.0.0/24": facts["dropped_unfair"]}
    assert facts["dropped_unfair"] >= 150 - 5 - 3


@pytest.mark.parametrize("sources", [3000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_case_53_however_many_sources_are_forged_they_stay_within_the_bound(sources: int) -> None:
    async def main() -> None:
        with FakeNetwork(seed=1) as network:
            async with homing.start_node("test@localhost", gen.NodeOptions(handle_signals=False)) as node:
                gate = Gate()
                await node.spawn(Gated, gate, name="gated")
                probe = await Probe.start(node)
                fair = meta.Fair(by=meta.where[0:4], most=sources // 10)
                server, alias = await open_server(probe, process="gated", fair=fair, receive_buffer=1 << 20)
                peer = network.socket(FLOODER)
                for number in range(sources):
                    for _ in range(1 + number % 2):
                        peer.send(number.to_bytes(4, "big"), server.local_address)
                    if number % 100 == 99:
                        await eventually(lambda: balanced(server).received == (number + 1) * 3 // 2)  # noqa: B023
                facts = await node.inspect_meta(alias, "fair_sources", "unfair_sources", "dropped_unfair")
                assert facts["fair_sources"] <= sources // 10
                assert facts["dropped_unfair"] > sources // 2
                assert len(facts["unfair_sources"]) <= 10
                gate.let(2 * sources)
                await eventually(lambda: balanced(server).waiting == 0)
                await gate.passed_by(balanced(server).delivered)
                assert len(gate.passed) + facts["dropped_unfair"] == sources * 3 // 2

    run_virtual(main)


# --- changes, and other owners --------------------------------------------------------------------------------


@pytest.mark.parametrize("now", [meta.Fair(queue=2, most=3), meta.Fair(by=(8, 8)), None])
async def test_while_datagrams_wait_the_option_may_change_and_each_source_keeps_its_order(
    now: Any, node: homing.Node, probe: Probe, flooder: UDPPeer, quiet: UDPPeer
) -> None:
    gate, server, alias = await gated(node, probe)
    await send_all(server, flooder, range(40))
    await send_all(server, quiet, range(40))
    await probe.do(lambda actor: actor.call(alias, meta.Reconfigure(fair=now)))
    for number in range(40, 60):
        flooder.send(b"%d" % number, server.local_address)
        quiet.send(b"%d" % number, server.local_address)
    gate.let(200)
    await eventually(lambda: balanced(server).received == 120 and balanced(server).waiting == 0)
    await gate.passed_by(120 - balanced(server).dropped["unfair"])
    for numbers in by_source(gate.passed).values():
        assert numbers == sorted(numbers)
        assert numbers[:40] == list(range(40))
    await send_all(server, quiet, range(60, 61))
    await eventually(lambda: by_source(gate.passed)[QUIET][-1] == 60)


async def test_datagrams_that_wait_for_their_turn_wait_for_the_successor_after_a_crash(
    node: homing.Node, quiet: UDPPeer
) -> None:
    gate = Gate()
    await node.spawn(Gated, gate, name="gated")
    owner, server, alias = await owned(node, fair=meta.Fair(), process="gated")
    await send_all(server, quiet, range(50))
    await crash(node, owner)
    gate.let(100)
    successor = await Probe.start(node)
    again, same = await open_server(successor, port=server.local_address[1], process="gated")
    await send_all(again, quiet, range(50, 60))
    await gate.passed_by(60)
    assert by_source(gate.passed) == {QUIET: list(range(60))}
    assert same == alias
    assert balanced(again).delivered == 60


async def test_a_socket_that_is_closed_counts_those_that_waited_for_their_turn(
    node: homing.Node, probe: Probe, quiet: UDPPeer
) -> None:
    _, server, alias = await gated(node, probe)
    await send_all(server, quiet, range(50))
    await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateNormal))
    await eventually(lambda: balanced(server).waiting == 0)
    ledger = balanced(server)
    assert ledger.dropped["end"] == 50 - ledger.delivered > 0


async def test_a_server_given_away_hands_what_waits_to_the_new_owner(node: homing.Node, quiet: UDPPeer) -> None:
    owner, heir = await Probe.start(node), await Probe.start(node)
    server, alias = await open_server(owner, fair=meta.Fair(ahead=1))

    async def give(actor: act.Actor) -> None:
        await send_all(server, quiet, range(50))  # this process is busy meanwhile
        actor.give_meta(alias, heir.pid)

    await owner.do(give)
    numbers = [int((await heir.get()).data)]
    while numbers[-1] < 49:
        numbers.append(int((await heir.get()).data))
    assert numbers == list(range(numbers[0], 50))
    assert numbers[0] == balanced(server).delivered - len(numbers) <= 2


async def test_while_there_is_no_receiver_datagrams_wait_in_the_kernel_and_in_their_queues(
    node: homing.Node, probe: Probe, quiet: UDPPeer
) -> None:
    gate, server, alias = await gated(node, probe, fair=meta.Fair(ahead=1))
    await send_all(server, quiet, range(20))
    node.kill(next(pid for pid in node.processes() if node.process_info(pid).name == "gated"))
    for number in range(20, 30):
        quiet.send(b"%d" % number, server.local_address)
    await eventually(lambda: server.statistics().pauses > 0)
    assert (await node.inspect_meta(alias, "waiting_for"))["waiting_for"] == "receiver"
    gate.let(100)
    await node.spawn(Gated, gate, name="gated")
    await eventually(lambda: by_source(gate.passed).get(QUIET, [0])[-1] == 29)
    numbers = by_source(gate.passed)[QUIET]
    assert numbers == list(range(numbers[0], 30))
    assert balanced(server).received == 30


async def test_a_pool_is_served_in_turn(node: homing.Node, probe: Probe, flooder: UDPPeer, quiet: UDPPeer) -> None:
    gate = Gate()
    server, _ = await open_server(probe, worker=Gated, worker_args=(gate,), workers=2, fair=meta.Fair(ahead=4))
    await send_all(server, flooder, range(500))
    await send_all(server, quiet, range(10))
    gate.let(1000)
    await gate.passed_by(510 - balanced(server).dropped["unfair"])
    assert sorted(by_source(gate.passed)[QUIET]) == list(range(10))


async def test_what_has_waited_too_long_for_its_turn_expires(node: homing.Node, probe: Probe, quiet: UDPPeer) -> None:
    gate, server, _ = await gated(node, probe, fair=meta.Fair(ahead=1), max_age=0.05)
    await send_all(server, quiet, range(20))
    end = asyncio.get_running_loop().time() + 0.06
    await eventually(lambda: asyncio.get_running_loop().time() > end)
    gate.let(100)
    await eventually(lambda: balanced(server).waiting == 0)
    await eventually(lambda: balanced(server).delivered == len(gate.passed))
    ledger = balanced(server)
    assert ledger.dropped["expired"] >= 18
    assert ledger.delivered + ledger.dropped["expired"] == 20


async def test_a_node_that_stops_hands_over_what_waits_for_its_turn(quiet: UDPPeer) -> None:
    node = await homing.start_node("stopping@localhost", gen.NodeOptions(handle_signals=False))
    gate, server, _ = await gated(node, await Probe.start(node), fair=meta.Fair(ahead=2))
    await send_all(server, quiet, range(50))
    stopping = asyncio.create_task(node.stop())
    await eventually(lambda: server.statistics() and node.info().state == "stopping")
    gate.let(50)
    assert await stopping is True
    assert by_source(gate.passed) == {QUIET: list(range(50))}
    assert balanced(server).delivered == 50


async def test_a_former_socket_is_closed_when_all_that_waits_there_was_handed_over(
    node: homing.Node, probe: Probe, quiet: UDPPeer
) -> None:
    gate, server, alias = await gated(node, probe, fair=meta.Fair(ahead=2))
    former = server.local_address
    await send_all(server, quiet, range(50))
    await probe.do(lambda actor: actor.call(alias, meta.Reconfigure(port=free_port(), grace=0.0)))
    gate.let(60)
    await gate.passed_by(50)
    await eventually(lambda: not is_bound(former))
    assert by_source(gate.passed) == {QUIET: list(range(50))}
    assert balanced(server).delivered == 50


def last_digit(message: meta.MessageUDP) -> int:
    return int(bytes(message.data)) % 10


BESIDE: list[dict[str, Any]] = [
    {"max_age": 0.05},
    {"conflate": last_digit},
    {"codel": meta.CoDel(target=0.005, interval=0.02)},
    {"rate_limit": meta.RateLimit(rate=500, burst=50, exempt=())},
    {"deny": (QUIET,)},
    {"admit": meta.where[0] != 0x31, "admit_in": "process"},
    {"overflow": "drop_oldest"},
    {"receive_buffer": 5000},
]


@pytest.mark.parametrize("markers", [False, True])
@pytest.mark.parametrize("beside", BESIDE, ids=lambda beside: next(iter(beside)))
def test_beside_each_other_option_the_ledger_is_exact_and_each_source_keeps_its_order(
    beside: dict[str, Any], markers: bool
) -> None:
    got: list[Any] = []

    class Receiver(act.Actor):
        async def handle_message(self, sender: gen.PID, message: Any) -> None:
            got.append(message)
            await asyncio.sleep(0.003)

    async def main() -> meta.Ledger:
        with FakeNetwork(seed=1) as network:
            async with homing.start_node("test@localhost", gen.NodeOptions(handle_signals=False)) as node:
                await node.spawn(Receiver, name="receiver")
                probe = await Probe.start(node)
                fair = meta.Fair(queue=20, ahead=4)
                server, _ = await open_server(
                    probe, process="receiver", fair=fair, loss_markers=markers, **{"receive_buffer": 1 << 20, **beside}
                )
                sources = [network.socket(host) for host in (FLOODER, QUIET, "127.0.0.4")]
                for number in range(600):
                    for index, source in enumerate(sources):
                        if number % (1 + 9 * index) == 0:
                            source.send(b"%d" % number, server.local_address)
                    if number % 7 == 0:
                        await asyncio.sleep(0.005)
                    balanced(server)
                await asyncio.sleep(5)
                return balanced(server)

    ledger = run_virtual(main)
    assert ledger.waiting == 0
    found = by_source(got)
    assert ledger.delivered == sum(len(numbers) for numbers in found.values()) > 30
    for numbers in found.values():
        assert "conflate" in beside or numbers == sorted(numbers)
        assert len(numbers) == len(set(numbers))
    told = [message for message in got if isinstance(message, meta.MessageUDPLoss)]
    marked = {cause: sum(loss.count for loss in told if loss.cause == cause) for cause in ledger.dropped}
    untold = {"denied", "filtered", "conflated"}
    if markers:
        assert marked == {cause: 0 if cause in untold else count for cause, count in ledger.dropped.items()}
    else:
        assert told == []


# --- refusals -------------------------------------------------------------------------------------------------


class Batches(act.Actor):
    def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        pass


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"peers": meta.PeerOptions(worker=Gated)}, "fair.*peers="),
        ({"buffer_pool": meta.BufferPool()}, "fair.*buffer_pool="),
        ({"overflow": "pause"}, "overflow.*fair="),
        ({"worker": Batches}, "fair.*handle_datagrams"),
        ({"fair": "source"}, "fair.*meta.Fair"),
    ],
)
def test_options_that_it_cannot_be_combined_with_are_refused_by_name(options: dict[str, Any], names: str) -> None:
    with pytest.raises(gen.BadOption, match=names):
        meta.UDPServerOptions(**{"fair": meta.Fair(), **options})


async def test_a_receiver_of_batches_is_refused_at_the_start_and_by_a_change(node: homing.Node, probe: Probe) -> None:
    await node.spawn(Batches, name="batches")
    await node.spawn(Gated, Gate(), name="gated")

    async def refused(actor: act.Actor, make: Any) -> Exception | None:
        try:
            await make(actor)
        except gen.BadOption as error:
            return error
        return None

    port = free_port()
    options = meta.UDPServerOptions(host="127.0.0.1", port=port, process="batches", fair=meta.Fair())
    error = await probe.do(lambda actor: refused(actor, lambda a: a.spawn_meta(meta.create_udp_server(options))))
    assert "handle_datagrams" in str(error)
    _, alias = await open_server(probe, process="gated", fair=meta.Fair())
    change = meta.Reconfigure(process="batches")
    error = await probe.do(lambda actor: refused(actor, lambda a: a.call(alias, change)))
    assert "handle_datagrams" in str(error)
