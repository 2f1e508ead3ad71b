"""Replies to false sources: a server that is asked in others' names floods nobody."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import homing
from homing import meta

from ..meta.servers import HOST, all_accounted, needs_namespaces
from ..support import UDPPeer, eventually
from .figures import figure
from .networks import Network, network, open_echo_on, spoof

pytestmark = pytest.mark.backends

BURST = 10
QUESTIONS = 400


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
