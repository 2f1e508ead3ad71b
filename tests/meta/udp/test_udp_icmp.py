"""A server with an error queue: peers that have gone are told of, and nobody else notices."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import socket
from typing import Any

import pytest

import homing
from homing import meta

from ...support import Probe, UDPPeer, eventually
from ..servers import HOST, create, descriptor_of, error_of, in_network, needs_namespaces, open_server

pytestmark = [
    pytest.mark.backends,
    pytest.mark.loops,
    pytest.mark.skipif(not hasattr(socket, "MSG_ERRQUEUE"), reason="error queues are Linux's"),
]
HOSTS = [HOST, "::1"]


def message_to(address: Any, data: Any = b"payload") -> meta.MessageUDP:
    return meta.MessageUDP(None, address, data)


def dead_address(host: str = HOST) -> tuple[Any, ...]:
    """A port that nobody has."""
    with UDPPeer(host) as gone:
        return gone.address


@pytest.mark.parametrize("host", HOSTS)
async def test_each_datagram_to_a_dead_port_is_told_and_each_to_a_live_one_arrives(
    host: str, node: homing.Node, probe: Probe
) -> None:
    server, alias = await open_server(probe, host=host, error_queue=True, on_error=probe.pid)
    dead = dead_address(host)
    with UDPPeer(host) as peer:

        def send_all(actor: Any) -> None:
            for number in range(200):
                actor.send(alias, message_to(dead if number % 2 else peer.address, b"%d" % number))

        await probe.do(send_all)
        got = [int((await peer.receive())[0]) for _ in range(100)]
        told = [await probe.get() for _ in range(100)]
        assert got == list(range(0, 200, 2))
        assert [int(one.data) for one in told] == list(range(1, 200, 2))
        assert {(one.id, one.addr, one.errno, one.origin) for one in told} == {
            (alias, dead, errno.ECONNREFUSED, "icmp6" if ":" in host else "icmp")
        }
        peer.send(b"and in", server.local_address)
        assert (await probe.get()).data == b"and in"
        statistics = server.statistics()
        assert (statistics.packets_out, statistics.send_errors, statistics.receive_errors) == (200, {}, {})
        assert (statistics.icmp_errors, statistics.dropped_errors) == ({"ECONNREFUSED": 100}, 0)


async def test_errors_are_told_while_reading_is_paused_and_what_was_received_meanwhile_is_not_lost(
    node: homing.Node, probe: Probe
) -> None:
    server, alias = await open_server(
        probe, process="late", error_queue=True, on_error=probe.pid, receive_buffer=40_000, high_water=2000
    )
    dead = dead_address()
    with UDPPeer() as peer:
        peer.send(b"0", server.local_address)
        await eventually(lambda: server.statistics().pauses == 1)
        for number in range(1, 40):
            for _ in range(10):
                node.send(alias, message_to(dead, bytes(400)))
            await eventually(lambda number=number: server.statistics().icmp_errors == {"ECONNREFUSED": 10 * number})
            peer.send(b"%d" % number, server.local_address)
        assert len([await probe.get() for _ in range(390)]) == 390
        late = await Probe.start(node, name="late")
        assert [int((await late.get()).data) for _ in range(40)] == list(range(40))
        assert server.statistics().kernel_drops == 0


async def test_a_call_is_answered_by_what_the_kernel_took_and_never_by_the_error_of_another(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    _, alias = await open_server(probe, error_queue=True, on_error=probe.pid)
    dead = dead_address()
    for number in range(50):
        data = b"%d" % number
        assert await node.call(alias, message_to(dead, data)) == len(data)
        assert await node.call(alias, message_to(peer.address, data)) == len(data)
        assert (await peer.receive())[0] == data
        assert (await probe.get()).data == data
        error = await error_of(node.call(alias, message_to((HOST, 0))))
        assert (error.errno, probe.waiting()) == (errno.EINVAL, [])  # type: ignore[attr-defined]


async def test_where_nobody_asks_to_be_told_errors_are_counted(
    node: homing.Node, probe: Probe, peer: UDPPeer, caplog: pytest.LogCaptureFixture
) -> None:
    server, alias = await open_server(probe, error_queue=True)
    dead = dead_address()
    for _ in range(30):
        node.send(alias, message_to(dead))
    await eventually(lambda: server.statistics().icmp_errors == {"ECONNREFUSED": 30})
    assert (await node.inspect_meta(alias, "icmp_errors", "error_queue")) == {
        "icmp_errors": {"ECONNREFUSED": 30},
        "error_queue": True,
    }
    assert caplog.records == []


async def test_a_peer_that_comes_back_is_reached_at_once(node: homing.Node, probe: Probe) -> None:
    _, alias = await open_server(probe, error_queue=True, on_error=probe.pid)
    dead = dead_address()
    node.send(alias, message_to(dead, b"gone"))
    assert (await probe.get()).data == b"gone"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
        back.bind(dead)
        node.send(alias, message_to(dead, b"back"))
        back.settimeout(5)
        assert await asyncio.to_thread(back.recv, 100) == b"back"


async def test_errors_of_a_socket_that_was_adopted_are_told_to_whom_the_successor_names(
    node: homing.Node, probe: Probe
) -> None:
    first, second = await Probe.start(node), await Probe.start(node)
    told = await Probe.start(node, name="told")
    dead = dead_address()
    port = 0
    for owner, to in ((first, "told"), (second, probe.pid)):
        server, alias = await open_server(owner, port=port, error_queue=True, on_error=to, linger=30.0)
        node.send(alias, message_to(dead))
        assert (await (told if to == "told" else probe).get()).errno == errno.ECONNREFUSED
        port = server.local_address[1]
        if owner is first:
            node.kill(owner.pid)
            await owner_gone(node, owner)
    assert (await node.inspect_meta(alias, "adoptions")) == {"adoptions": 1}
    assert server.statistics().icmp_errors == {"ECONNREFUSED": 2}
    assert told.waiting() == probe.waiting() == []


async def test_the_count_of_what_nobody_was_told_goes_on_with_the_successor(node: homing.Node) -> None:
    owners = [await Probe.start(node), await Probe.start(node)]
    port = 0
    for count, owner in enumerate(owners, 1):
        server, alias = await open_server(owner, port=port, on_error="nobody", linger=30.0)
        port = server.local_address[1]
        node.send(alias, message_to((HOST, 0)))
        await eventually(lambda server=server, count=count: server.statistics().dropped_errors == count)
        if owner is owners[0]:
            node.kill(owner.pid)
            await owner_gone(node, owner)


async def owner_gone(node: homing.Node, owner: Probe) -> None:
    await eventually(lambda: owner.pid not in node.processes())


@needs_namespaces
async def test_what_a_full_queue_of_the_interface_drops_is_told_as_enobufs(node: homing.Node, probe: Probe) -> None:
    """Without the error queue Linux says that it was sent."""
    slow = "ip link set lo up; tc qdisc add dev lo root tbf rate 8kbit burst 2000 limit 3000"

    def make() -> tuple[meta.UDPServer, UDPPeer]:
        return create(error_queue=True, on_error=probe.pid), UDPPeer()

    server, peer = in_network(slow, make)
    with peer:
        alias = await probe.do(lambda actor: actor.spawn_meta(server))
        sent = [b"%d" % number + b"." * number for number in range(100, 140)]
        for data in sent:
            node.send(alias, message_to(peer.address, data))
        await eventually(lambda: sum(server.statistics().send_errors.values()) + server.statistics().packets_out == 40)
        lost = [await probe.get() for _ in range(server.statistics().send_errors["ENOBUFS"])]
        assert {(one.errno, one.origin) for one in lost} == {(errno.ENOBUFS, "local")}
        arrived = [(await peer.receive())[0] for _ in range(min(3, server.statistics().packets_out))]
        gone = {one.data for one in lost}
        assert arrived == [data for data in sent if data not in gone][: len(arrived)]
        assert server.statistics().packets_out + len(lost) == 40


@needs_namespaces
@pytest.mark.skipif(shutil.which("iptables") is None, reason="iptables is not installed")
async def test_hosts_that_do_not_exist_and_routers_that_refuse_are_told_with_who_said_so(
    node: homing.Node, probe: Probe
) -> None:
    network = """ip link set lo up
