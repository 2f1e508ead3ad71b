"""The whole way: actors of real nodes in two programs, joined by zenoh."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

import homing
from homing import gen

from ...support import DEADLINE, Probe, eventually
from .nodes import ROOT

ECHO = gen.ProcessID("echo", "b@localhost")


@pytest.fixture
async def other(node: homing.Node) -> AsyncIterator[subprocess.Popen[str]]:
    """Another program whose node "b@localhost" has joined this one's."""
    cluster = await homing.cluster.join(node, gen.ClusterOptions(name="whole"))
    command = [sys.executable, "-m", "tests.cluster.zenoh.member", "b@localhost", *cluster.addresses]
    process = await asyncio.to_thread(subprocess.Popen, command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        await eventually(lambda: "b@localhost" in cluster.links, "the other node")
        yield process
    finally:
        process.kill()
        await asyncio.to_thread(process.wait, DEADLINE)
        assert process.stdout is not None
        process.stdout.close()
        await cluster.leave()


async def test_messages_and_calls_reach_another_program_and_its_death_is_known_at_once(
    node: homing.Node, probe: Probe, other: subprocess.Popen[str]
) -> None:
    await probe.do(lambda actor: [actor.send(ECHO, number) for number in range(100)])
    for number in range(100):
        assert await probe.get() == ("echo", number)
    request = {"a": [1, 2.5, "x", b"y"]}
    assert await node.call(ECHO, request) == ("echo", request)
    cluster: Any = node.cluster
    assert cluster.node("b@localhost").up
    other.send_signal(signal.SIGKILL)
    await eventually(lambda: not cluster.links, "the end of the link")
    with pytest.raises(gen.DeliveryError):
        await node.call(ECHO, "anybody?")


async def test_a_node_that_stops_leaves_the_cluster_first(
    node: homing.Node, probe: Probe, other: subprocess.Popen[str]
) -> None:
    cluster: Any = node.cluster
    other.send_signal(signal.SIGTERM)
    await eventually(lambda: not cluster.links, "the end of the link")
    assert await asyncio.to_thread(other.wait, DEADLINE) in (0, -signal.SIGTERM)
