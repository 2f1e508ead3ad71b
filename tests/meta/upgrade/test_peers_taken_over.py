"""Peers when their server is stopped, adopted with other options, or taken over by another program."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

import homing
from homing import meta

from ...support import Probe, UDPPeer, eventually, free_port
from ..peers.players import Player, facts_become, facts_of, open_peers
from ..servers import Gate, error_of, open_server
from .generations import offered, running, stopped

pytestmark = [pytest.mark.backends]


class Gated(Player):
    """As slow as its gate."""

    def init(self, gate: Gate, told: list[Any]) -> None:  # type: ignore[override]
        super().init(told)
        self.gate = gate

    async def handle_message(self, sender: Any, message: Any) -> None:  # type: ignore[override]
        await self.gate.enter(message)
        super().handle_message(sender, message)


async def test_a_node_that_stops_lets_peers_handle_what_was_read(node: homing.Node, probe: Probe) -> None:
    gate, told = Gate(), list[Any]()
    server, alias = await open_peers(probe, Gated, worker_args=(gate, told))
    with UDPPeer() as one, UDPPeer() as two:
        for number in range(5):
            one.send(b"%d" % number, server.local_address)
            two.send(b"%d" % number, server.local_address)
        await facts_become(probe, alias, forwarded=10)
        stopping = asyncio.create_task(node.stop(10.0))
        await asyncio.sleep(0)
        gate.let(10)
        assert await stopping
        assert len(told) == 10


@pytest.mark.skipif(sys.platform != "linux", reason="sockets are handed over on Linux only")
async def test_a_successor_begins_with_no_peers_and_the_predecessor_finishes_its_own(
    node: homing.Node, path: str
) -> None:
    port, gate, told = free_port(), Gate(), list[Any]()
    first = await Probe.start(node)
    server, alias = await open_peers(first, Gated, worker_args=(gate, told), server={"port": port})
    await offered(node, path)
    with UDPPeer() as one:
        for number in range(5):
            one.send(b"%d" % number, server.local_address)
        await facts_become(first, alias, forwarded=5)
        async with running(node) as other:
            second = await Probe.start(other)
            async with meta.TakeOver(other, path):
                _, successor = await open_peers(second, server={"port": port})
            assert (await facts_of(second, successor))["peers"] == 0
            one.send(b"new", server.local_address)
            await facts_become(second, successor, peers=1)
            gate.let(10)
            await stopped(node)
            assert [data for _, data in told] == [b"%d" % number for number in range(5)]
            answers = {(await one.receive())[0].split()[1] for _ in range(6)}
            assert answers == {b"0", b"1", b"2", b"3", b"4", b"new"}


async def test_peers_that_a_successor_does_not_ask_for_finish_and_end(node: homing.Node) -> None:
    port, gate, told = free_port(), Gate(), list[Any]()
    owner, successor = await Probe.start(node), await Probe.start(node)
    options = {"port": port, "linger": 5.0}
    server, alias = await open_peers(owner, Gated, worker_args=(gate, told), server=options)
    with UDPPeer() as one:
        for number in range(5):
            one.send(b"%d" % number, server.local_address)
        await facts_become(owner, alias, forwarded=5)
        await error_of(owner.do(lambda actor: 1 / 0))
        adopted, same = await open_server(successor, **options)
        assert same == alias
        one.send(b"plain", server.local_address)
        assert (await successor.get()).data == b"plain"
        gate.let(5)
        await eventually(lambda: node.info().processes == 1)
        assert len(told) == 5
        statistics = adopted.statistics()
        assert (statistics.packets_in, statistics.delivered, statistics.dropped_newest) == (6, 6, 0)


async def test_if_the_table_is_killed_the_server_ends(node: homing.Node, probe: Probe) -> None:
    server, alias = await open_peers(probe, notify=probe.pid)
    with UDPPeer() as one:
        await one.ask(b"hello", server.local_address)
        await probe.get()
        table = next(pid for pid in node.processes() if node.process_info(pid).kind == "peers")
        await probe.do(lambda actor: actor.monitor(alias))
        node.kill(table)
        kinds = {type(await probe.get()).__name__ for _ in range(2)}
        assert kinds == {"MessagePeerDown", "MessageDownAlias"}
        await eventually(lambda: node.info().processes == 1)
