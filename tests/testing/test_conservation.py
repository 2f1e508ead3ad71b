"""Properties that hold for every network, however bad."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import homing
from homing import meta
from homing.testing import Event, FakeNetwork, run_virtual

from ..support import examples
from .networks import CLIENT, SERVER, Keeper, conserved, delivered

CHANCE = st.floats(0, 1)
SECONDS = st.floats(0, 0.1)
SPAN = st.one_of(SECONDS, st.tuples(SECONDS, SECONDS).map(lambda pair: (min(pair), max(pair))))
NETWORK = st.fixed_dictionaries(
    {
        "seed": st.integers(),
        "loss": CHANCE,
        "duplicate": CHANCE,
        "reorder": CHANCE,
        "delay": SPAN,
        "reorder_delay": SPAN,
        "mtu": st.sampled_from([None, 576, 1500]),
        "refuse": st.booleans(),
    }
)
SEND = st.tuples(st.just("send"), st.integers(0, 2), st.binary(max_size=1500))
TO_NOBODY = st.tuples(st.just("to nobody"), st.integers(0, 2), st.binary(max_size=9))
OTHERS = st.sampled_from([("wait",), ("partition",), ("heal",), ("clog",)])
STEPS = st.lists(st.one_of(SEND, SEND, TO_NOBODY, OTHERS), max_size=60)


@pytest.mark.thorough
@settings(max_examples=examples(50, 600))
@given(NETWORK, STEPS, st.integers(1, 20_000))
def test_each_datagram_ends_once_and_the_receiver_sees_what_the_network_says(
    options: dict[str, Any], steps: list[tuple[Any, ...]], receive_buffer: int
) -> None:
    events: list[Event] = []
    kept: list[meta.MessageUDP] = []

    async def main() -> None:
        with FakeNetwork(**options, trace=events.append) as network:
            async with homing.start_node("test@localhost") as node:
                pid = await node.spawn(Keeper, kept)
                server = await node.call(pid, "server")
                peers = [network.socket(f"10.0.1.{place}", receive_buffer=receive_buffer) for place in range(3)]
                for step in steps:
                    await act_on(network, peers, step)
                    assert conserved(network)
                await asyncio.sleep(10)
                assert network.statistics.in_flight == 0
                check(network, server)

    def check(network: FakeNetwork, server: meta.UDPServer) -> None:
        assert conserved(network)
        kinds = Counter(event.kind for event in events)
        assert kinds["sent"] == sum(step[0] in ("send", "to nobody") for step in steps)
        assert all(getattr(network.statistics, kind) == count for kind, count in kinds.items())
        assert [(message.data, message.addr) for message in kept] == delivered(events, SERVER)
        assert server.statistics().kernel_drops == sum(
            event.kind == "overflow" and event.destination == SERVER for event in events
        )

    run_virtual(main)


async def act_on(network: FakeNetwork, peers: list[Any], step: tuple[Any, ...]) -> None:
    match step:
        case ("send", place, data):
            peers[place].send(data, SERVER)
        case ("to nobody", place, data):
            peers[place].send(data, CLIENT)
        case ("wait",):
            await asyncio.sleep(0.05)
        case ("partition",):
            network.partition(SERVER[0], "10.0.1.1")
        case ("heal",):
            network.heal()
        case ("clog",):
            network.clog("10.0.1.0", SERVER[0], 1.0)


@pytest.mark.thorough
@settings(max_examples=examples(20, 200))
@given(NETWORK, st.integers(1, 40))
def test_the_same_options_give_the_same_events(options: dict[str, Any], count: int) -> None:
    def events() -> list[str]:
        seen: list[Event] = []

        async def main() -> None:
            network = FakeNetwork(**options, trace=seen.append)
            network.socket(*SERVER)
            client = network.socket(*CLIENT)
            for number in range(count):
                client.send(b"%d" % number, SERVER)
                await asyncio.sleep(0.001)
            await asyncio.sleep(1)

        run_virtual(main)
        return [str(event) for event in seen]

    assert events() == events()
