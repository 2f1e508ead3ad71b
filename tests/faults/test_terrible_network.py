"""Case 33: the runtime itself adds no loss, no duplicate and no other order to what the network does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen, meta
from homing.testing import Event, FakeNetwork, Peer, run_virtual

from .figures import figure

SERVER = ("10.0.0.1", 53)
PEERS = 4
EACH = 250

SEEDS = [*range(1, 11), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(11, 51))]
Seen = list[tuple[bytes, tuple[Any, ...]]]


class Collector(act.Actor):
    """Opens a server, keeps what comes to it, and answers."""

    async def init(self, seen: Seen, options: dict[str, Any]) -> None:
        self.seen = seen
        given = {"host": SERVER[0], "port": SERVER[1], "receive_buffer": 10_000_000, **options}
        self.server = meta.create_udp_server(meta.UDPServerOptions(**given))
        self.udp = await self.spawn_meta(self.server)

    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        self.seen.append((bytes(message.data), message.addr))
        self.send(message.id, message.reply(b"re " + bytes(message.data)))

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> meta.UDPServer:
        return self.server


class BatchCollector(Collector):
    def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        for message in batch:
            self.handle_message(self.pid, message)


class Run:
    """One run over a network: what was sent, what each side has seen, and what the network says."""

    def __init__(self, collector: type[Collector], options: dict[str, Any], **network: Any) -> None:
        self.events: list[Event] = []
        self.seen: Seen = []
        self.network = FakeNetwork(trace=self.events.append, **network)
        self._collector = collector
        self._options = options
        run_virtual(self._main)

    async def _main(self) -> None:
        with self.network:
            async with homing.start_node("test@localhost") as node:
                server = await node.call(await node.spawn(self._collector, self.seen, self._options), "server")
                self.peers = [self.network.socket(f"10.0.1.{n}", receive_buffer=10_000_000) for n in range(PEERS)]
                await self._send(self.peers)
                await asyncio.sleep(60)
                self.answers = [peer.waiting() for peer in self.peers]
                self.statistics = server.statistics()

    async def _send(self, peers: list[Peer]) -> None:
        for number in range(EACH):
            for peer in peers:
                peer.send(b"%d" % number, SERVER)
            if number % 7 == 0:
                await asyncio.sleep(0.005)

    def happened(self, kind: str, destination: tuple[Any, ...]) -> Seen:
        return [(e.data, e.source) for e in self.events if e.kind == kind and e.destination == destination]


def collector(number: int) -> tuple[type[Collector], dict[str, Any]]:
    """Different ways to receive, in turn: messages, few at a time, in pooled buffers, in batches."""
    ways: list[tuple[type[Collector], dict[str, Any]]] = [
        (Collector, {}),
        (Collector, {"high_water": 8, "receive_batch": 3}),
        (Collector, {"buffer_pool": meta.BufferPool(2048)}),
        (BatchCollector, {}),
    ]
    return ways[number % len(ways)]


@pytest.mark.parametrize("seed", range(4))
def test_case_33_over_a_perfect_network_everything_arrives_once_and_in_order(seed: int) -> None:
    run = Run(*collector(seed), seed=seed)
    numbers = [b"%d" % number for number in range(EACH)]
    for peer, answers in zip(run.peers, run.answers, strict=True):
        assert [data for data, source in run.seen if source == peer.address] == numbers
        assert answers == [(b"re " + data, SERVER) for data in numbers]
    assert run.statistics.packets_in == run.statistics.delivered == run.statistics.packets_out == PEERS * EACH
    figure(33, "over a perfect network: arrived once and in order", f"{len(run.seen)} of {PEERS * EACH}")


@pytest.mark.parametrize("seed", SEEDS)
def test_case_33_over_a_bad_network_the_receiver_sees_what_the_network_has_delivered_and_nothing_else(
    seed: int,
) -> None:
    bad = {"loss": 0.006 * seed, "duplicate": 0.1, "reorder": 0.2, "delay": (0.0, 0.02)}
    run = Run(*collector(seed), seed=seed, **bad)
    assert run.seen == run.happened("delivered", SERVER)
    answered = [(b"re " + data, source) for data, source in run.seen]
    for peer, answers in zip(run.peers, run.answers, strict=True):
        sent = [event.data for event in run.events if event.kind == "sent" and event.destination == peer.address]
        assert sent == [data for data, source in answered if source == peer.address]
        assert answers == run.happened("delivered", peer.address)
    statistics = run.network.statistics
    assert (statistics.in_flight, statistics.overflow, statistics.no_receiver) == (0, 0, 0)
    assert min(statistics.lost, statistics.duplicated, statistics.reordered) > 0
    assert run.statistics.packets_in == run.statistics.packets_out == len(run.seen)
    added = len(run.seen) - len(run.happened("delivered", SERVER))
    figure(33, "over a bad network, seeds 1 to 50: losses, doubles and disorder of the runtime's own", added)