ip link add near type veth peer name far
ip addr add 10.7.0.1/24 dev near
ip link set near up
ip link set far up
echo 1 > /proc/sys/net/ipv4/neigh/near/mcast_solicit
echo 1 > /proc/sys/net/ipv4/neigh/near/retrans_time_ms
iptables -A INPUT -p udp --dport 7 -j REJECT --reject-with icmp-admin-prohibited"""
    server = in_network(network, lambda: create(host="0.0.0.0", error_queue=True, on_error=probe.pid))
    alias = await probe.do(lambda actor: actor.spawn_meta(server))
    node.send(alias, message_to(("10.7.0.9", 9), b"nobody"))
    told = await probe.get()
    assert (told.addr, told.data, told.errno) == (("10.7.0.9", 9), b"nobody", errno.EHOSTUNREACH)
    assert (told.origin, told.type, told.code, told.offender) == ("icmp", 3, 1, "10.7.0.1")
    node.send(alias, message_to((HOST, 7), b"prohibited"))
    told = await probe.get()
    assert (told.addr, told.data, told.errno) == ((HOST, 7), b"prohibited", errno.EHOSTUNREACH)
    assert (told.origin, told.type, told.code, told.offender) == ("icmp", 3, 13, HOST)
    assert server.statistics().icmp_errors == {"EHOSTUNREACH": 2}


async def test_a_socket_that_is_truly_gone_ends_the_server_all_the_same(node: homing.Node, probe: Probe) -> None:
    server, alias = await open_server(probe, process="late", error_queue=True)
    await probe.do(lambda actor: actor.monitor(alias))
    with UDPPeer() as peer:
        peer.send(b"x", server.local_address)
        await eventually(lambda: server.statistics().pauses == 1)
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, descriptor_of(server.local_address))
    os.close(nothing)
    await Probe.start(node, name="late")
    assert isinstance((await probe.get()).reason, OSError)
