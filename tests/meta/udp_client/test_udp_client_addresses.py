"""However an address is written, it is that peer's: what comes from there is its answer, and what comes from elsewhere
is not."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

import homing
from homing import gen, meta

from ...faults.networks import Network, network
from ...support import Probe, UDPPeer
from ..servers import HOST, needs_namespaces
from .clients import PATIENT, ask, asked, by_id, check_account, counted, create_client, open_client

pytestmark = [pytest.mark.backends, pytest.mark.loops]

WAYS = {
    HOST: [HOST, "::ffff:127.0.0.1", "::FFFF:7f00:1"],
    "::1": ["::1", "0:0::1", "0:0:0:0:0:0:0:1", "::0001"],
}
"""For each host, the ways to write it."""
WRITTEN = [(host, way) for host, ways in WAYS.items() for way in ways]
UNSPECIFIED = [(HOST, "0.0.0.0"), ("::1", "::")]
"""Connecting there leads to this machine."""
MORE = [("::1", (0, 1)), ("::1", (77, 0)), ("0::1", (1048575, 3))]
"""A flow label, and a scope of an address that has none, are not the peer's."""


def written(peer: UDPPeer, host: str, *more: int) -> tuple[Any, ...]:
    return (host, peer.address[1], *more)


@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize(("host", "way"), WRITTEN)
async def test_a_reply_answers_its_request_however_the_address_was_written(
    host: str, way: str, keyed: bool, node: homing.Node, probe: Probe
) -> None:
    with UDPPeer(host) as own, UDPPeer(host) as peer:
        options: dict[str, Any] = {"key": by_id} if keyed else {}
        client, alias = await open_client(probe, own, connected=False, **options)
        request = meta.UDPRequest(b"01 question", to=written(peer, way))
        task, source = await asked(node, alias, peer, request)
        peer.send(b"01 answer", source)
        assert (await task).data == b"01 answer"
        peer.send(b"01 answer", source)
        await counted(client, stray=0, answered=1, duplicate=1)
        check_account(client)


@pytest.mark.parametrize(("way", "more"), MORE)
async def test_a_flow_label_and_a_scope_that_means_nothing_are_no_part_of_the_peer(
    way: str, more: tuple[int, int], node: homing.Node, probe: Probe
) -> None:
    with UDPPeer("::1") as peer:
        client, alias = await open_client(probe, peer, connected=False, key=by_id)
        task, source = await asked(node, alias, peer, meta.UDPRequest(b"01", to=written(peer, way, *more)))
        peer.send(b"01", source)
        assert (await task).data == b"01"
        await counted(client, stray=0)


@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize(("host", "way"), [*WRITTEN, *UNSPECIFIED])
async def test_a_client_is_made_for_a_peer_however_it_is_written(
    host: str, way: str, connected: bool, node: homing.Node, probe: Probe
) -> None:
    with UDPPeer(host) as peer:
        client = create_client(written(peer, way), connected=connected)
        alias = await probe.do(lambda actor: actor.spawn_meta(client))
        assert client.peer_address == peer.address
        task, source = await asked(node, alias, peer, b"question")
        peer.send(b"answer", source)
        assert (await task).data == b"answer"
        await counted(client, stray=0)


@pytest.mark.parametrize("priority", [gen.MessagePriority.NORMAL, gen.MessagePriority.HIGH])
@pytest.mark.parametrize("way", ["::1", "0:0::1", "::0001"])
async def test_a_connected_client_sends_to_its_peer_however_that_is_written(
    way: str, priority: gen.MessagePriority, probe: Probe, node: homing.Node
) -> None:
    with UDPPeer("::1") as peer:
        client, alias = await open_client(probe, peer)
        message = meta.MessageUDP(None, written(peer, way), b"hello")
        await probe.do(lambda actor: actor.send_with_priority(alias, message, priority))
        assert (await peer.receive())[0] == b"hello"
        assert await node.call(alias, meta.MessageUDP(None, written(peer, way, 5, 7), b"size")) == 4
        with pytest.raises(gen.BadAddress):
            await node.call(alias, meta.MessageUDP(None, ("::1", 9, 0, 0), b"elsewhere"))
        assert client.statistics().send_errors == {"BadAddress": 1}


