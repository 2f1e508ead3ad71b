"""What observing costs a node under flood."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from statistics import median, stdev
from typing import Any

import pytest

import homing
from homing import act, meta
from homing.observe import Observer

from ..support import Probe

SENDER = """
import socket, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect(("127.0.0.1", int(sys.argv[1])))
end = time.monotonic() + 60
while time.monotonic() < end:
    for _ in range(100):
        try:
            sock.send(b"x" * 64)
        except OSError:
            pass
"""
"""Sends as fast as it can, a minute at most."""

WINDOWS = 15
"""Pairs of windows, of half a second each: one observed, one not."""

MOST_NOISE = 0.08
"""Most deviation of a ratio: the median of 15 is then known to 0.03."""


class Sink(act.Actor):
    """Counts what it receives."""

    taken = 0

    def handle_message(self, sender: Any, message: Any) -> None:
        Sink.taken += 1


@contextmanager
def flood(port: int) -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", SENDER, str(port)]) as sender:
        try:
            yield
        finally:
            sender.kill()


async def window(server: meta.UDPServer) -> tuple[float, float]:
    """Half a second: datagrams handled per second of processor time, and the share of the datagrams that got in."""
    taken, used, before = Sink.taken, time.thread_time(), server.statistics()
    await asyncio.sleep(0.5)
    after = server.statistics()
    came = after.packets_in - before.packets_in
    lost = (after.kernel_drops or 0) - (before.kernel_drops or 0)
    return (Sink.taken - taken) / (time.thread_time() - used), came / (came + lost)


async def watching(observer: Observer) -> None:
    request = {"what": "watch", "interval": 0.25, "processes": {"sort": "oldest"}, "sockets": {}, "pools": {}}
    async with aclosing(observer.stream(request)) as items:
        async for _ in items:
            pass


@pytest.mark.slow
async def test_a_node_that_is_observed_four_times_a_second_loses_no_more_of_a_flood(node: homing.Node) -> None:
    """Each observed window is compared with those before and after it, as the machine is never the same."""
    for _ in range(300):
        await node.spawn(act.Actor)
    sink = await node.spawn(Sink)
    owner = await Probe.start(node)
    server = meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1", process=sink))
    await owner.do(lambda actor: actor.spawn_meta(server))
    handled, arrived = [], []
    with flood(server.local_address[1]):
        await asyncio.sleep(1)
        after = await window(server)
        for _ in range(WINDOWS):
            before = after
            observing = asyncio.create_task(watching(Observer(node)))
            await asyncio.sleep(0.2)
            observed = await window(server)
            sampling = [task for task in asyncio.all_tasks() if task.get_name() == "homing sampler"]
            assert len(sampling) == 1
            for task in (observing, *sampling):  # the sampler would continue for a minute
                task.cancel()
            await asyncio.gather(observing, *sampling, return_exceptions=True)
            after = await window(server)
            handled.append(2 * observed[0] / (before[0] + after[0]))
            arrived.append(2 * observed[1] / (before[1] + after[1]))
    if max(stdev(handled), stdev(arrived)) > MOST_NOISE:
        pytest.skip(f"the machine is too busy: ratios vary by {stdev(handled):.2f} and {stdev(arrived):.2f}")
    print(f"observed / alone: handled {median(handled):.3f}, arrived {median(arrived):.3f}")
    assert median(handled) >= 0.95
    assert median(arrived) >= 0.95
