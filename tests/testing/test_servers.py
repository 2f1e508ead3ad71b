"""Programs made for the system's network run on a fake one unchanged."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

import homing
from homing import act, gen, meta
from homing.testing import FakeNetwork

from ..meta.servers import error_of
from ..support import DEADLINE, Probe, UDPPeer, eventually
from .networks import CLIENT, SERVER, Echo, conserved, send_numbers

linux = pytest.mark.skipif(sys.platform != "linux", reason="told on Linux only")


@pytest.fixture
def network() -> Iterator[FakeNetwork]:
    with FakeNetwork(seed=1) as made:
        yield made


async def numbers(probe: Probe, count: int) -> list[int]:
    return [int((await probe.get()).data) for _ in range(count)]


def create(**options: Any) -> meta.UDPServer:
    return meta.create_udp_server(meta.UDPServerOptions(**{"host": SERVER[0], "port": SERVER[1], **options}))


async def open_server(probe: Probe, **options: Any) -> meta.UDPServer:
    server = create(**options)
    await probe.do(lambda actor: actor.spawn_meta(server))
    return server


# --- which network ----------------------------------------------------------------------------------------


async def test_a_server_answers_a_peer(network: FakeNetwork, node: homing.Node) -> None:
    await node.spawn(Echo)
    peer = network.socket(*CLIENT)
    peer.send(b"hello", SERVER)
    assert await peer.receive() == (b"hello", SERVER)


async def test_a_condition_is_evaluated_although_there_is_no_kernel(
    network: FakeNetwork, node: homing.Node, probe: Probe
) -> None:
    server = await open_server(probe, admit=meta.where[0] != b"x"[0])
    peer = network.socket(*CLIENT)
    for payload in (b"x1", b"2", b"x3", b"4"):
        peer.send(payload, SERVER)
    assert await numbers(probe, 2) == [2, 4]
    assert server.statistics().filtered == 2


async def test_a_node_that_was_started_before_the_block_binds_in_it_too(node: homing.Node) -> None:
    with FakeNetwork(seed=1) as network:
        await node.spawn(Echo)
    peer = network.socket(*CLIENT)
    peer.send(b"hello", SERVER)
    assert await peer.receive() == (b"hello", SERVER)


async def test_a_process_on_a_thread_of_its_own_binds_in_it_too(node: homing.Node) -> None:
    class Blocking(Echo):
        pass

    with FakeNetwork(seed=1) as network:
        await node.spawn(Blocking, options=gen.ProcessOptions(thread=True))
    peer = network.socket(*CLIENT)
    peer.send(b"hello", SERVER)
    assert await peer.receive() == (b"hello", SERVER)


async def test_outside_of_the_block_the_system_serves(network: FakeNetwork, probe: Probe, peer: UDPPeer) -> None:
    with FakeNetwork(seed=2) as inner:
        in_inner = create()
    in_outer = create()
    assert [len(made._traffic.sockets) for made in (network, inner)] == [1, 1]
    network._leave.pop()()  # as at the end of its block
    try:
        server = await open_server(probe, host="127.0.0.1", port=0)
        peer.send(b"x", server.local_address)
        assert (await probe.get()).data == b"x"
    finally:
        network.__enter__()
    in_inner.terminate(gen.TerminateNormal())
    in_outer.terminate(gen.TerminateNormal())
    assert [len(made._traffic.sockets) for made in (network, inner)] == [0, 0]


async def test_a_block_counts_for_its_thread_only(network: FakeNetwork) -> None:
    def elsewhere() -> tuple[Any, ...]:
        with meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1")) as server:
            return server.local_address

    address = await asyncio.to_thread(elsewhere)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
    assert not network._traffic.sockets


# --- what a server is there -------------------------------------------------------------------------------


async def test_it_tells_its_address_buffers_and_counters(network: FakeNetwork, probe: Probe) -> None:
    server = await open_server(probe, port=0, receive_buffer=50_000)
    assert server.local_address == (SERVER[0], 32768)
    send_numbers(network.socket(*CLIENT), 3, server.local_address)
    assert await numbers(probe, 3) == [0, 1, 2]
    facts = server.handle_inspect(probe.pid)
    assert (facts["listener"], facts["receive_buffer"], facts["backend"]) == ("10.0.0.1:32768", 50_000, "portable")
    assert (facts["packets_in"], facts["bytes_in"], facts["delivered"]) == (3, 3, 3)


async def test_an_address_in_use_is_refused_as_by_the_system(network: FakeNetwork, probe: Probe) -> None:
    await open_server(probe)
    with pytest.raises(gen.BindFailed, match=r"cannot bind UDP 10.0.0.1:53: Address already in use"):
        create()


async def test_what_finds_its_receive_buffer_full_is_its_kernel_drops(network: FakeNetwork) -> None:
    with create(receive_buffer=50_000) as server:
        send_numbers(network.socket(*CLIENT), 1000)
        assert server.statistics().kernel_drops == network.statistics.overflow > 800


async def test_reading_pauses_for_a_slow_receiver_and_goes_on(network: FakeNetwork, node: homing.Node) -> None:
    passed = []

    class Slow(act.Actor):
        async def handle_message(self, sender: gen.PID, message: Any) -> None:
            passed.append(int(message.data))
            await asyncio.sleep(0)

    slow = await node.spawn(Slow, name="slow")
    probe = await Probe.start(node)
    server = await open_server(probe, process="slow", high_water=4)
    send_numbers(network.socket(*CLIENT), 200)
    await eventually(lambda: len(passed) == 200)
    assert passed == list(range(200))
    assert server.statistics().pauses > 0
    assert node.process_info(slow).mailbox.main == 0


async def test_a_call_tells_how_many_bytes_went_out_or_why_none(network: FakeNetwork, probe: Probe) -> None:
    server = create()
    alias = await probe.do(lambda actor: actor.spawn_meta(server))
    peer = network.socket(*CLIENT)
    message = meta.MessageUDP(alias, CLIENT, b"hello")
    assert await probe.do(lambda actor: actor.call(alias, message)) == 5
    assert await peer.receive() == (b"hello", SERVER)
    too_long = meta.MessageUDP(alias, CLIENT, bytes(65508))
    assert "too long" in str(await probe.do(lambda actor: error_of(actor.call(alias, too_long))))
    assert server.statistics().send_errors == {"EMSGSIZE": 1}


async def test_a_truncated_datagram_is_marked(network: FakeNetwork, probe: Probe) -> None:
    await open_server(probe, buffer_size=4)
    network.socket(*CLIENT).send(b"12345", SERVER)
    message = await probe.get()
    assert (message.data, message.truncated) == (b"1234", True)


@pytest.mark.parametrize("size", [4, 8])
async def test_pooled_buffers_come_back(network: FakeNetwork, node: homing.Node, size: int) -> None:
    pool = meta.BufferPool(size)

    class Releases(act.Actor):
        async def init(self) -> None:
            await self.spawn_meta(create(buffer_pool=pool))

        def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
            self.send(message.id, message.reply(message.data))

    await node.spawn(Releases)
    peer = network.socket(*CLIENT)
    peer.send(b"12345678", SERVER)
    assert (await peer.receive())[0] == b"12345678"[:size]
    await eventually(lambda: pool.lent == 0)


async def test_a_receiver_of_batches_gets_them(network: FakeNetwork, node: homing.Node) -> None:
    batches: list[meta.DatagramBatch] = []

    class Takes(act.Actor):
        async def init(self) -> None:
            await self.spawn_meta(create())

        def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
            batches.append(batch.detach())

    await node.spawn(Takes)
    send_numbers(network.socket(*CLIENT), 100)
    await eventually(lambda: sum(batch.count for batch in batches) == 100)
    assert [int(message.data) for batch in batches for message in batch] == list(range(100))
    assert batches[0].address(0) == CLIENT
    assert len(batches) < 100


@linux
@pytest.mark.parametrize(("host", "origin"), [(CLIENT[0], "icmp"), ("fd00::2", "icmp6")])
async def test_an_error_queue_tells_of_ports_that_nobody_has(
    network: FakeNetwork, probe: Probe, host: str, origin: str
) -> None:
    server = create(host="fd00::1" if ":" in host else SERVER[0], error_queue=True, on_error=probe.pid)
    alias = await probe.do(lambda actor: actor.spawn_meta(server))
    peer = network.socket(host)
    gone = network.socket(host)
    gone.close()
    for address in (gone.address, peer.address, gone.address):
        await probe.do(lambda actor, to=address: actor.send(alias, meta.MessageUDP(None, to, b"anybody?")))
    for _ in range(2):
        error = await probe.get()
        assert (error.addr, error.errno, error.data) == (gone.address, errno.ECONNREFUSED, b"anybody?")
        assert (error.origin, error.offender) == (origin, host)
    assert [data for data, _ in peer.waiting()] == [b"anybody?"]
    assert server.statistics().icmp_errors == {"ECONNREFUSED": 2}
    assert server.statistics().receive_errors == server.statistics().send_errors == {}


@linux
@pytest.mark.parametrize(("host", "other"), [("10.0.0.7", "10.0.0.2"), ("fd00::7", "fd00::2")])
@pytest.mark.parametrize("pooled", [False, True])
async def test_what_comes_with_a_datagram_is_told_where_it_is_asked_for(
    network: FakeNetwork, probe: Probe, host: str, other: str, pooled: bool
) -> None:
    told = ("receive_local_address", "receive_tos", "receive_ttl", "receive_timestamp")
    pool = meta.BufferPool(100) if pooled else None
    server = create(host="::" if ":" in host else "", buffer_pool=pool, **dict.fromkeys(told, True))
    await probe.do(lambda actor: actor.spawn_meta(server))
    sender = create(host=other, port=4000)
    alias = await probe.do(lambda actor: actor.spawn_meta(sender))
    info = meta.PacketInfo(tos=0x2E << 2, ttl=9)
    before = time.time_ns()
    for sent in (info, None):
        message = meta.MessageUDP(None, (host, 53), b"x", info=sent)
        await probe.do(lambda actor, message=message: actor.send(alias, message))
    first, second = await probe.get(), await probe.get()
    assert (first.info.local, first.info.tos, first.info.ttl) == (host, 0xB8, 9)
    assert (second.info.local, second.info.tos, second.info.ttl) == (host, 0, 64)
    assert before <= first.info.timestamp <= second.info.timestamp <= time.time_ns()
    first.release()
    second.release()


@linux
async def test_a_datagram_leaves_from_the_address_that_it_is_told_to(network: FakeNetwork, probe: Probe) -> None:
    alias = await probe.do(lambda actor: actor.spawn_meta(create(host="")))
    peer = network.socket(*CLIENT)
    message = meta.MessageUDP(None, CLIENT, b"x", info=meta.PacketInfo(local="192.0.2.1"))
    await probe.do(lambda actor: actor.send(alias, message))
    assert await peer.receive() == (b"x", ("192.0.2.1", 53))


# --- what is built on servers -----------------------------------------------------------------------------


async def test_a_pool_of_workers_handles_each_datagram_once(network: FakeNetwork, node: homing.Node) -> None:
    handled: list[int] = []

    class Worker(act.Actor):
        async def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
            await asyncio.sleep(0)
            handled.append(int(message.data))
            self.send(message.id, message.reply(message.data))

    probe = await Probe.start(node)
    await open_server(probe, worker=Worker, workers=4, route="source")
    peers = [network.socket(f"10.0.1.{number}") for number in range(8)]
    for number in range(30):
        for peer in peers:
            peer.send(b"%d" % number, SERVER)
    for peer in peers:
        async with asyncio.timeout(DEADLINE):
            assert [int((await peer.receive())[0]) for _ in range(30)] == list(range(30))
    assert len(handled) == 240


async def test_a_supervised_server_that_lingers_loses_nothing_by_a_crash(
    network: FakeNetwork, node: homing.Node
) -> None:
    class Top(act.Supervisor):
        def init(self) -> act.SupervisorSpec:
            options = {"linger": 5.0}
            return act.SupervisorSpec(
                children=(
                    act.ChildSpec(
                        name="echo",
                        behavior=Echo,
                        args=(options,),
                        options=gen.ProcessOptions(preserve_mailbox=True),
                    ),
                )
            )

    await node.spawn(Top)
    peer = network.socket(*CLIENT)
    for number in range(100):
        peer.send(b"crash" if number in (10, 20) else b"%d" % number, SERVER)
    async with asyncio.timeout(DEADLINE):
        got = [int((await peer.receive())[0]) for _ in range(98)]
    assert got == [number for number in range(100) if number not in (10, 20)]


async def test_a_server_ends_with_its_owner_and_its_address_is_free(network: FakeNetwork, node: homing.Node) -> None:
    for _ in range(3):
        owner = await node.spawn(Echo)
        node.kill(owner)
        await eventually(lambda: not network._traffic.sockets)


async def test_a_node_stops_with_datagrams_on_their_way() -> None:
    with FakeNetwork(seed=1, delay=0.02) as network:
        async with homing.start_node("test@localhost") as node:
            await node.spawn(Echo)
            peer = network.socket(*CLIENT)
            send_numbers(peer, 50)
            assert network.statistics.in_flight == 50
        assert network.statistics.in_flight == 50
        assert len(network._traffic.sockets) == 1
        await eventually(lambda: network.statistics.no_receiver == 50)
        assert conserved(network)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("reuse_port", True),
        ("broadcast", True),
        ("dual_stack", True),
        ("groups", (meta.MulticastGroup("239.1.1.1"),)),
        ("multicast_ttl", 2),
        ("multicast_interface", "lo"),
        pytest.param("bind_device", "lo", marks=linux),
    ],
)
async def test_an_option_that_it_does_not_have_is_refused_not_ignored(
    network: FakeNetwork, option: str, value: Any
) -> None:
    with pytest.raises(gen.BadOption, match="FakeNetwork does not support this option") as caught:
        create(**{option: value})
    assert caught.value.option == option
    assert len(network._traffic.sockets) == 0


async def test_a_group_cannot_be_joined_there(network: FakeNetwork, probe: Probe) -> None:
    alias = await probe.do(lambda actor: actor.spawn_meta(create()))
    error = await probe.do(lambda actor: error_of(actor.call(alias, meta.JoinGroup("239.1.1.1"))))
    assert isinstance(error, gen.BadOption)
    assert error.option == "groups"


@linux
async def test_the_socket_s_own_tos_and_ttl_go_with_what_says_nothing_else(network: FakeNetwork, probe: Probe) -> None:
    await open_server(probe, receive_tos=True, receive_ttl=True)
    alias = await probe.do(lambda actor: actor.spawn_meta(create(host=CLIENT[0], tos=8, ttl=3)))
    for info in (None, meta.PacketInfo(ttl=200)):
        message = meta.MessageUDP(None, SERVER, b"x", info=info)
        await probe.do(lambda actor, message=message: actor.send(alias, message))
    told = [(await probe.get()).info for _ in range(2)]
    assert [(info.tos, info.ttl) for info in told] == [(8, 3), (8, 200)]


@linux
@pytest.mark.parametrize(("size", "errors"), [(1472, {}), (1473, {"EMSGSIZE": 1})])
async def test_what_must_not_be_fragmented_and_is_too_long_is_refused(
    probe: Probe, size: int, errors: dict[str, int]
) -> None:
    with FakeNetwork(seed=1, mtu=1500) as network:
        server = create(mtu_discovery="do")
    alias = await probe.do(lambda actor: actor.spawn_meta(server))
    await probe.do(lambda actor: actor.send(alias, meta.MessageUDP(None, CLIENT, bytes(size))))
    await eventually(lambda: network.statistics.sent + len(server.statistics().send_errors) == 1)
    assert server.statistics().send_errors == errors
