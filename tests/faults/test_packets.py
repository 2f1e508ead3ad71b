"""Packets that no honest sender makes, and wake-ups that bring none: what a socket is told without a datagram."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import homing

from ..meta.servers import HOST, descriptor_of, needs_namespaces, open_echo, still_answers
from ..support import DEADLINE, UDPPeer, eventually
from .figures import figure
from .networks import Network, network, open_echo_on, spoof, udp_segment

pytestmark = pytest.mark.backends

ROOT = Path(__file__).parents[2]


@pytest.fixture
def alone() -> Iterator[Network]:
    """A network that has a loopback and nothing else."""
    with network() as made:
        yield made


def send_raw(segment: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw:
        raw.sendto(segment, (HOST, 0))


class Iterations:
    """Counts how often the loop looks for events, and how often it finds one at each descriptor: in its debug mode, in
    which its selector serves no socket itself. It takes the place of the selector."""

    def __init__(self) -> None:
        self.count = 0
        self.ready: Counter[int] = Counter()
        loop: Any = asyncio.get_running_loop()
        loop.set_debug(True)
        self._selector = loop._selector
        loop._selector = self

    def select(self, timeout: float | None = None) -> Any:
        self.count += 1
        events = self._selector.select(timeout)
        self.ready.update(key.fd for key, _ in events)
        return events

    def __getattr__(self, name: str) -> Any:
        return getattr(self._selector, name)


async def test_case_10_an_idle_node_does_not_wake_up(node: homing.Node, peer: UDPPeer) -> None:
    servers = [await open_echo(node) for _ in range(10)]
    for server in servers:
        assert await still_answers(peer, server)
    iterations = Iterations()
    begin = time.process_time()
    await asyncio.sleep(0.3)
    spent = time.process_time() - begin
    found = f"{iterations.count}, {spent * 1000:.1f} ms"
    figure(10, "iterations of the loop, and CPU, of ten idle servers in 300 ms", found)
    assert iterations.count <= 3


@needs_namespaces
async def test_cases_10_and_11_a_datagram_with_a_bad_checksum_wakes_the_loop_once_and_is_never_seen(
    node: homing.Node, alone: Network
) -> None:
    """The kernel checks all but the shortest when they are read: the socket was readable, and there is nothing."""
    server = await open_echo_on(alone, node, host=HOST)
    port = server.local_address[1]
    with alone.do(UDPPeer) as peer:
        source = peer.address[1]
        iterations = Iterations()
        for number in range(1, 101):
            alone.do(send_raw, udp_segment(source, port, b"bad" * 50, checksum=1))
            await eventually(lambda number=number: alone.counters("Udp")["InCsumErrors"] == number)
        for length in (7, 8 + 100, 65535):
            alone.do(send_raw, udp_segment(source, port, b"lying", length=length))
        assert await still_answers(peer, server)
    found = alone.counters("Udp")
    figure(
        11,
        "bad checksums and lying lengths that the kernel refused, and datagrams that came of them",
        f"{found['InErrors']} of 103, {server.statistics().packets_in - 1}",
    )
    assert (found["InCsumErrors"], found["InErrors"]) == (100, 103)
    assert (server.statistics().packets_in, server.statistics().receive_errors) == (1, {})
    woken = iterations.ready[descriptor_of(server.local_address)]
    figure(10, "wake-ups for 100 datagrams that were none, and one that was", woken)
    assert woken <= 101


# --- two servers that answer each other -----------------------------------------------------------------------


@contextmanager
def program(where: Network, *command: str) -> Iterator[int]:
    """Runs an example in a network; gives the port that it listens on."""
    process = where.do(
        subprocess.Popen, [sys.executable, "-W", "error", *command], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline().split()[-1])
        finally:
            process.terminate()
            process.wait(DEADLINE)


@needs_namespaces
async def test_case_35_two_servers_that_answer_everything_answer_each_other_without_end(
    node: homing.Node, alone: Network
) -> None:
    """One datagram with a false source is enough. This is what the guard of the examples is for."""
    servers = [await open_echo_on(alone, node, host=HOST) for _ in range(2)]
    first, second = (server.local_address for server in servers)
    alone.do(spoof, second, first, b"ball")
    await eventually(lambda: servers[0].statistics().packets_in > 1000)
    figure(
        35,
        "datagrams that one false one became without a guard, until it was stopped",
        servers[0].statistics().packets_in,
    )
    assert await node.stop()


@needs_namespaces
@pytest.mark.parametrize("example", ["echo", "service"])
async def test_case_35_two_examples_do_not_answer_each_others_answers(
    example: str, alone: Network, backend: str
) -> None:
    path = f"examples/{example}.py"
    with program(alone, path, "0") as first, program(alone, path, "0") as second, alone.do(UDPPeer) as peer:
        alone.do(spoof, (HOST, second), (HOST, first), b"ball")
        alone.do(spoof, (HOST, first), (HOST, first), b"ball")
        asked = 0
        for port in (first, second, first, second):
            await peer.ask(b"are you done?", (HOST, port))
            asked += 1
        answers = alone.counters("Udp")["OutDatagrams"] - 2 * asked
    figure(35, f"datagrams that two false ones became between two of examples/{example}.py", answers)
    assert answers == 1, "the answer to the second one would go to the socket itself, which sends none there"
