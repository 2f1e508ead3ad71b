"""Peers that cannot be reached: who asks them is told at once, nobody else notices, and the client goes on."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
import shutil
import socket
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

import homing
from homing import gen, meta

from ...support import Probe, UDPPeer, eventually
from ..servers import HOST, in_network, needs_namespaces
from .clients import PATIENT, ask, asked, by_id, check_account, counted, create_client, open_client

pytestmark = [
    pytest.mark.backends,
    pytest.mark.loops,
    pytest.mark.skipif(not hasattr(socket, "MSG_ERRQUEUE"), reason="what the system tells differs elsewhere"),
]
HOSTS = [HOST, "::1"]
QUEUES = [False, True]
"""Without and with an error queue."""
T = TypeVar("T")


class Lost(UDPPeer):
    """A peer whose port nobody has, until it comes back: none of those that the system gives away, to a client too."""

    def __init__(self, host: str = HOST) -> None:
        super().__init__(host)
        while True:
            self.socket.close()
            self.address = (host, random.SystemRandom().randrange(20_000, 30_000), *self.address[2:])
            with contextlib.suppress(OSError):
                self.back()
                break
        self.socket.close()

    def back(self) -> None:
        self.socket = socket.socket(self.socket.family, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(self.address)


@pytest.fixture
def lost() -> Any:
    with Lost() as peer:
        yield peer


@pytest.mark.parametrize("error_queue", QUEUES)
@pytest.mark.parametrize("host", HOSTS)
async def test_a_closed_port_fails_every_open_request_at_once(
    host: str, error_queue: bool, node: homing.Node, probe: Probe
) -> None:
    with Lost(host) as lost:
        client, alias = await open_client(probe, lost, error_queue=error_queue)
        outcomes = await asyncio.gather(
            *[ask(node, alias, b"%d" % number) for number in range(20)], return_exceptions=True
        )
        for outcome in outcomes:
            assert isinstance(outcome, gen.PeerRefused)
            assert isinstance(outcome, gen.PeerUnreachable)
            assert isinstance(outcome, ConnectionRefusedError)
            assert outcome.errno == errno.ECONNREFUSED
            assert "no program has that port" in str(outcome)
        statistics = client.statistics()
        assert (statistics.refused, statistics.open, statistics.retransmits) == (20, 0, 0)
        assert (statistics.receive_errors, statistics.send_errors) == ({}, {})
        assert set(statistics.icmp_errors) == {"ECONNREFUSED"}
        check_account(client)


@pytest.mark.parametrize("error_queue", QUEUES)
async def test_the_client_asks_again_when_the_peer_is_back(
    error_queue: bool, node: homing.Node, probe: Probe, lost: Lost
) -> None:
    client, alias = await open_client(probe, lost, error_queue=error_queue)
    for _ in range(3):
        with pytest.raises(gen.PeerRefused):
            await node.call(alias, b"anybody there?")
        await asyncio.sleep(0)
    lost.back()
    task, source = await asked(node, alias, lost, b"question")
    lost.send(b"answer", source)
    assert (await task).data == b"answer"
    check_account(client)


async def test_an_error_of_an_earlier_datagram_costs_no_other(probe: Probe, lost: Lost) -> None:
    client, alias = await open_client(probe, lost)

    def send_all(actor: Any) -> None:
        for number in range(100):
            actor.send(alias, bytes(number))  # of different lengths, so that none go joined

    await probe.do(send_all)
    await eventually(lambda: client.statistics().packets_out == 100)
    assert client.statistics().send_errors == {}
    lost.back()
    await probe.do(send_all)
    assert [len((await lost.receive())[0]) for _ in range(100)] == list(range(100))
    assert client.statistics().send_errors == {}


async def test_an_error_that_the_next_send_meets_fails_those_before_it_and_not_itself(
    node: homing.Node, probe: Probe, lost: Lost
) -> None:
    client, alias = await open_client(probe, lost)

    async def both(actor: Any) -> tuple[Any, ...]:
        before = asyncio.ensure_future(node.call(alias, b"before", timeout=PATIENT))
        await asyncio.sleep(0)  # it is sent, and refused, which nobody has read yet
        lost.back()
        after = asyncio.ensure_future(node.call(alias, b"after", timeout=PATIENT))
        await asyncio.wait([before])
        data, source = await lost.receive()
        lost.send(b"re " + data, source)
        return before.exception(), await after

    error, reply = await probe.do(both)
    assert isinstance(error, gen.PeerRefused)
    assert reply.data == b"re after"
    assert client.statistics().send_errors == {}


@pytest.mark.parametrize("error_queue", QUEUES)
async def test_a_reply_that_came_before_the_error_is_an_answer(
    error_queue: bool, node: homing.Node, probe: Probe
) -> None:
    with Lost() as peer:
        peer.back()
        client, alias = await open_client(probe, peer, key=by_id, error_queue=error_queue)
        first, source = await asked(node, alias, peer, b"01")

        async def refuse(actor: Any) -> None:
            peer.send(b"01 answer", source)
            peer.socket.close()

        await refuse(None)
        second = ask(node, alias, b"02")
        assert (await first).data == b"01 answer"
        with pytest.raises(gen.PeerRefused):
            await second
        check_account(client)


async def test_who_has_asked_for_errors_is_told_of_what_was_only_sent(
    node: homing.Node, probe: Probe, lost: Lost
) -> None:
    client, alias = await open_client(probe, lost, on_error=probe.pid)
    node.send(alias, b"hello")
    report = await probe.get()
    assert isinstance(report, meta.MessageUDPError)
    assert (report.id, report.addr, report.errno, report.origin) == (alias, lost.address, errno.ECONNREFUSED, "icmp")
    await eventually(lambda: client.statistics().icmp_errors == {"ECONNREFUSED": 1})


async def test_with_an_error_queue_a_client_that_is_not_connected_is_told_as_well(
    node: homing.Node, probe: Probe, peer: UDPPeer, lost: Lost
) -> None:
    client, alias = await open_client(probe, peer, connected=False, error_queue=True, key=by_id, local_host=HOST)
    alive, source = await asked(node, alias, peer, b"01")
    with pytest.raises(gen.PeerRefused):
        await node.call(alias, meta.UDPRequest(b"02", to=lost.address), timeout=PATIENT)
    peer.send(b"01", source)
    assert (await alive).data == b"01"
    check_account(client)


# --- what this machine refuses ------------------------------------------------------------------------------


async def test_a_datagram_that_is_too_long_fails_its_request_only(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer)
    good, source = await asked(node, alias, peer, b"good")
    with pytest.raises(gen.PeerUnreachable, match="send less") as caught:
        await node.call(alias, bytes(65508))
    assert caught.value.errno == errno.EMSGSIZE
    peer.send(b"answer", source)
    assert (await good).data == b"answer"
    assert client.statistics().send_errors == {"EMSGSIZE": 1}
    await counted(client, refused=1, answered=1)
    check_account(client)


def made(command: str, address: tuple[Any, ...], **options: Any) -> meta.UDPClient:
    return in_network(command, lambda: create_client(address, **options))


@needs_namespaces
@pytest.mark.parametrize("error_queue", QUEUES)
async def test_a_network_that_is_unreachable_fails_a_request_at_once(
    error_queue: bool, node: homing.Node, probe: Probe
) -> None:
    client = made("ip link set lo up", ("192.0.2.1", 9), connected=False, error_queue=error_queue)
    alias = await probe.do(lambda actor: actor.spawn_meta(client))
    with pytest.raises(gen.PeerUnreachable, match="no route") as caught:
        await node.call(alias, b"question", timeout=PATIENT)
    assert caught.value.errno == errno.ENETUNREACH
    assert caught.value.address == "192.0.2.1:9"
    await counted(client, refused=1, open=0)


@pytest.mark.once
@needs_namespaces
def test_a_connected_client_to_an_unreachable_network_is_not_made() -> None:
    with pytest.raises(gen.ConnectFailed, match="no route") as caught:
        made("ip link set lo up", ("192.0.2.1", 9))
    assert caught.value.errno == errno.ENETUNREACH


REJECTS = {"icmp-admin-prohibited": errno.EHOSTUNREACH, "icmp-proto-unreachable": errno.ENOPROTOOPT}


@needs_namespaces
@pytest.mark.skipif(shutil.which("iptables") is None, reason="iptables is not installed")
@pytest.mark.parametrize("kind", REJECTS)
async def test_a_firewall_that_says_so_fails_every_open_request_at_once(
    kind: str, node: homing.Node, probe: Probe
) -> None:
    command = f"ip link set lo up; iptables -A INPUT -p udp --dport 9 -j REJECT --reject-with {kind}"
    client = made(command, (HOST, 9))
    alias = await probe.do(lambda actor: actor.spawn_meta(client))
    outcomes = await asyncio.gather(*[ask(node, alias, b"%d" % number) for number in range(10)], return_exceptions=True)
    assert {(type(outcome), getattr(outcome, "errno", None)) for outcome in outcomes} == {
        (gen.PeerUnreachable, REJECTS[kind])
    }
    assert client.statistics().send_errors == {}
    check_account(client)


# --- the length of the path -------------------------------------------------------------------------------


def too_long(client: meta.UDPClient, mtu: int) -> Callable[[], None]:
    """What the system tells when a router has said that packets over `mtu` octets do not pass."""
    error = OSError(errno.EMSGSIZE, "Message too long")
    report = meta.MessageUDPError(None, client.peer_address, errno.EMSGSIZE, b"", error, "icmp", mtu=mtu)
    return lambda: client._exchange.report(report)


async def test_what_was_too_long_for_the_path_is_sent_again_at_once_and_the_rest_is_not(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, key=by_id, retries=1)
    long, source = await asked(node, alias, peer, b"01" + bytes(1000))
    short, _ = await asked(node, alias, peer, b"02" + bytes(100))
    too_long(client, 600)()
    assert len((await peer.receive())[0]) == 1002
    await counted(client, retransmits=1, open=2)
    too_long(client, 600)()
    with pytest.raises(gen.PeerUnreachable) as caught:
        await long
    assert caught.value.errno == errno.EMSGSIZE
    peer.send(b"02", source)
    assert (await short).data == b"02"
