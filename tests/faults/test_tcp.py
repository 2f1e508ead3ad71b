"""TCP under attack and on bad networks: what strangers do costs them their connections, and good peers nothing."""

from __future__ import annotations

import asyncio
import random
import resource
import shutil
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import homing
from homing import gen, meta

from ..meta.tcp.players import HOST, LINES, Echo, Stream, all_ends, open_echo, open_tcp
from ..support import Probe, eventually
from .networks import Network

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(sys.platform != "linux", reason="times of TCP and network namespaces are Linux only"),
]
RESET = struct.pack("ii", 1, 0)
SILENT, PLACES = 2000, 1500


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Both sides of some thousand connections."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(before[1], 8192)
    if wanted < 2 * SILENT + 200:
        pytest.skip("asks for more than the system's limit, as root")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], wanted), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def begin(address: tuple[Any, ...], source: str = HOST) -> socket.socket:
    """A connection that is being made."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.bind((source, 0))
    sock.connect_ex(address)
    return sock


@pytest.mark.slow
async def test_two_thousand_silent_connections_leave_room_for_a_good_peer(probe: Probe, many_descriptors: None) -> None:
    server = await open_echo(
        probe, most_connections=PLACES + 1, most_per_source=PLACES, first_byte_timeout=6.0, backlog=4096
    )
    async with await Stream.to(server.local_address, local_addr=("127.0.0.2", 0)) as good:
        assert await good.ask(b"first") == b"OK: first"
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with ExitStack() as stack:
            for number in range(SILENT):
                stack.enter_context(begin(server.local_address))
                if number % 100 == 0:
                    assert await good.ask(b"%d" % number) == b"OK: %d" % number
            await eventually(lambda: server.statistics().refused_per_source == SILENT - PLACES)
            assert server.statistics().open == PLACES + 1
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
            await eventually(lambda: server.statistics().cut_first_byte == PLACES)
            assert await good.ask(b"last") == b"OK: last"
    await eventually(lambda: server.statistics().open == 0)
    assert grown < 16 * PLACES, "KiB for a connection"
    assert server.statistics().accepted == all_ends(server.statistics()) == PLACES + 1


@pytest.mark.slow
async def test_a_flood_of_connects_with_resets_and_garbage_is_counted_and_a_good_peer_is_served(probe: Probe) -> None:
    server = await open_echo(probe, most_connections=50, most_per_source=40, frame=meta.LengthPrefix(2, most=100))
    chance = random.Random(7)
    async with await Stream.to(server.local_address, local_addr=("127.0.0.2", 0)) as good:
        for number in range(3000):
            with begin(server.local_address) as sock:
                await asyncio.sleep(0)
                kind = chance.randrange(4)
                try:
                    sock.send([b"", b"\xff\xff", b"\0\5hel", b"\0\2ok"][kind])
                    if chance.randrange(2):
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                except OSError:
                    pass  # it is not connected yet, or was refused
            if number % 100 == 0:
                good.send(b"\0\4ping")
                async with asyncio.timeout(20):
                    assert await good.reader.readexactly(10) == b"\0\x08OK: ping"
    await eventually(lambda: server.statistics().open == 0)
    statistics = server.statistics()
    assert statistics.accepted == all_ends(statistics)
    assert statistics.received == statistics.delivered + statistics.waiting + statistics.dropped


async def test_a_lack_of_descriptors_pauses_accepting_and_ends_nothing(probe: Probe) -> None:
    server = await open_echo(probe)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with await Stream.to(server.local_address) as good:
        assert await good.ask(b"one") == b"OK: one"
        with begin(server.local_address) as waiting:
            resource.setrlimit(resource.RLIMIT_NOFILE, (waiting.fileno() + 1, before[1]))
            try:
                await eventually(lambda: server.statistics().accept_errors == 1)
                assert await good.ask(b"two") == b"OK: two"
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, before)
            await eventually(lambda: server.statistics().accepted == 2)


@pytest.fixture
def network() -> Iterator[Network]:
    """A network of its own, in which packets can be dropped."""
    if shutil.which("iptables") is None:
        pytest.skip("iptables is not installed")
    try:
        made = Network()
    except OSError:
        pytest.skip("makes a network namespace: not allowed here")
    yield made
    made.close()


async def open_in(network: Network, node: homing.Node, probe: Probe, told: list[Any], **options: Any) -> meta.TCPServer:
    """An echo in this network."""
    pid = await node.spawn(Echo, told)
    made = network.do(meta.create_tcp_server, meta.TCPServerOptions(host=HOST, frame=LINES, process=pid, **options))
    await probe.do(lambda actor: actor.spawn_meta(made))
    return made


@pytest.mark.slow
@pytest.mark.parametrize("times", [{"user_timeout": 1.0, "keepalive": None}, {"keepalive": 1.0, "user_timeout": None}])
async def test_a_peer_that_vanishes_is_cut(
    network: Network, node: homing.Node, probe: Probe, times: dict[str, Any]
) -> None:
    told: list[Any] = []
    server = await open_in(network, node, probe, told, idle_timeout=None, **times)
    with network.do(socket.create_connection, server.local_address) as peer:
        peer.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(peer, b"hello\n")
        assert await loop.sock_recv(peer, 100) == b"OK: hello\n"
        network.run("iptables -A INPUT -p tcp -j DROP")
        message = told[-1]
        if times["user_timeout"]:
            await probe.do(lambda actor: actor.reply(message, b"are you there"))
        await eventually(lambda: isinstance(told[-1], meta.MessageTCPDisconnect))
    assert isinstance(told[-1].reason, meta.PeerUnresponsive)
    assert server.statistics().cut_unresponsive == 1


async def test_resets_at_any_moment_leave_the_account_in_order(probe: Probe) -> None:
    server = await open_tcp(probe, frame=meta.Raw(), announce=True)
    chance = random.Random(11)
    ups = downs = 0
    for _ in range(100):
        peer = await Stream.to(server.local_address)
        for _ in range(chance.randrange(3)):
            peer.send(b"x" * chance.randrange(1, 50_000))
            await asyncio.sleep(0)
        peer.reset() if chance.randrange(2) else None
        await peer.close()
    await eventually(lambda: server.statistics().open == 0)
    for message in probe.waiting():
        ups += isinstance(message, meta.MessageTCPConnect)
        downs += isinstance(message, meta.MessageTCPDisconnect)
    statistics = server.statistics()
    assert ups == downs == statistics.accepted == all_ends(statistics)
    assert statistics.received == statistics.delivered


async def test_a_crash_of_the_owner_closes_every_socket_once(probe: Probe) -> None:
    server = await open_tcp(probe)
    streams = [await Stream.to(server.local_address) for _ in range(20)]
    for stream in streams:
        stream.send(b"hello\n" * 50)
    await eventually(lambda: server.statistics().open == 20)

    def crash(actor: Any) -> None:
        raise RuntimeError("as asked")

    with pytest.raises(gen.ProcessTerminated):
        await probe.do(crash)
    for stream in streams:
        assert await stream.rest() == b""
        await stream.close()
    statistics = server.statistics()
    assert (statistics.open, statistics.accepted, all_ends(statistics)) == (0, 20, 20)
