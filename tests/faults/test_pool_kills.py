"""Case 20: a random worker killed every 10 ms for 10 s under load. The pool never shrinks for good, and every datagram
is answered once or counted."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections import Counter
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ..meta.servers import open_server
from ..support import Probe, eventually
from .figures import figure

pytestmark = pytest.mark.backends

SECONDS = 10.0
EVERY = 0.01
WORKERS = 8
PEERS = 16
OUTSTANDING = 64
"""Datagrams of a peer that have no answer yet, at most: neither kernel buffer ever overflows."""


class Answering(act.Actor):
    """Answers at once."""

    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        self.send(message.id, message.reply(message.data))


class Waiting(Answering):
    """Answers after a while in which it waits, as for a database: so most are killed with a message in hand."""

    async def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:  # type: ignore[override]
        await asyncio.sleep(0.001)
        super().handle_message(sender, message)


class Blocking(Answering):
    """As `Waiting`, but blocks its thread."""

    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        time.sleep(0.001)
        super().handle_message(sender, message)


class Load:
    """Peers that send numbered datagrams, and take the answers; what is lost is told by `forgive`."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.sockets = []
        for _ in range(PEERS):
            peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            peer.setblocking(False)
            peer.connect(address)
            self.sockets.append(peer)
        self.sent = [0] * PEERS
        self.got: list[list[int]] = [[] for _ in range(PEERS)]
        self.lost = 0

    def close(self) -> None:
        for peer in self.sockets:
            peer.close()

    @property
    def answered(self) -> int:
        return sum(map(len, self.got))

    def send(self) -> None:
        """Sends as many as may be outstanding in all."""
        room = PEERS * OUTSTANDING - (sum(self.sent) - self.answered - self.lost)
        for number in range(room):
            peer = number % PEERS
            self.sockets[peer].send(b"%d" % self.sent[peer])
            self.sent[peer] += 1

    def receive(self) -> None:
        for peer, sock in enumerate(self.sockets):
            while True:
                try:
                    self.got[peer].append(int(sock.recv(100)))
                except BlockingIOError:
                    break


class Killer:
    """Kills a random worker now and then, and looks at the size of the pool."""

    def __init__(self, node: homing.Node, pool: gen.PID) -> None:
        self.node = node
        self.pool = pool
        self.behavior: Any = node._process(pool).behavior
        self.kills = 0
        self.sizes: Counter[int] = Counter()
        self.running: list[int] = []

    def strike(self, chance: random.Random) -> None:
        alive = [worker.id for worker in self.behavior._forwarder.workers.processes if worker.alive]
        if alive:
            self.node.kill(chance.choice(alive))
            self.kills += 1
        facts = self.behavior.handle_inspect(self.pool)
        self.sizes[facts["pool_size"]] += 1
        self.running.append(facts["running"])

    def over(self) -> bool:
        """True once all workers run, and have nothing in hand: a thread answers before it has reported."""
        facts = self.behavior.handle_inspect(self.pool)
        return (facts["running"], facts["messages_in_hand"]) == (WORKERS, 0)


@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.parametrize(
    ("worker", "route"),
    [(Answering, "round_robin"), (Waiting, "least"), (Waiting, "source"), (Blocking, "least"), (Blocking, "source")],
)
async def test_case_20_workers_killed_all_the_time_lose_nothing_uncounted(
    node: homing.Node, probe: Probe, worker: type[act.Actor], route: Any
) -> None:
    options = gen.ProcessOptions(thread=worker is Blocking)
    server, alias = await open_server(
        probe, worker=worker, workers=WORKERS, worker_options=options, route=route, receive_buffer=1 << 20
    )
    facts = await node.inspect_meta(alias, "process")
    pool = next(pid for pid in node.processes() if str(pid) == facts["process"])
    killer, load, chance = Killer(node, pool), Load(server.local_address), random.Random(20)
    try:
        end = strike = time.monotonic()
        end += SECONDS
        while (now := time.monotonic()) < end:
            load.lost = node.info().dead_letters
            load.receive()
            load.send()
            if now >= strike:
                strike += EVERY
                killer.strike(chance)
            await asyncio.sleep(0.001)

        def all_accounted() -> bool:
            load.receive()
            load.lost = node.info().dead_letters
            return load.answered + load.lost == sum(load.sent)

        await eventually(all_accounted, "the account of all datagrams")
        await eventually(killer.over, "all workers, with nothing in hand")
    finally:
        load.close()
    found, sent = await node.inspect(pool), sum(load.sent)
    figure(
        20,
        f"{worker.__name__} workers by {route}, killed for {SECONDS:g} s",
        f"{killer.kills} kills, {found['worker_restarts']} restarts; {sent} sent = {load.answered} answered + "
        f"{load.lost} dead letters; pool size min {min(killer.sizes)}, end {found['pool_size']}; running min "
        f"{min(killer.running)}, end {found['running']}",
    )
    assert killer.kills > 0
    assert set(killer.sizes) == {WORKERS}
    assert found["worker_restarts"] == killer.kills
    assert (found["dead_letters"], found["messages_handled"]) == (load.lost, load.answered)
    assert (found["messages_waiting"], found["messages_waiting_at_workers"], found["messages_in_hand"]) == (0, 0, 0)
    assert load.lost <= killer.kills
    for numbers in load.got:
        assert len(set(numbers)) == len(numbers)
        if route == "source":
            assert numbers == sorted(numbers)
    statistics = server.statistics()
    assert (statistics.packets_in, statistics.delivered, statistics.dropped_no_receiver) == (sent, sent, 0)
    assert statistics.kernel_drops in (0, None)
    assert node.info().discarded == 0
