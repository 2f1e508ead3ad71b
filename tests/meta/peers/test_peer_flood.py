"""A flood from forged sources: processes and memory stay at the cap, and a proven peer loses nothing."""

from __future__ import annotations

import asyncio
import resource
import socket
import struct
import sys

import pytest

import homing

from ...support import Probe, UDPPeer, examples
from ..servers import all_accounted
from .players import facts_of, open_peers

pytestmark = [
    pytest.mark.backends("native"),
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="sends from all of 127.0.0.0/8"),
]

SOURCES = examples(40_000, 100_000)
LUMP = 400
MOST = 1000


def forge(sock: socket.socket, number: int, address: tuple[str, int]) -> None:
    """Sends a datagram from the `number`-th address of 127.0.0.0/8."""
    source = struct.pack("!I", 0x7F010000 + number)
    info = struct.pack("@i4s4s", 0, source, b"\0" * 4)
    sock.sendmsg([b"quiet"], [(socket.IPPROTO_IP, 8, info)], 0, address)


@pytest.mark.thorough
async def test_tens_of_thousands_of_forged_sources_take_nothing_from_a_proven_peer(
    node: homing.Node, probe: Probe
) -> None:
    server, alias = await open_peers(probe, most=MOST, server={"receive_buffer": 1_000_000})
    most_processes, asked, memory = 0, 0, 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as forger, UDPPeer() as one:
        pid = (await one.ask(b"prove", server.local_address)).split()[0]
        for start in range(0, SOURCES, LUMP):
            for number in range(start, start + LUMP):
                forge(forger, number, server.local_address)
            asked += 1
            assert await one.ask(b"%d" % asked, server.local_address) == b"%b %d" % (pid, asked)
            await all_accounted(server, start + LUMP + asked + 1)
            most_processes = max(most_processes, node.info().processes)
            if start == SOURCES // 2:
                memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            await asyncio.sleep(0)
        facts = await facts_of(probe, alias)
    assert server.statistics().kernel_drops == 0
    assert facts["received"] == SOURCES + asked + 1
    assert (facts["proven"], facts["unproven"]) == (1, MOST // 2)
    assert facts["down_evicted"] == SOURCES - MOST // 2
    assert most_processes <= MOST + 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 8 * 1024, "KiB more in the second half"
