"""A server on a Unix datagram socket is a server as any other: answers, batches, flow control, adoption, threads."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import homing
from homing import act, gen, meta
from homing.testing import FakeNetwork

from ...support import DEADLINE, Probe, eventually
from ..servers import error_of, exists, open_echo, open_server, status
from .test_udp_linger import crash

pytestmark = [
    pytest.mark.loops,
    pytest.mark.skipif(sys.platform == "win32", reason="Unix sockets"),
]


class UnixPeer:
    def __init__(self, path: Path | None) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.path = "" if path is None else str(path)
        if self.path:
            self.socket.bind(self.path)

    def send(self, data: bytes, to: str) -> None:
        self.socket.sendto(data, to)

    async def receive(self) -> tuple[bytes, str]:
        async with asyncio.timeout(DEADLINE):
            while True:
                try:
                    return self.socket.recvfrom(65536)
                except BlockingIOError:
                    await asyncio.sleep(0.001)


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[UnixPeer]:
    found = UnixPeer(tmp_path / "peer")
    yield found
    found.socket.close()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "server")


async def test_a_datagram_comes_with_the_path_of_its_peer_which_gets_the_answer(
    node: homing.Node, peer: UnixPeer, path: str
) -> None:
    server = await open_echo(node, host="", path=path)
    assert server.local_address == path
    peer.send(b"hello", path)
    assert await peer.receive() == (b"hello", path)
    await node.stop()
    assert not exists(path)


async def test_an_unnamed_peer_cannot_be_answered_and_the_error_says_why(
    node: homing.Node, probe: Probe, path: str
) -> None:
    _, alias = await open_server(probe, host="", path=path)
    nobody = UnixPeer(None)
    nobody.send(b"hello", path)
    nobody.socket.close()
    message = await probe.get()
    assert message.addr == ""
    error = await probe.do(lambda actor: error_of(actor.call(alias, message.reply(b"answer"))))
    assert isinstance(error, gen.BadAddress)
    assert "bind its socket" in str(error)
    assert (await node.inspect_meta(alias))["send_errors"] == {"BadAddress": 1}


async def test_inspect_tells_the_path_and_the_backend_that_serves(
    node: homing.Node, probe: Probe, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "homing"):
        _, alias = await open_server(probe, host="", path=path)
        facts = await node.inspect_meta(alias)
        await eventually(lambda: any(path in record.getMessage() for record in caplog.records))
    assert (facts["listener"], facts["backend"], facts["gro"], facts["gso"]) == (path, "portable", False, False)
    assert facts["kernel_drops"] in (0, "n/a")


async def test_batches_come_with_the_paths_of_their_peers(node: homing.Node, peer: UnixPeer, path: str) -> None:
    got: list[tuple[str, bytes]] = []

    class Batches(act.Actor):
        async def init(self) -> None:
            await self.spawn_meta(meta.create_udp_server(meta.UDPServerOptions(path=path)))

        def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
            got.extend((str(message.addr), bytes(message.data)) for message in batch)
            self.send(batch.id, meta.MessageUDP(None, batch.address(-1), b"answer"))

    await node.spawn(Batches)
    peer.send(b"one", path)
    assert await peer.receive() == (b"answer", path)
    assert got == [(peer.path, b"one")]


async def test_with_a_buffer_pool_the_answer_may_be_the_buffer(node: homing.Node, peer: UnixPeer, path: str) -> None:
    pool = meta.BufferPool(size=100, capacity=4)
    await open_echo(node, host="", path=path, buffer_pool=pool)
    peer.send(b"hello", path)
    assert await peer.receive() == (b"hello", path)
    await eventually(lambda: pool.lent == 0)


async def test_workers_by_source_tell_peers_apart_by_their_paths(
    node: homing.Node, peer: UnixPeer, path: str, tmp_path: Path
) -> None:
    class Worker(act.Actor):
        def init(self) -> None:
            self.counts: dict[Any, int] = {}

        def handle_message(self, sender: gen.PID, message: Any) -> None:
            count = self.counts[message.addr] = self.counts.get(message.addr, 0) + 1
            self.send(message.id, message.reply(b"%d" % count))

    class Owner(act.Actor):
        async def init(self) -> None:
            options = meta.UDPServerOptions(path=path, worker=Worker, workers=4, route="source")
            await self.spawn_meta(meta.create_udp_server(options))

    await node.spawn(Owner)
    other = UnixPeer(tmp_path / "other")
    for number in (b"1", b"2", b"3"):
        for one in (peer, other):
            one.send(b"x", path)
            assert (await one.receive())[0] == number
    other.socket.close()


def fill(sender: UnixPeer, path: str) -> int:
    """Sends numbers until there is no room. Gives how many."""
    for sent in range(1_000_000):
        try:
            sender.send(b"%d" % sent, path)
        except BlockingIOError:
            return sent
    raise AssertionError("there is always room")


@pytest.mark.skipif(sys.platform != "linux", reason="Linux waits where others drop")
async def test_senders_wait_while_reading_is_paused_and_nothing_is_lost(
    node: homing.Node, probe: Probe, path: str
) -> None:
    """So the whole chain has back-pressure: the kernel drops nothing on a Unix socket."""
    server, _ = await open_server(probe, host="", path=path, process="late")
    sender = UnixPeer(None)
    sent = fill(sender, path)
    assert (await node.inspect_meta(server.process.id))["waiting_for"] in ("receiver", "")
    late = await Probe.start(node, name="late")
    assert [int((await late.get()).data) for _ in range(sent)] == list(range(sent))
    assert server.statistics().kernel_drops == 0
    sender.socket.close()


async def test_a_successor_adopts_the_socket_by_its_path(node: homing.Node, peer: UnixPeer, path: str) -> None:
    owner = await Probe.start(node)
    _, alias = await open_server(owner, host="", path=path, linger=60.0)
    await crash(node, owner)
    peer.send(b"meanwhile", path)
    inode = status(path).st_ino
    successor = await Probe.start(node)
    server, same = await open_server(successor, host="", path=path)
    assert (same, server.local_address, status(path).st_ino) == (alias, path, inode)
    assert (await successor.get()).data == b"meanwhile"
    successor.node.kill(successor.pid)
    await eventually(lambda: not Path(path).exists(), "the end of the file")


async def test_a_path_that_is_in_use_is_named(probe: Probe, path: str) -> None:
    await open_server(probe, host="", path=path)
    with pytest.raises(gen.BindFailed) as caught:
        meta.create_udp_server(meta.UDPServerOptions(path=path))
    assert (caught.value.path, path in str(caught.value)) == (path, True)


@pytest.mark.once
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("host", "127.0.0.1"),
        ("port", 53),
        ("allow", ("10.0.0.0/8",)),
        ("deny", ("10.0.0.0/8",)),
        ("rate_limit", meta.RateLimit(rate=1)),
        ("reply_limit", meta.RateLimit(rate=1)),
        ("groups", (meta.MulticastGroup("239.1.2.3"),)),
    ],
)
def test_what_goes_by_addresses_of_ip_cannot_be_given_beside_it(path: str, option: str, value: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        meta.UDPServerOptions(path=path, **{option: value})
    assert caught.value.option == option


async def test_a_group_cannot_be_joined(probe: Probe, path: str) -> None:
    _, alias = await open_server(probe, host="", path=path)
    error = await probe.do(lambda actor: error_of(actor.call(alias, meta.JoinGroup("239.1.2.3"))))
    assert isinstance(error, gen.BadOption)


@pytest.mark.once
def test_a_fake_network_has_no_unix_sockets(path: str) -> None:
    with FakeNetwork(), pytest.raises(gen.BadOption, match="path"):
        meta.create_udp_server(meta.UDPServerOptions(path=path))
    assert not exists(path)
