"""Sources that are no destinations: anybody can write from an address that nobody has, or from that of the server."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

import pytest

import homing
from homing import gen, meta

from ..meta.servers import error_of, in_network, needs_namespaces, open_echo, open_server
from ..support import Probe, UDPPeer, eventually
from .networks import EchoOn, ip_packet, spoof, udp_segment
from .test_network import needs_raw_sockets

pytestmark = [
    pytest.mark.backends,
    pytest.mark.skipif(sys.platform != "linux", reason="forges sources by raw sockets of Linux"),
]

HOST = "127.0.0.1"
NOBODY = "0.0.0.0"


async def settled(server: meta.UDPServer, packets: int, refused: dict[str, int]) -> None:
    """Waits for the account of what came and was refused; a reply that went out would come back, and be counted."""
    await eventually(lambda: sum(server.statistics().send_errors.values()) >= sum(refused.values()))
    statistics = server.statistics()
    assert (statistics.packets_in, statistics.packets_out, statistics.send_errors) == (packets, 0, refused)


def from_nobody(port: int, to: int, payload: bytes) -> bytes:
    """A packet from 0.0.0.0 to all on a link, as DHCP clients write it: the kernel takes none to a single address."""
    packet = bytearray(ip_packet(NOBODY, "255.255.255.255", udp_segment(port, to, payload)))
    struct.pack_into("!H", packet, 2, len(packet))
    total = sum(struct.unpack("!10H", packet[:20]))
    struct.pack_into("!H", packet, 10, ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)
    return bytes(packet)


@needs_namespaces
@pytest.mark.parametrize("options", [{"host": ""}, {"host": "::", "dual_stack": True}], ids=str)
async def test_a_datagram_from_0_0_0_0_is_delivered_and_its_answer_is_refused_and_counted(
    node: homing.Node, options: dict[str, Any]
) -> None:
    """Linux would deliver an answer to 0.0.0.0 to this machine itself, which would answer it, and so on."""

    def make() -> tuple[meta.UDPServer, socket.socket, UDPPeer]:
        server = meta.create_udp_server(meta.UDPServerOptions(**options))
        return server, socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM), UDPPeer()

    command = (
        "ip link set lo up; ip link add near type veth peer name far; ip addr add 10.9.9.1/24 dev near;"
        "ip link set near up; ip link set far up"
    )
    server, link, peer = in_network(command, make)
    await node.spawn(EchoOn, server)
    port = server.local_address[1]
    with link, peer:
        for number, source in enumerate((port, 68), 1):
            link.sendto(from_nobody(source, port, b"whose?"), ("far", 0x0800, 0, 0, b"\xff" * 6))
            await eventually(lambda number=number: server.statistics().packets_in >= number)
        await settled(server, 2, {"BadAddress": 2})
        assert await peer.ask(b"still there?", (HOST, port)) == b"still there?"


@needs_raw_sockets
@pytest.mark.parametrize("host", [HOST, "", "::"])
@pytest.mark.parametrize("source", [HOST, "127.9.9.9"])
async def test_a_datagram_that_is_forged_in_the_server_s_own_name_is_answered_to_nobody(
    node: homing.Node, peer: UDPPeer, host: str, source: str
) -> None:
    server = await open_echo(node, host=host, **({"dual_stack": True} if host == "::" else {}))
    port = server.local_address[1]
    if host != HOST or source == HOST:
        spoof((source, port), (HOST, port), b"mine?")
        await settled(server, 1, {"BadAddress": 1})
    assert await peer.ask(b"still there?", (HOST, port)) == b"still there?"


@needs_namespaces
@pytest.mark.parametrize("host", ["", "::"])
async def test_an_address_of_any_interface_is_the_server_s_own_where_it_is_bound_to_all(
    node: homing.Node, probe: Probe, host: str
) -> None:
    command = "ip link set lo up; ip addr add 192.0.2.7/32 dev lo; ip addr add 2001:db8::7/128 dev lo nodad"
    own = "2001:db8::7" if host else "192.0.2.7"
    server = in_network(command, lambda: meta.create_udp_server(meta.UDPServerOptions(host=host, port=53)))
    alias = await probe.do(lambda actor: actor.spawn_meta(server))

    async def outcome(address: Any) -> Any:
        return await probe.do(lambda actor: call_or_error(actor, alias, address))

    assert type(await outcome((own, 53))) is gen.BadAddress
    assert await outcome((own, 54)) == 1
    assert isinstance(await outcome(("2001:db8::8" if host else "192.0.2.8", 53)), OSError)  # another's: no route
    assert server.statistics().send_errors == {"BadAddress": 1, "ENETUNREACH": 1}


async def call_or_error(actor: Any, alias: gen.Alias, address: Any) -> Any:
    try:
        return await actor.call(alias, meta.MessageUDP(None, address, b"x"))
    except gen.HomingError as error:
        return error
    except OSError as error:
        return error


async def test_what_a_server_sends_to_its_group_comes_back_and_is_not_answered_to_itself(
    node: homing.Node, peer: UDPPeer
) -> None:
    group = meta.MulticastGroup("239.77.8.1", "lo")
    server = await open_echo(node, host="", groups=(group,), multicast_interface="lo")
    port = server.local_address[1]
    await node.call(server.process.id, meta.MessageUDP(None, ("239.77.8.1", port), b"to all"))
    await eventually(lambda: server.statistics().packets_in == 1)
    await eventually(lambda: server.statistics().send_errors == {"BadAddress": 1})
    assert server.statistics().packets_out == 1
    assert await peer.ask(b"still there?", (HOST, port)) == b"still there?"


PLACES: list[tuple[dict[str, Any], Callable[[Any], Any]]] = [
    ({}, lambda own: (NOBODY, own[1])),
    ({}, lambda own: (NOBODY, 9)),
    ({}, lambda own: (HOST, 0)),
    ({}, lambda own: ("255.255.255.255", 9)),
    ({}, lambda own: own),
    ({"host": "::1"}, lambda own: ("::", own[1], 0, 0)),
    ({"host": "::1"}, lambda own: ("::1", 0, 0, 0)),
    ({"host": "::1"}, lambda own: ("0:0::1", own[1])),
    ({"host": "::", "dual_stack": True}, lambda own: (NOBODY, own[1])),
    ({"host": "::", "dual_stack": True}, lambda own: (HOST, own[1])),
    ({"host": "::", "dual_stack": True}, lambda own: ("::ffff:127.0.0.1", own[1])),
    ({"host": ""}, lambda own: ("127.1.2.3", own[1])),
]


@pytest.mark.parametrize(("options", "place"), PLACES)
async def test_a_destination_that_nobody_can_answer_from_is_a_bad_address_at_its_caller(
    options: dict[str, Any], place: Callable[[Any], Any], node: homing.Node, probe: Probe
) -> None:
    server, alias = await open_server(probe, **options)
    address = place(server.local_address)
    for _ in range(2):  # the second time it may be remembered
        error = await error_of(node.call(alias, meta.MessageUDP(None, address, b"x")))
        assert isinstance(error, gen.BadAddress)
        assert error.address == address
    assert server.statistics().packets_out == 0
    assert sum(server.statistics().send_errors.values()) == 2


async def test_peers_with_the_port_of_the_server_on_other_addresses_are_answered(node: homing.Node) -> None:
    """Servers that speak with each other have the same port on both sides: DNS, NTP, routing."""
    server = await open_echo(node, host="127.0.0.2")
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as other:
        other.setblocking(False)
        other.bind(("127.0.0.3", server.local_address[1]))
        peer = UDPPeer.__new__(UDPPeer)
        peer.socket = other
        for number in range(100):
            assert await peer.ask(b"%d" % number, server.local_address) == b"%d" % number
    assert server.statistics().send_errors == {}


@needs_namespaces
async def test_a_broadcast_address_is_no_bad_one_with_permission(probe: Probe) -> None:
    def make() -> meta.UDPServer:
        return meta.create_udp_server(meta.UDPServerOptions(host="", broadcast=True))

    server = in_network("ip link set lo up; ip route add default dev lo", make)
    alias = await probe.do(lambda actor: actor.spawn_meta(server))
    assert await probe.do(lambda actor: call_or_error(actor, alias, ("255.255.255.255", 9))) == 1


async def test_a_unix_socket_does_not_answer_itself(node: homing.Node, tmp_path: Any) -> None:
    path = str(tmp_path / "own")
    server = await open_echo(node, host="", path=path)
    error = await error_of(node.call(server.process.id, meta.MessageUDP(None, path, b"x")))
    assert isinstance(error, gen.BadAddress)
    assert server.statistics().packets_out == 0


async def test_a_client_whose_peer_is_its_own_address_asks_nobody(node: homing.Node, probe: Probe) -> None:
    with UDPPeer() as taken:
        port = taken.address[1]
    options = meta.UDPClientOptions(host=HOST, port=port, local_host=HOST, local_port=port, connected=False)
    client = await probe.do(lambda actor: actor.spawn_meta(meta.create_udp_client(options)))
    error = await error_of(node.call(client, b"who is there?"))
    assert isinstance(error, (gen.BadAddress, gen.PeerUnreachable))
