"""A server on the system's sockets, at the end of a line that loses, doubles, damages and holds back packets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from typing import Any

import pytest

import homing
from homing import meta

from ..meta.servers import create
from ..support import Probe, eventually
from .figures import figure
from .networks import open_echo_on
from .relay import CLIENT, SERVER, Line, bad_line, needs_line

pytestmark = [
    pytest.mark.backends,
    needs_line,
]
QUESTIONS = 200
WINDOW = 16
PATIENCE = 0.05
"""Seconds until a question is asked again."""
WHOLE = 8000
"""Octets of a datagram that takes six fragments."""
SEEDS = [*range(1, 4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 51))]


def open_client() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
    sock.bind((CLIENT, 0))
    return sock


def question(number: int) -> bytes:
    """Text that shows any damage: a number, again and again."""
    return b"%d:" % number + b"%d." % number * 20


class Client:
    """Asks until each question has its answer, a few at a time. answers: how often each was answered."""

    def __init__(self, sock: socket.socket, to: tuple[Any, ...]) -> None:
        self._sock = sock
        self._to = to
        self._open: dict[int, float] = {}
        self.answers: Counter[int] = Counter()
        self.sent = 0

    async def ask(self, count: int) -> None:
        numbers = iter(range(count))
        while len(self.answers) < count:
            while len(self._open) < WINDOW and (number := next(numbers, None)) is not None:
                self._send(number)
            now = asyncio.get_running_loop().time()
            for number in [number for number, since in self._open.items() if now - since > PATIENCE]:
                self._send(number)
            self._read()
            await asyncio.sleep(0.001)

    def _send(self, number: int) -> None:
        self._sock.sendto(question(number), self._to)
        self._open[number] = asyncio.get_running_loop().time()
        self.sent += 1

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                data = self._sock.recv(65536)
                number = int(data.partition(b":")[0])
                assert data == question(number)
                self.answers[number] += 1
                self._open.pop(number, None)


@pytest.mark.parametrize("seed", SEEDS)
async def test_case_33_a_client_that_asks_again_gets_all_answers_and_the_server_sees_what_has_arrived(
    node: homing.Node, seed: int
) -> None:
    loss = (seed * 7 % 31) / 100
    bad = {"lost": loss, "doubled": 0.1, "damaged": 0.05, "held_back": 0.2}
    with bad_line(seed, **bad) as line, line.client.do(open_client) as sock:
        server = await open_echo_on(line.server, node, host=SERVER)
        client = Client(sock, server.local_address)
        async with asyncio.timeout(30):
            await client.ask(QUESTIONS)
        assert sorted(client.answers) == list(range(QUESTIONS))
        await eventually(lambda: all_counted(line, server), "the account of all packets")
        assert server.statistics().packets_out == server.statistics().packets_in
        figure(33, f"answered over a line that loses {loss:.0%}", f"{len(client.answers) / QUESTIONS:.0%}")
        figure(33, f"questions sent at a loss of {loss:.0%}", f"{client.sent / QUESTIONS:.2f} for each")


def all_counted(line: Line, server: meta.UDPServer) -> bool:
    """The line is empty, and what it gave to the server's side is what the server has had, but for what the kernel has
    found to be damaged (which it may count among the socket's drops as well)."""
    way, udp = line.relay.to_server, line.server.counters("Udp")
    carried = way.counts["taken"] - way.counts["lost"] + way.counts["doubled"]
    return carried == way.counts["given"] == server.statistics().packets_in + udp["InCsumErrors"]


async def test_case_12_of_datagrams_whose_fragments_get_lost_exactly_the_complete_ones_are_delivered_and_whole(
    probe: Probe,
) -> None:
    count, portion = 300, 20
    with bad_line(12, lost=0.05, held_back=0.2) as line, line.client.do(open_client) as sock:
        server = line.server.do(create, host=SERVER, receive_buffer=4_000_000)
        await probe.do(lambda actor: actor.spawn_meta(server))
        way = line.relay.to_server
        for number in range(count):
            sock.sendto(b"%8d" % number * (WHOLE // 8), server.local_address)
            if number % portion == portion - 1:
                await eventually(lambda sent=number + 1: way.counts["taken"] == 6 * sent, "the relay")
        complete = len(way.idents) - len(way.incomplete)
        await eventually(lambda: server.statistics().packets_in >= complete, "the complete datagrams")
        await eventually(lambda: way.counts["given"] == way.counts["taken"] - way.counts["lost"])
        got = [bytes(message.data) for message in probe.waiting()]
    numbers = [int(data[:8]) for data in got]
    assert got == [b"%8d" % number * (WHOLE // 8) for number in numbers]
    assert len(set(numbers)) == len(numbers) == complete
    assert len(way.idents) == count
    assert 0 < complete < count
    figure(12, "delivered and whole, of those without a lost fragment", f"{len(numbers)} of {complete}")
    figure(12, "datagrams of which 5 % of the fragments were lost that arrived", f"{len(numbers) / count:.0%}")
