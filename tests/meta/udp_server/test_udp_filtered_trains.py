"""Programs of the kernel and trains: a program is asked about each datagram, also if the sender has joined many."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

import homing
from homing import act, gen, meta
from homing.datagram import SocketOptions, bind
from homing.datagram.endpoint import _SPLIT_TRIES
from homing.datagram.sockets import inherited
from homing.datagram.sockets.bpf import Program, attach_filter, has_filter
from homing.datagram.sockets.kernel import stop_joining

from ...datagram.sockets.test_bpf import BY_KEY, ONLY_A, PASS, REFUSE
from ...datagram.traffic import SOL_UDP, UDP_GRO, Sender, linux_only
from ...support import Probe, eventually
from ..servers import HOST, all_accounted, create, get_payloads, open_server

pytestmark = [linux_only, pytest.mark.backends]

SIZE = 20
END = b"a the end".ljust(SIZE, b".")


def datagram(letter: str, number: int) -> bytes:
    return f"{letter}{number:04}".encode().ljust(SIZE, b".")


def train(letters: str, start: int = 0) -> list[bytes]:
    """Datagrams of equal length, each beginning with its letter."""
    return [datagram(letter, start + number) for number, letter in enumerate(letters)]


def send(sender: Sender, datagrams: list[bytes], address: Any) -> None:
    sender.send(b"".join(datagrams), address, SIZE)


def wanted(datagrams: list[bytes]) -> list[bytes]:
    return [data for data in datagrams if data.startswith(b"a")]


TRAINS = ["a" + "b" * 40, "b" + "a" * 40, "ab" * 30, "b" * 50, "a" * 50]


async def check_account(server: meta.UDPServer, sent: int, delivered: int) -> None:
    """Every datagram is in one counter, and none is counted for others."""
    await all_accounted(server, sent)
    statistics = server.statistics()
    assert (statistics.packets_in, statistics.delivered, statistics.kernel_drops) == (
        delivered,
        delivered,
        sent - delivered,
    )


async def check_filtered(server: meta.UDPServer, probe: Probe, before: int = 0) -> None:
    """Sends trains of wanted and unwanted datagrams: all that are wanted come, and no other."""
    sent, expected = before, []
    with Sender() as sender:
        for number, letters in enumerate(TRAINS):
            datagrams = train(letters, number * 100)
            send(sender, datagrams, server.local_address)
            sent += len(datagrams)
            expected += wanted(datagrams)
    assert await get_payloads(probe, len(expected)) == expected
    await check_account(server, sent, before + len(expected))
    assert not server._state.endpoint.backend.gro


async def test_a_filter_is_asked_about_each_datagram_of_a_train_and_the_account_is_exact(probe: Probe) -> None:
    server, _ = await open_server(probe, bpf=ONLY_A, receive_buffer=1 << 20)
    await check_filtered(server, probe)


@pytest.mark.parametrize("buffer_pool", [None, meta.BufferPool(size=100)])
async def test_a_filter_that_comes_later_is_asked_about_each_datagram_and_what_came_before_is_delivered(
    probe: Probe, buffer_pool: meta.BufferPool | None
) -> None:
    server, alias = await open_server(probe, receive_buffer=1 << 20, buffer_pool=buffer_pool)
    with Sender() as sender:
        before = train("ab" * 25)
        send(sender, before, server.local_address)
        await probe.do(lambda actor: actor.call(alias, meta.Reconfigure(bpf=ONLY_A)))
        messages = [await probe.get() for _ in before]
        assert [bytes(message.data) for message in messages] == before
        for message in messages:
            message.release()
    if buffer_pool is None:
        await check_filtered(server, probe, len(before))


async def test_without_its_filter_a_server_gets_trains_again(probe: Probe, backend: str) -> None:
    server, alias = await open_server(probe, bpf=ONLY_A, receive_buffer=1 << 20)
    for _ in range(3):
        await probe.do(lambda actor: actor.call(alias, meta.Reconfigure(bpf=None)))
        assert server._state.endpoint.backend.gro is (backend == "native")
        await probe.do(lambda actor: actor.call(alias, meta.Reconfigure(bpf=ONLY_A)))
        assert server._state.endpoint.backend.gro is False
    await check_filtered(server, probe)


async def test_a_filter_that_the_system_refuses_leaves_trains_joined_as_they_were(probe: Probe, backend: str) -> None:
    server, alias = await open_server(probe)
    with pytest.raises(gen.BadOption):
        await probe.node.call(alias, meta.Reconfigure(bpf=((0x15, 5, 5, 0),)))
    assert server._state.endpoint.backend.gro is (backend == "native")
    assert not has_filter(server._state.endpoint.sock)


@contextmanager
def joining(program: Program | None = None) -> Iterator[socket.socket]:
    """A bound socket of somebody else's, which gets trains joined."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(SOL_UDP, UDP_GRO, 1)
        if program is not None:
            attach_filter(sock, program)
        sock.bind((HOST, 0))
        yield sock