@pytest.mark.parametrize("to", ["::1", ("::1",), ("nowhere", 9), (b"::1", 9), ("fe80::1%nowhere", 9), (["::1"], 9), 7])
async def test_what_is_no_address_fails_its_request_only(
    to: Any, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, connected=False)
    with pytest.raises((gen.BadAddress, gen.PeerUnreachable)):
        await node.call(alias, meta.UDPRequest(b"question", to=to))
    task, source = await asked(node, alias, peer, b"question")
    peer.send(b"answer", source)
    assert (await task).data == b"answer"
    check_account(client)


@pytest.mark.skipif(not hasattr(socket, "MSG_ERRQUEUE"), reason="Linux only")
@pytest.mark.parametrize(("host", "way"), WRITTEN)
async def test_a_closed_port_fails_a_request_however_the_address_was_written(
    host: str, way: str, node: homing.Node, probe: Probe
) -> None:
    with UDPPeer(host) as own, UDPPeer(host) as lost:
        _, alias = await open_client(probe, own, connected=False, error_queue=True)
        lost.socket.close()
        with pytest.raises(gen.PeerRefused):
            await node.call(alias, meta.UDPRequest(b"question", to=written(lost, way)), timeout=PATIENT)


@pytest.mark.skipif(not hasattr(socket, "MSG_ERRQUEUE"), reason="Linux only")
@pytest.mark.parametrize("way", ["0.0.0.0", "::"])
async def test_a_closed_port_fails_a_request_to_the_wildcard_address_of_a_connected_client(
    way: str, node: homing.Node, probe: Probe
) -> None:
    with UDPPeer("::1" if way == "::" else HOST) as lost:
        lost.socket.close()
        client = create_client((way, lost.address[1]))
        alias = await probe.do(lambda actor: actor.spawn_meta(client))
        with pytest.raises(gen.PeerRefused):
            await node.call(alias, b"question", timeout=PATIENT)


# --- what comes from elsewhere ------------------------------------------------------------------------------


