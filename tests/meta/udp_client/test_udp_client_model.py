"""Whatever a network does to requests and replies: each caller gets its own answer or a timeout, and all is counted."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import homing
from homing import gen, meta
from homing.testing import Event, FakeNetwork, Peer, run_virtual

from ...support import Probe, UDPPeer, eventually, examples
from .clients import ask, by_id, check_account, open_client

pytestmark = [pytest.mark.backends, pytest.mark.loops]

PEER = ("10.0.0.1", 53)
BAD = {"loss": 0.3, "duplicate": 0.3, "reorder": 0.3, "delay": (0.0, 1.2), "reorder_delay": (0.0, 3.0)}


def matches(request: bytes, reply: meta.MessageUDP) -> bool:
    return reply.data[:2] == request[:2]


WAYS: dict[str, dict[str, Any]] = {"key": {"key": by_id}, "match": {"match": matches}}


async def serve(peer: Peer) -> None:
    """Answers each question, and now and then sends something that nobody has asked for."""
    for number in range(10**6):
        data, source = await peer.receive()
        peer.send(data + b" answer", source)
        if number % 5 == 0:
            peer.send(b"\xff\xff news", source)


async def one(node: homing.Node, client: gen.Alias, number: int, wait: float, patience: float) -> str:
    """Asks one question, and says what came of it."""
    await asyncio.sleep(wait)
    question = number.to_bytes(2)
    try:
        reply = await node.call(client, question, timeout=patience)
    except gen.RequestTimeout:
        return "timeout"
    except gen.CallTimeout:
        return "gave up"
    assert reply.data == question + b" answer", "somebody else's answer"
    return "answered"


requests = st.lists(st.tuples(st.floats(0, 5), st.sampled_from([0.4, 2.0, 100.0])), min_size=1, max_size=60)


@pytest.mark.once
@pytest.mark.thorough
@settings(max_examples=examples(20, 200))
@given(seed=st.integers(0, 2**32), way=st.sampled_from(sorted(WAYS)), asked=requests)
def test_each_caller_gets_its_own_answer_or_a_timeout_and_all_is_counted(
    seed: int, way: str, asked: list[tuple[float, float]]
) -> None:
    async def main() -> None:
        events: list[Event] = []
        with FakeNetwork(seed=seed, trace=events.append, **BAD) as network:
            options = gen.NodeOptions(handle_signals=False, slow_callback_seconds=None)
            async with homing.start_node("test@localhost", options) as node:
                serving = asyncio.create_task(serve(network.socket(*PEER)))
                probe = await Probe.start(node)
                chance = random.Random(seed).random
                client = meta.create_udp_client(
                    meta.UDPClientOptions(host=PEER[0], port=PEER[1], random=chance, jitter=0.5, **WAYS[way])
                )
                alias = await probe.do(lambda actor: actor.spawn_meta(client))
                calls = [one(node, alias, number, *when) for number, when in enumerate(asked)]
                outcomes = await asyncio.gather(*calls)
                await asyncio.sleep(1000)
                serving.cancel()
                await asyncio.wait([serving])
                check(client, events, outcomes)

    run_virtual(main)


def check(client: meta.UDPClient, events: list[Event], outcomes: list[str]) -> None:
    check_account(client)
    counts = client.statistics()
    assert (counts.requests, counts.open, counts.refused, counts.failed) == (len(outcomes), 0, 0, 0)
    assert counts.answered == outcomes.count("answered")
    assert (counts.timeouts, counts.cancelled) == (outcomes.count("timeout"), outcomes.count("gave up"))
    assert counts.replies == counts.answered
    assert counts.packets_out == counts.requests + counts.retransmits <= 3 * counts.requests
    assert counts.packets_in == counts.answered + counts.duplicate + counts.late + counts.stray
    assert counts.packets_in == sum(event.kind == "delivered" and event.source == PEER for event in events)
    assert counts.stray == counts.delivered


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
async def test_on_real_sockets_a_bad_line_changes_nothing_of_that(
    seed: int, way: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    """Every third question is lost, every third answered twice, and answers come in any order."""
    chance = random.Random(seed)
    client, alias = await open_client(probe, peer, timeout=0.05, retries=8, backoff=1.5, **WAYS[way])

    async def relay() -> None:
        held: list[tuple[bytes, Any]] = []
        while True:
            data, source = await peer.receive()
            held += [(data, source)] * chance.choice([0, 1, 2])
            while len(held) > chance.randrange(6):
                question, asker = held.pop(chance.randrange(len(held)))
                peer.send(question + b" answer", asker)

    relaying = asyncio.create_task(relay())
    questions = [number.to_bytes(2) for number in range(100)]
    outcomes = await asyncio.gather(*[ask(node, alias, data) for data in questions], return_exceptions=True)
    relaying.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await relaying
    for question, outcome in zip(questions, outcomes, strict=True):
        assert isinstance(outcome, gen.RequestTimeout) or outcome.data == question + b" answer"
    answered = sum(isinstance(outcome, meta.MessageUDP) for outcome in outcomes)
    await eventually(lambda: client.statistics().open == 0)
    counts = client.statistics()
    assert (counts.answered, counts.timeouts) == (answered, 100 - answered)
    assert answered >= 50
    assert counts.stray == 0
    check_account(client)