@pytest.mark.parametrize(("theirs", "ours"), [(None, ONLY_A), (ONLY_A, None), ((PASS,), ONLY_A)])
async def test_a_socket_that_is_given_is_filtered_datagram_by_datagram(
    probe: Probe, theirs: Program | None, ours: Program | None
) -> None:
    """Also if the filter is that of whoever has made the socket."""
    with joining(theirs) as sock:
        server, _ = await open_server(probe, host="", socket=sock, bpf=ours, receive_buffer=1 << 20)
    await check_filtered(server, probe)


async def test_a_socket_that_the_program_was_started_with_is_filtered_datagram_by_datagram(probe: Probe) -> None:
    with joining((REFUSE,)) as sock:
        kept = inherited.Inherited(sock.detach(), "named")
        inherited.keep([kept])
        try:
            server, _ = await open_server(probe, host="", activation="named", bpf=ONLY_A, receive_buffer=1 << 20)
            await check_filtered(server, probe)
        finally:
            inherited.discard([kept])


@pytest.mark.backends("native")  # the other one never gets trains
async def test_trains_that_wait_in_a_socket_that_is_given_come_as_their_datagrams(probe: Probe) -> None:
    with joining() as sock, Sender() as sender:
        before = train("ab" * 30)
        send(sender, before, sock.getsockname())
        server = create(host="", socket=sock, bpf=ONLY_A)
        await probe.do(lambda actor: actor.spawn_meta(server))
    assert await get_payloads(probe, len(before)) == before
    await check_filtered(server, probe, len(before))


class Adopter(act.Actor):
    """Owns a server that lingers."""

    async def init(self, probe: Probe, options: dict[str, Any]) -> None:
        self.server = create(process=probe.pid, **options)
        await self.spawn_meta(self.server)

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return self.server


async def test_a_filter_goes_with_a_socket_that_is_adopted(node: homing.Node, probe: Probe) -> None:
    with bind(HOST, 0, SocketOptions()) as free:
        port = free.getsockname()[1]
    options = {"port": port, "linger": 60.0, "bpf": ONLY_A, "receive_buffer": 1 << 20}
    owner = await node.spawn(Adopter, probe, options)
    node.kill(owner)
    await eventually(lambda: owner not in node.processes())
    server = await node.call(await node.spawn(Adopter, probe, options), "server")
    assert server.process.adoptions == 1
    await check_filtered(server, probe)


