"""A flood of forged sources in front of an amplification budget: memory stays, and a proven address loses nothing."""

from __future__ import annotations

import asyncio
import resource
import socket
import sys

import pytest

import homing
from homing import meta

from ...support import UDPPeer
from ..peers.test_peer_flood import LUMP, SOURCES, forge
from ..servers import all_accounted
from .test_udp_amplification import LONG, start

pytestmark = [
    pytest.mark.backends("native"),
    pytest.mark.skipif(sys.platform != "linux", reason="sends from all of 127.0.0.0/8"),
    pytest.mark.slow,
]


async def test_a_hundred_thousand_forged_sources_get_no_more_than_their_share_and_a_proven_one_everything(
    node: homing.Node,
) -> None:
    strict = meta.Amplification(exempt=(), capacity=4096)
    server = await start(node, amplification=strict, receive_buffer=1_000_000)
    memory = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as forger, UDPPeer() as one:
        assert await one.ask(b"prove", server.local_address) == b"ok"
        for first in range(0, SOURCES, LUMP):
            for number in range(first, first + LUMP):
                forge(forger, number, server.local_address)
            assert await one.ask(b"x", server.local_address) == LONG
            await all_accounted(server, first + LUMP + first // LUMP + 2)
            if first == SOURCES // 2:
                memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            await asyncio.sleep(0)
    counted = server.statistics()
    assert counted.kernel_drops == 0
    assert (counted.packets_out, counted.amplification_limited) == (1 + SOURCES // LUMP, SOURCES)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 8 * 1024, "KiB more in the second half"
