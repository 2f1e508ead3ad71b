"""The counters of all generations of a socket add up: each datagram is in one of them."""

from __future__ import annotations

import sys
from typing import Any

import pytest

import homing
from homing import gen, meta
from homing.meta.upgrade import predecessor as handing_over

from ...support import Probe, UDPPeer, eventually, free_port
from ..servers import Gate, Gated, create, open_server
from .generations import offered, running, stopped, successor

pytestmark = [
    pytest.mark.backends,
    pytest.mark.skipif(sys.platform != "linux", reason="sockets are handed over on Linux only"),
]

TINY = 5_000
"""A receive buffer that holds some 10 small datagrams."""


async def flood(peer: UDPPeer, server: meta.UDPServer, count: int) -> None:
    for number in range(count):
        peer.send(b"%d" % number, server.local_address)


def counted(*servers: meta.UDPServer) -> int:
    """Datagrams in the counters of these."""
    all_of_them = [server.statistics() for server in servers]
    return sum(each.packets_in + each.receive_waiting + (each.kernel_drops or 0) for each in all_of_them)


async def slow_server(node: homing.Node, gate: Gate, port: int) -> tuple[meta.UDPServer, gen.PID]:
    """Reads four datagrams until the gate opens: the others are dropped by the kernel."""
    receiver = await node.spawn(Gated, gate)
    owner = await Probe.start(node)
    options: dict[str, Any] = {"process": receiver, "high_water": 4, "receive_buffer": TINY, "gro": False}
    server, _ = await open_server(owner, port=port, **options)
    return server, owner.pid


async def test_across_takeovers_no_datagram_is_counted_twice_or_never(
    node: homing.Node, peer: UDPPeer, path: str
) -> None:
    port, gate = free_port(), Gate()
    first, _ = await slow_server(node, gate, port)
    await offered(node, path)
    await flood(peer, first, 100)
    assert (first.statistics().kernel_drops or 0) > 50
    async with running(node) as middle, running(node) as last:
        servers = [first]
        for before, after in ((node, middle), (middle, last)):
            async with meta.TakeOver(after, path):
                server, _ = await slow_server(after, gate, port)
                servers.append(server)
                assert server.statistics().kernel_drops == 0
                await flood(peer, server, 100)
            await flood(peer, server, 100)
            gate.let(100)
            await stopped(before)
        gate.let(1000)
        await eventually(lambda: counted(*servers) == 500, f"the account of {counted(*servers)} of 500")
        assert all((server.statistics().kernel_drops or 0) > 50 for server in servers)
        await flood(peer, servers[-1], 5)
        await eventually(lambda: counted(*servers) == 505, f"the account of {counted(*servers)} of 505")


async def test_a_predecessor_that_goes_on_counts_all_that_was_dropped_meanwhile(
    node: homing.Node, peer: UDPPeer, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handing_over, "ANSWER_TIMEOUT", 0.2)
    port, gate = free_port(), Gate()
    server, _ = await slow_server(node, gate, port)
    await offered(node, path)
    await flood(peer, server, 100)
    channel = await successor(node, path)
    await channel.send("ready")
    await channel.receive("stopped")
    frozen = server.statistics().kernel_drops
    await flood(peer, server, 100)
    assert server.statistics().kernel_drops == frozen
    with pytest.raises(gen.NotAllowed, match="it took too long"):
        await channel.receive("done")
    channel.close()
    gate.let(1000)
    await eventually(lambda: counted(server) == 200, f"the account of {counted(server)} of 200")


async def test_servers_that_have_the_same_socket_one_after_the_other_count_on(
    node: homing.Node, probe: Probe, peer: UDPPeer, path: str
) -> None:
    """A socket that the program was started with, or that waits for a successor, outlives its servers."""
    port, gate = free_port(), Gate()
    server, owner = await slow_server(node, gate, port)
    await offered(node, path)
    channel = await successor(node, path)
    servers = [server]
    for _ in range(3):
        await flood(peer, server, 100)
        node.kill(owner)
        await eventually(lambda: server._state.endpoint.closed)  # noqa: B023
        server, owner = await slow_server(node, gate, port)
        servers.append(server)
    gate.let(1000)
    await eventually(lambda: counted(*servers) == 300, f"the account of {counted(*servers)} of 300")
    channel.close()


async def test_counters_are_none_where_the_system_does_not_tell(
    node: homing.Node, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with create(port=free_port()) as server:
        monkeypatch.setattr("homing.datagram.sockets.kernel_socket.kernel_drops", lambda sock: None)
        assert server.statistics().kernel_drops is None