async def test_two_requests_to_two_peers_may_have_the_same_key(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    with UDPPeer() as other:
        client, alias = await open_client(probe, peer, connected=False, key=by_id)
        first, source = await asked(node, alias, peer, b"01 first")
        second, _ = await asked(node, alias, other, meta.UDPRequest(b"01 second", to=other.address))
        with pytest.raises(gen.RequestKeyTaken):
            await node.call(alias, meta.UDPRequest(b"01 third", to=other.address))
        other.send(b"01 other's", source)
        peer.send(b"01 own", source)
        assert [(await first).data, (await second).data] == [b"01 own", b"01 other's"]
        await counted(client, answered=2, stray=0)
        check_account(client)


async def test_who_has_not_been_asked_answers_nobody_though_the_key_is_right(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    with UDPPeer() as other, UDPPeer() as forger:
        client, alias = await open_client(probe, peer, connected=False, key=by_id)
        own, source = await asked(node, alias, peer, b"01 first")
        away, _ = await asked(node, alias, other, meta.UDPRequest(b"02 second", to=other.address))
        for sender in (peer, forger):
            sender.send(b"02 forged", source)
        for sender in (other, forger):
            sender.send(b"01 forged", source)
        await counted(client, stray=4, dropped_stray=3)  # what comes from the client's own peer, its owner gets
        other.send(b"02", source)
        peer.send(b"01", source)
        assert [(await own).data, (await away).data] == [b"01", b"02"]
        check_account(client)


async def test_keys_are_the_clients_where_anybody_may_answer(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    with UDPPeer() as other, UDPPeer() as third:
        client, alias = await open_client(probe, peer, connected=False, any_source=True, key=by_id)
        _, source = await asked(node, alias, peer, b"01 first")
        with pytest.raises(gen.RequestKeyTaken):
            await node.call(alias, meta.UDPRequest(b"01 second", to=other.address))
        task, _ = await asked(node, alias, other, meta.UDPRequest(b"02 second", to=other.address))
        third.send(b"02 answer", source)
        assert (await task).addr == third.address
        await counted(client, open=1)


@contextmanager
def two_links() -> Iterator[tuple[Network, list[int], list[UDPPeer]]]:
    """A network with two links, their scopes, and a peer at the other end of each. All peers have the same address."""
    with network() as here, network() as there, ExitStack() as stack:
        for name in ("va", "vb"):
            here.run(f"ip link add {name} type veth peer name {name}9; ip link set {name}9 netns {there.path}")
            here.run(f"ip -6 addr add fe80::1/64 dev {name} nodad; ip link set {name} up")
            there.run(f"ip -6 addr add fe80::2/64 dev {name}9 nodad; ip link set {name}9 up")
        peers = [stack.enter_context(there.do(OnLink, name)) for name in ("va9", "vb9")]
        yield here, [here.do(socket.if_nametoindex, name) for name in ("va", "vb")], peers


class OnLink(UDPPeer):
    """A peer at fe80::2 of one link, and port 5353."""

    def __init__(self, name: str) -> None:
        self.socket = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(("fe80::2", 5353, 0, socket.if_nametoindex(name)))
        self.address = self.socket.getsockname()


@needs_namespaces
async def test_a_reply_from_another_link_is_none(node: homing.Node, probe: Probe) -> None:
    with two_links() as (here, scopes, (first, second)):
        client = here.do(create_client, ("fe80::2", 5353, 0), connected=False, key=by_id)
        alias = await probe.do(lambda actor: actor.spawn_meta(client))
        own, source = await asked(node, alias, first, meta.UDPRequest(b"01", to=("fe80:0::2", 5353, 0, scopes[0])))
        _, elsewhere = await asked(node, alias, second, meta.UDPRequest(b"02", to=("fe80::2", 5353, 0, scopes[1])))
        second.send(b"01", elsewhere)
        await counted(client, stray=1, open=2)
        first.send(b"01", source)
        assert (await own).addr == ("fe80::2", 5353, 0, scopes[0])
        await counted(client, stray=1, open=1)
        check_account(client)


@needs_namespaces
async def test_who_is_asked_without_a_scope_may_be_on_any_link(node: homing.Node, probe: Probe) -> None:
    with two_links() as (here, scopes, (first, second)):
        client = here.do(create_client, ("fe80::2", 5353, 0), connected=False, key=by_id)
        alias = await probe.do(lambda actor: actor.spawn_meta(client))
        _, source = await asked(node, alias, first, meta.UDPRequest(b"00", to=("fe80::2", 5353, 0, scopes[0])))
        task = ask(node, alias, b"07")
        await counted(client, open=2)
        for peer in (first, second):
            peer.send(b"07", (*source[:3], peer.address[3]))
        assert (await task).data == b"07"
        await counted(client, answered=1, duplicate=1, stray=0, open=1)


@pytest.mark.once
@needs_namespaces
async def test_a_scope_in_the_host_says_by_which_link_a_datagram_leaves(backend: str) -> None:
    with two_links() as (here, scopes, peers):
        for name, scope, peer in zip(("va", "vb"), scopes, peers, strict=True):
            client = here.do(create_client, ("fe80::2", 5353, 0), connected=False)
            endpoint = client._connection.endpoint
            here.do(endpoint.send, meta.MessageUDP(None, (f"fe80::2%{name}", 5353), name.encode()), None)
            here.do(endpoint.send, meta.MessageUDP(None, (f"fe80::2%{scope}", 5353), b"by number"), None)
            assert [(await peer.receive())[0] for _ in range(2)] == [name.encode(), b"by number"]
            client.terminate(gen.TerminateNormal())
