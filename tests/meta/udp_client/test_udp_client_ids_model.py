"""Whatever a network does, and whatever ids callers choose: each gets its own answer, with its own id."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import homing
from homing import gen, meta
from homing.testing import FakeNetwork, Peer, run_virtual

from ...support import Probe, examples
from .clients import check_account
from .test_udp_client_model import BAD, PEER

pytestmark = [pytest.mark.backends, pytest.mark.loops]


class Asked(NamedTuple):
    """One caller: when it asks, with which id, for what, and how long it waits."""

    at: float
    own_id: int
    name: int
    patience: float


async def serve(peer: Peer) -> None:
    """Answers each question, and now and then sends a guess that is wrong."""
    for number in range(10**6):
        data, source = await peer.receive()
        peer.send(data[:2] + b"answer" + data[2:], source)
        if number % 5 == 0:
            peer.send(bytes([data[0] ^ 1]) + data[1:], source)


async def one(node: homing.Node, client: gen.Alias, asked: Asked) -> str:
    """Asks one question, and says what came of it."""
    await asyncio.sleep(asked.at)
    own_id, name = asked.own_id.to_bytes(2), b"name %d" % asked.name
    try:
        reply = await node.call(client, own_id + name, timeout=asked.patience)
    except gen.RequestTimeout:
        return "timeout"
    except gen.CallTimeout:
        return "gave up"
    assert reply.data == own_id + b"answer" + name
    return "answered"


callers = st.builds(
    Asked,
    at=st.floats(0, 5),
    own_id=st.sampled_from([0, 1, 0xFFFF]),
    name=st.integers(0, 3),
    patience=st.sampled_from([0.4, 2.0, 100.0]),
)


@pytest.mark.once
@pytest.mark.thorough
@settings(max_examples=examples(30, 300))
@given(
    seed=st.integers(0, 2**32),
    asked=st.lists(callers, min_size=1, max_size=60),
    shares=st.booleans(),
    ports=st.sampled_from([1, 3]),
)
def test_each_caller_gets_the_answer_to_its_own_question_with_its_own_id(
    seed: int, asked: list[Asked], shares: bool, ports: int
) -> None:
    async def main() -> None:
        with FakeNetwork(seed=seed, **BAD) as network:
            options = gen.NodeOptions(handle_signals=False, slow_callback_seconds=None)
            async with homing.start_node("test@localhost", options) as node:
                serving = asyncio.create_task(serve(network.socket(*PEER)))
                probe = await Probe.start(node)
                client = meta.create_udp_client(
                    meta.UDPClientOptions(
                        host=PEER[0],
                        port=PEER[1],
                        random=random.Random(seed).random,
                        id=meta.RequestId(),
                        coalesce=bytes if shares else None,
                        ports=ports,
                        stray="drop",
                    )
                )
                alias = await probe.do(lambda actor: actor.spawn_meta(client))
                outcomes = await asyncio.gather(*[one(node, alias, each) for each in asked])
                await asyncio.sleep(1000)
                serving.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await serving
                check(client, outcomes, shares)

    run_virtual(main)


def check(client: meta.UDPClient, outcomes: list[Any], shares: bool) -> None:
    check_account(client)
    counts = client.statistics()
    assert (counts.requests, counts.open, counts.refused, counts.failed) == (len(outcomes), 0, 0, 0)
    assert counts.answered == outcomes.count("answered")
    assert (counts.timeouts, counts.cancelled) == (outcomes.count("timeout"), outcomes.count("gave up"))
    assert counts.packets_out == counts.requests - counts.shared + counts.retransmits <= 3 * counts.requests
    assert counts.replies <= counts.answered
    if not shares:
        assert counts.shared == 0
        assert counts.replies == counts.answered
