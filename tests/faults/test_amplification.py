"""Replies to false sources: a server that is asked in others' names floods nobody."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import pytest

import homing
from homing import act, gen, meta

from ..meta.servers import HOST, all_accounted, create, needs_namespaces
from ..support import UDPPeer, eventually
from .figures import figure
from .networks import Network, network, open_echo_on, spoof

pytestmark = pytest.mark.backends

BURST = 10
QUESTIONS = 400
LONG = bytes(1400)


@pytest.fixture
def alone() -> Iterator[Network]:
    with network() as made:
        yield made


@needs_namespaces
async def test_case_34_a_network_in_whose_name_many_ask_gets_no_more_than_its_share(
    alone: Network, node: homing.Node
) -> None:
    """The clock of the limit stands still, so that its share is exactly the burst."""
    limit = meta.RateLimit(rate=1, burst=BURST, prefix4=24, exempt=(), clock=lambda: 0.0)
    server = await open_echo_on(alone, node, reply_limit=limit, receive_buffer=1 << 20)
    port = server.local_address[1]

    def flood() -> None:
        for number in range(QUESTIONS):
            spoof((f"127.5.6.{number % 250 + 1}", 2000 + number), (HOST, port), b"a question of some length")

    alone.do(flood)
    await all_accounted(server, QUESTIONS)
    await eventually(lambda: server.statistics().packets_out + server.statistics().reply_limited == QUESTIONS)
    statistics = server.statistics()
    figure(
        34,
        f"replies to a network in whose name {QUESTIONS} asked, of which {BURST} are its share",
        statistics.packets_out,
    )
    assert statistics.packets_out == BURST
    with alone.do(UDPPeer) as honest:
        assert await honest.ask(b"hello", (HOST, port)) == b"hello"


@needs_namespaces
async def test_case_34_a_dry_run_only_counts_and_each_slip_th_passes(alone: Network, node: homing.Node) -> None:
    def limit(**more: object) -> meta.RateLimit:
        return meta.RateLimit(rate=1, burst=BURST, prefix4=24, exempt=(), clock=lambda: 0.0, **more)  # type: ignore[arg-type]

    dry = await open_echo_on(alone, node, reply_limit=limit(dry_run=True))
    slipping = await open_echo_on(alone, node, reply_limit=limit(slip=5))

    def flood() -> None:
        for number in range(60):
            for server in (dry, slipping):
                spoof(("127.5.6.7", 2000 + number), (HOST, server.local_address[1]), b"?")

    alone.do(flood)
    await eventually(lambda: dry.statistics().packets_out == 60)
    await eventually(lambda: slipping.statistics().packets_out + slipping.statistics().reply_limited == 60)
    assert dry.statistics().reply_limited_dry_run == 60 - BURST
    assert slipping.statistics().packets_out == BURST + (60 - BURST) // 5


class Oracle(act.Actor):
    """Answers each question at length; gives a cookie to whom asks for it, and takes it as a proof."""

    async def init(self, server: meta.UDPServer) -> None:
        self.cookies = meta.Cookies()
        await self.spawn_meta(server)

    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        if message.data.startswith(b"cookie?"):
            self.reply(message, self.cookies.make(message.addr))
            return
        if self.cookies.check(message.data[:16], message.addr):
            message.validated()
        for _ in range(2):
            self.reply(message, LONG)


@needs_namespaces
async def test_case_34_forged_sources_get_three_times_what_came_in_their_name_and_real_ones_everything(
    alone: Network, node: homing.Node
) -> None:
    options = {"amplification": meta.Amplification(exempt=()), "receive_buffer": 1 << 20, "send_buffer": 1 << 20}
    server = alone.do(create, **options)
    await node.spawn(Oracle, server)
    victims = alone.do(lambda: [UDPPeer(f"127.5.6.{number + 1}") for number in range(20)])
    draw = random.Random(34)
    forged = [(victim, draw.randbytes(draw.randrange(200, 1200))) for victim in victims for _ in range(20)]
    draw.shuffle(forged)

    def flood() -> None:
        for victim, question in forged:
            spoof(victim.address, (HOST, server.local_address[1]), question)

    alone.do(flood)
    await all_accounted(server, len(forged))
    with alone.do(UDPPeer) as honest:
        cookie = await honest.ask(b"cookie?", server.local_address)
        for _ in range(50):
            honest.send(cookie + b"a short question", server.local_address)
            assert [await honest.receive() for _ in range(2)] == [(LONG, server.local_address)] * 2
    counted = server.statistics()
    assert counted.packets_out + counted.amplification_limited == 2 * len(forged) + 1 + 100
    shares = []
    for victim in victims:
        sent = sum(len(question) for one, question in forged if one is victim)
        shares.append(_waiting_bytes(victim) / sent)
        victim.socket.close()
    figure(34, "bytes that each host in whose name others ask gets for each of theirs, at most", f"{max(shares):.2f}")
    figure(34, "long answers of 100 that a client with a proven address gets", 100)
    assert 0 < max(shares) <= 3
    assert counted.amplification_limited_bytes == counted.amplification_limited * len(LONG)


def _waiting_bytes(peer: UDPPeer) -> int:
    """The bytes of all datagrams that wait at a peer."""
    total = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            total += len(peer.socket.recv(65535))
    return total
