"""Peers that are idle end, in virtual time; and one timer serves them all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import homing
from homing import gen, meta
from homing.testing import FakeNetwork, run_virtual

from ...support import Probe
from .players import Player, facts_of, open_peers

SERVER = ("10.0.0.1", 53)
HERE = {"host": SERVER[0], "port": SERVER[1]}


def on_a_fake_network(test: Callable[[homing.Node, Probe, FakeNetwork], Awaitable[None]]) -> None:
    async def main() -> None:
        options = gen.NodeOptions(handle_signals=False, slow_callback_seconds=None)
        with FakeNetwork(seed=1) as network:
            async with homing.start_node("test@localhost", options) as node:
                await test(node, await Probe.start(node), network)

    run_virtual(main)


@pytest.mark.parametrize("idle", [0.01, 1.0, 60.0, 3600.0])
def test_an_idle_peer_ends_soon_after_its_time(idle: float) -> None:
    async def test(node: homing.Node, probe: Probe, network: FakeNetwork) -> None:
        _, alias = await open_peers(probe, idle=idle, notify=probe.pid, server=HERE)
        peer = network.socket("10.0.0.2")
        peer.send(b"quiet", SERVER)
        await asyncio.sleep(idle * 0.99)
        assert (await facts_of(probe, alias))["peers"] == 1
        peer.send(b"quiet", SERVER)
        await asyncio.sleep(idle * 0.99)
        assert (await facts_of(probe, alias))["peers"] == 1
        await asyncio.sleep(idle * 0.01 + min(idle / 50, 1.0) + 0.001)
        facts = await facts_of(probe, alias)
        assert (facts["peers"], facts["down_idle"]) == (0, 1)
        await probe.get()
        assert isinstance((await probe.get()).reason, meta.PeerIdle)

    on_a_fake_network(test)


def test_a_peer_that_only_receives_is_idle() -> None:
    class Sending(Player):
        def init(self) -> None:  # type: ignore[override]
            super().init()
            self.send_every(self.pid, "tick", 5.0)

        def handle_message(self, sender: Any, message: Any) -> None:
            if message == "tick":
                self.peer.send(b"tick")

    async def test(node: homing.Node, probe: Probe, network: FakeNetwork) -> None:
        _, alias = await open_peers(probe, Sending, idle=10.0, server=HERE)
        network.socket("10.0.0.2").send(b"hello", SERVER)
        await asyncio.sleep(12)
        assert (await facts_of(probe, alias))["down_idle"] == 1

    on_a_fake_network(test)


def test_a_peer_is_not_idle_when_it_proves_itself() -> None:
    class Late(Player):
        def handle_message(self, sender: Any, message: Any) -> None:
            if message == "prove":
                self.peer.proven()
            else:
                self.send_after(self.pid, "prove", 9.0)

    async def test(node: homing.Node, probe: Probe, network: FakeNetwork) -> None:
        _, alias = await open_peers(probe, Late, idle=10.0, server=HERE)
        network.socket("10.0.0.2").send(b"hello", SERVER)
        await asyncio.sleep(18.8)
        assert (await facts_of(probe, alias))["peers"] == 1
        await asyncio.sleep(0.5)
        assert (await facts_of(probe, alias))["peers"] == 0

    on_a_fake_network(test)


def test_without_a_limit_no_peer_is_idle() -> None:
    async def test(node: homing.Node, probe: Probe, network: FakeNetwork) -> None:
        _, alias = await open_peers(probe, idle=None, server=HERE)
        network.socket("10.0.0.2").send(b"hello", SERVER)
        await asyncio.sleep(10**6)
        assert (await facts_of(probe, alias))["peers"] == 1

    on_a_fake_network(test)


def test_a_shorter_time_ends_those_that_are_idle_by_now() -> None:
    async def test(node: homing.Node, probe: Probe, network: FakeNetwork) -> None:
        _, alias = await open_peers(probe, idle=None, server=HERE)
        peer = network.socket("10.0.0.2")
        peer.send(b"hello", SERVER)
        await asyncio.sleep(100)
        request = meta.Reconfigure(peers=meta.PeerOptions(worker=Player, idle=50.0))
        await probe.do(lambda actor: actor.call(alias, request))
        await asyncio.sleep(0.1)
        assert (await facts_of(probe, alias))["down_idle"] == 1
        peer.send(b"hello", SERVER)
        await asyncio.sleep(52)
        assert (await facts_of(probe, alias))["down_idle"] == 2

    on_a_fake_network(test)


def test_one_timer_serves_all_peers() -> None:
    async def test(node: homing.Node, probe: Probe, network: FakeNetwork) -> None:
        _, alias = await open_peers(probe, server=HERE)
        for number in range(300):
            network.socket("10.0.0.2", 1000 + number).send(b"quiet", SERVER)
        await asyncio.sleep(1)
        assert (await facts_of(probe, alias))["peers"] == 300
        table = next(pid for pid in node.processes() if node.process_info(pid).kind == "peers")
        assert len(node._process(table).timers or ()) == 1
        await asyncio.sleep(70)
        assert (await facts_of(probe, alias))["down_idle"] == 300

    on_a_fake_network(test)


@pytest.mark.parametrize("option", ["accept", "key"])
def test_a_datagram_for_which_memory_runs_out_is_counted_and_others_go_on(option: str) -> None:
    def fails(message: meta.MessageUDP) -> Any:
        if message.data == b"large":
            raise MemoryError
        return b"key"

    async def test(node: homing.Node, probe: Probe, network: FakeNetwork) -> None:
        _, alias = await open_peers(probe, server=HERE, **{option: fails})
        peer = network.socket("10.0.0.2")
        peer.send(b"large", SERVER)
        peer.send(b"hello", SERVER)
        assert (await peer.receive())[0].endswith(b"hello")
        assert (await facts_of(probe, alias))["dropped_no_memory"] == 1

    on_a_fake_network(test)