@pytest.mark.backends("native")  # the other one never gets trains
async def test_under_a_flood_of_trains_a_filter_takes_effect_and_the_account_tells_what_that_cost(
    probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is never a moment in which nothing waits: then the kernel drops, and counts, for a moment."""
    server, alias = await open_server(probe, receive_buffer=1 << 20)
    endpoint = server._state.endpoint
    with Sender() as sender:
        calls: list[bool] = []

        def busy(sock: socket.socket) -> bool:
            calls.append(True)
            if len(calls) <= _SPLIT_TRIES:
                return False  # as if more had come each time
            send(sender, train("b" * 3), endpoint.local_address)
            return stop_joining(sock)

        monkeypatch.setattr("homing.datagram.backend.native.stop_joining", busy)
        await probe.do(lambda actor: actor.call(alias, meta.Reconfigure(bpf=ONLY_A)))
        assert len(calls) > _SPLIT_TRIES
    assert endpoint.kernel.drops == 1  # a train of 3: it was still joined
    monkeypatch.undo()
    assert not endpoint.backend.gro
    datagrams = train("ab" * 20)
    with Sender() as sender:
        send(sender, datagrams, server.local_address)
    assert await get_payloads(probe, 20) == wanted(datagrams)


@pytest.mark.backends("native")  # the other one never gets trains
async def test_a_batch_of_what_was_read_ahead_has_all_of_it_in_order(node: homing.Node) -> None:
    got: list[bytes] = []

    class Batches(act.Actor):
        async def init(self) -> None:
            self.server = create(receive_buffer=1 << 21)
            self.udp = await self.spawn_meta(self.server)

        async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            return self.server if request == "server" else await self.call(self.udp, request)

        def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
            got.extend(bytes(message.data) for message in batch)

    pid = await node.spawn(Batches)
    server = await node.call(pid, "server")
    expected = []
    with Sender() as sender:
        for number in range(150):  # more than two arenas of reads
            datagrams = train("ab" * 20, number * 40)
            expected += datagrams
            send(sender, datagrams, server.local_address)
        await node.call(pid, meta.Reconfigure(bpf=ONLY_A))
    await eventually(lambda: len(got) >= len(expected))
    assert got == expected


@pytest.mark.parametrize("steering", [BY_KEY, "cpu"])
async def test_steering_by_the_payload_does_not_go_with_joined_trains(
    probe: Probe, backend: str, steering: Any
) -> None:
    server, alias = await open_server(probe, reuse_port=True, reuse_port_steering=steering)
    joined = steering == "cpu" and backend == "native"
    assert server._state.endpoint.backend.gro is joined
    await probe.do(lambda actor: actor.call(alias, meta.Reconfigure(reuse_port_steering=None)))
    assert server._state.endpoint.backend.gro is (backend == "native")


async def test_a_client_with_a_filter_gets_each_datagram_by_itself(probe: Probe) -> None:
    with Sender() as peer:
        options = meta.UDPClientOptions(
            host=HOST, port=peer.address[1], bpf=ONLY_A, process=probe.pid, receive_buffer=1 << 20
        )
        client = await probe.do(lambda actor: actor.spawn_meta(meta.create_udp_client(options)))
        await probe.do(lambda actor: actor.send(client, b"hello"))
        loop = asyncio.get_running_loop()
        peer.socket.setblocking(False)
        _, address = await loop.run_in_executor(None, receive_one, peer.socket)
        datagrams = train("ab" * 20)
        send(peer, datagrams, address)
        assert await get_payloads(probe, 20) == wanted(datagrams)


def receive_one(sock: socket.socket) -> Any:
    sock.settimeout(20)
    return sock.recvfrom(100)


def test_a_filter_is_seen_whoever_has_attached_it() -> None:
    with ExitStack() as stack:
        sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        assert not has_filter(sock)
        for program in ((PASS,), ONLY_A, (PASS,) * 4096):
            attach_filter(sock, program)
            assert has_filter(sock)
        attach_filter(sock, None)
        assert not has_filter(sock)


def test_there_is_no_filter_elsewhere_than_on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        attach_filter(sock, (PASS,))
        monkeypatch.setattr(sys, "platform", "darwin")
        assert not has_filter(sock)
