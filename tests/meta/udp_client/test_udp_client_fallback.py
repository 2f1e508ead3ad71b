"""A peer with several addresses: they are tried in order, until one answers."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any, Self

import pytest

import homing
from homing import gen, meta

from ...support import Probe, UDPPeer, eventually
from ..servers import error_of
from .clients import ask, by_id, counted, create_client

pytestmark = [
    pytest.mark.backends,
    pytest.mark.skipif(sys.platform != "linux", reason="what the system tells differs elsewhere"),
]

HOSTS = ["127.0.0.1", "127.0.0.2", "::1"]


def family_of(host: str) -> int:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Names, and their addresses, in the order in which the resolver gives them."""
    known: dict[str, list[str]] = {}

    async def resolve(self: Any, host: str, port: int, **_: Any) -> Any:
        return [
            (family_of(each), socket.SOCK_DGRAM, 17, "", (each, port, 0, 0) if ":" in each else (each, port))
            for each in known[host]
        ]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", resolve)
    return known


class Peers:
    """Sockets of one port: on some of the hosts somebody is there, on the others nobody."""

    def __init__(self, *hosts: str) -> None:
        self.sockets = {host: socket.socket(family_of(host), socket.SOCK_DGRAM) for host in HOSTS}
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            probe.bind(("::", 0))
            self.port = probe.getsockname()[1]  # which nobody has, of either family
        for host, sock in self.sockets.items():
            sock.setblocking(False)
            if host in hosts:
                sock.bind((host, self.port))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in self.sockets.values():
            sock.close()

    def at(self, host: str) -> UDPPeer:
        """The peer at an address."""
        peer = UDPPeer.__new__(UDPPeer)
        peer.socket = self.sockets[host]
        return peer


async def start(probe: Probe, port: int, **options: Any) -> tuple[meta.UDPClient, gen.Alias]:
    client = create_client(("peer.example", port), **options)
    return client, await probe.do(lambda actor: actor.spawn_meta(client))


@pytest.mark.parametrize("error_queue", [False, True])
@pytest.mark.parametrize("where", [1, 2])
async def test_the_next_address_is_asked_when_the_first_refuses(
    node: homing.Node, probe: Probe, names: dict[str, list[str]], where: int, error_queue: bool
) -> None:
    names["peer.example"] = HOSTS
    with Peers(HOSTS[where]) as peers:
        client, alias = await start(probe, peers.port, error_queue=error_queue)
        assert client.peer_address[0] == HOSTS[0]
        task = ask(node, alias, b"anybody?")
        peer = peers.at(HOSTS[where])
        data, source = await peer.receive()
        assert data == b"anybody?"
        peer.send(b"here", source)
        assert (await task).data == b"here"
        assert client.peer_address[:2] == (HOSTS[where], peers.port)
        assert client.local_address[:2] == source[:2]
        facts = await node.inspect_meta(alias, "peer", "local", "open")
        assert facts["peer"] == (f"[::1]:{peers.port}" if where == 2 else f"127.0.0.2:{peers.port}")
        statistics = client.statistics()
        assert (statistics.requests, statistics.answered, statistics.refused) == (1, 1, 0)
        assert (statistics.packets_out, statistics.retransmits) == (where + 1, where)
        assert sum(statistics.icmp_errors.values()) == where


async def test_the_first_address_that_answers_is_kept_also_if_it_refuses_later(
    node: homing.Node, probe: Probe, names: dict[str, list[str]]
) -> None:
    names["peer.example"] = HOSTS
    with Peers(*HOSTS) as peers:
        client, alias = await start(probe, peers.port)
        task = ask(node, alias, b"one")
        first = peers.at(HOSTS[0])
        _, source = await first.receive()
        first.send(b"here", source)
        assert (await task).data == b"here"
        first.socket.close()
        assert isinstance(await error_of(ask(node, alias, b"two")), gen.PeerRefused)
        assert client.peer_address[0] == HOSTS[0]


async def test_where_all_addresses_refuse_the_request_is_refused_and_so_is_the_next(
    node: homing.Node, probe: Probe, names: dict[str, list[str]]
) -> None:
    names["peer.example"] = HOSTS
    with Peers() as peers:
        client, alias = await start(probe, peers.port)
        for _ in range(2):
            error = await error_of(ask(node, alias, b"anybody?"))
            assert isinstance(error, gen.PeerRefused)
            assert "::1" in str(error)
        await counted(client, requests=2, refused=2, open=0)


async def test_all_open_requests_go_to_the_next_address_each_once(
    node: homing.Node, probe: Probe, names: dict[str, list[str]]
) -> None:
    names["peer.example"] = HOSTS
    with Peers(HOSTS[2]) as peers:
        client, alias = await start(probe, peers.port, key=by_id)
        questions = [b"%02d?" % number for number in range(20)]
        tasks = [ask(node, alias, question) for question in questions]
        peer = peers.at(HOSTS[2])
        got = [await peer.receive() for _ in questions]
        assert sorted(data for data, _ in got) == questions
        for data, source in got:
            peer.send(data + b"!", source)
        assert [(await task).data for task in tasks] == [question + b"!" for question in questions]
        await counted(client, requests=20, answered=20, open=0, late=0, duplicate=0)
        assert peer.socket.fileno() >= 0
        with pytest.raises(BlockingIOError):
            peer.socket.recv(100)


async def test_what_is_only_sent_goes_to_the_next_address_from_the_refusal_on(
    node: homing.Node, probe: Probe, names: dict[str, list[str]]
) -> None:
    names["peer.example"] = HOSTS[1:]
    with Peers(HOSTS[2]) as peers:
        client, alias = await start(probe, peers.port)
        node.send(alias, b"into nothing")
        await eventually(lambda: client.peer_address[0] == "::1")
        node.send(alias, b"found")
        assert (await peers.at(HOSTS[2]).receive())[0] == b"found"


async def test_a_name_that_leads_to_this_machine_by_no_address_is_left_for_the_next(
    node: homing.Node, probe: Probe, names: dict[str, list[str]]
) -> None:
    """As resolvers give it that are to keep names from being reached."""
    names["peer.example"] = ["0.0.0.0", "127.0.0.2"]
    with Peers(HOSTS[1]) as peers:
        client, alias = await start(probe, peers.port)
        node.send(alias, b"into nothing")
        await eventually(lambda: client.peer_address == ("127.0.0.2", peers.port))


async def test_a_request_that_was_given_up_goes_to_no_other_address(
    node: homing.Node, probe: Probe, names: dict[str, list[str]]
) -> None:
    names["peer.example"] = HOSTS[1:]
    with Peers(HOSTS[2]) as peers:
        client, alias = await start(probe, peers.port)
        task = ask(node, alias, b"given up")
        task.cancel()
        second = ask(node, alias, b"asked")
        peer = peers.at(HOSTS[2])
        data, source = await peer.receive()
        while data != b"asked":
            data, source = await peer.receive()
        peer.send(b"here", source)
        assert (await second).data == b"here"
        await eventually(lambda: client.statistics().open == 0)
