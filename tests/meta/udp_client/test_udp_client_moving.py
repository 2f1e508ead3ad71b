"""The address of this machine changes while a client is connected: it continues from the new one."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import homing
from homing import gen, meta

from ...faults.networks import Network, linked
from ...support import Probe, UDPPeer
from ..servers import needs_namespaces
from .clients import PATIENT, asked, check_account, create_client

pytestmark = [pytest.mark.backends, pytest.mark.loops, needs_namespaces]

ADDRESSES = {4: ("10.77.0.1/24", "10.77.0.2/24"), 6: ("fd77::1/64", "fd77::2/64")}
SECOND = {4: "10.77.0.5", 6: "fd77::5"}
LENGTH = {4: 24, 6: 64}


def plain(address: str) -> str:
    return address.partition("/")[0]


@contextmanager
def two_machines(version: int) -> Iterator[tuple[Network, UDPPeer]]:
    """A machine for the client, and a peer on another one."""
    options = "nodad" if version == 6 else ""
    with linked(ADDRESSES[version], options) as (here, there), there.do(UDPPeer, plain(ADDRESSES[version][1])) as peer:
        yield here, peer


def drop(here: Network, version: int) -> None:
    here.run(f"ip addr del {ADDRESSES[version][0]} dev va")


def take(here: Network, version: int) -> None:
    here.run(f"ip addr add {SECOND[version]}/{LENGTH[version]} dev va {'nodad' if version == 6 else ''}")


async def opened(here: Network, probe: Probe, peer: UDPPeer, **options: Any) -> tuple[meta.UDPClient, gen.Alias]:
    client = here.do(create_client, peer.address, **options)
    return client, await probe.do(lambda actor: actor.spawn_meta(client))


async def answered(node: homing.Node, alias: gen.Alias, peer: UDPPeer, data: bytes) -> Any:
    """Asks, and returns where the question came from when it has been answered."""
    task, source = await asked(node, alias, peer, data)
    peer.send(b"re " + data, source)
    assert (await task).data == b"re " + data
    return source


@pytest.mark.parametrize("error_queue", [False, True])
@pytest.mark.parametrize("version", [4, 6])
async def test_a_client_goes_on_from_the_new_address_and_keeps_its_port(
    version: int, error_queue: bool, node: homing.Node, probe: Probe
) -> None:
    with two_machines(version) as (here, peer):
        client, alias = await opened(here, probe, peer, error_queue=error_queue, timeout=0.2, retries=20, backoff=1)
        first = await answered(node, alias, peer, b"before")
        drop(here, version)
        take(here, version)
        if version == 6:  # the system goes on sending from the address that has ended: only silence tells
            task, _ = await asked(node, alias, peer, b"after")
            source = first
            while source[0] != SECOND[version]:
                _, source = await peer.receive()
            peer.send(b"re after", source)
            assert (await task).data == b"re after"
        else:
            source = await answered(node, alias, peer, b"after")
        assert source[0] == SECOND[version] == client.local_address[0]
        assert source[1] == first[1] == client.local_address[1]
        assert await answered(node, alias, peer, b"again") == source
        assert client.statistics().reconnects == 1
        check_account(client)


@pytest.mark.parametrize("version", [4, 6])
async def test_while_there_is_no_route_requests_fail_at_once_and_then_are_answered(
    version: int, node: homing.Node, probe: Probe
) -> None:
    with two_machines(version) as (here, peer):
        client, alias = await opened(here, probe, peer)
        await answered(node, alias, peer, b"before")
        drop(here, version)
        for _ in range(3):
            with pytest.raises(gen.PeerUnreachable) as caught:
                await node.call(alias, b"nowhere", timeout=PATIENT)
            assert caught.value.errno == errno.ENETUNREACH
        take(here, version)
        source = await answered(node, alias, peer, b"after")
        assert source[0] == SECOND[version]
        check_account(client)


async def test_an_outage_alone_changes_nothing_and_a_reply_that_was_under_way_arrives(
    node: homing.Node, probe: Probe
) -> None:
    with two_machines(4) as (here, peer):
        client, alias = await opened(here, probe, peer, key=lambda data: data[-1:])
        pending, source = await asked(node, alias, peer, b"question 1")
        here.run("ip route del 10.77.0.0/24 dev va")
        with pytest.raises(gen.PeerUnreachable):
            await node.call(alias, b"question 2", timeout=PATIENT)
        here.run("ip route add 10.77.0.0/24 dev va")
        peer.send(b"answer 1", source)
        assert (await pending).data == b"answer 1"
        assert await answered(node, alias, peer, b"question 3") == source
        assert client.statistics().reconnects == 0


async def test_a_client_with_an_address_of_its_own_keeps_that(node: homing.Node, probe: Probe) -> None:
    with two_machines(4) as (here, peer):
        client, alias = await opened(here, probe, peer, local_host="10.77.0.1")
        await answered(node, alias, peer, b"before")
        drop(here, 4)
        take(here, 4)
        with pytest.raises(gen.PeerUnreachable):
            await node.call(alias, b"question", timeout=PATIENT)
        here.run("ip addr add 10.77.0.1/24 dev va")
        assert (await answered(node, alias, peer, b"back"))[0] == "10.77.0.1"
        assert client.statistics().reconnects == 0


async def test_who_writes_to_a_client_that_was_connected_again_is_not_taken_for_its_peer(
    node: homing.Node, probe: Probe
) -> None:
    with two_machines(4) as (here, peer):
        client, alias = await opened(here, probe, peer, key=lambda data: data[-1:])
        await answered(node, alias, peer, b"before")
        drop(here, 4)
        with pytest.raises(gen.PeerUnreachable):  # dissolved: there is no route
            await node.call(alias, b"nowhere", timeout=PATIENT)
        with here.do(UDPPeer) as forger:
            forger.send(b"forged 1", ("127.0.0.1", client.local_address[1]))
            take(here, 4)
            task, source = await asked(node, alias, peer, b"after 1")
            forger.send(b"forged 1", ("127.0.0.1", client.local_address[1]))
            peer.send(b"answer 1", source)
            assert (await task).data == b"answer 1"
        assert client.statistics().stray == client.statistics().dropped_stray >= 1
        assert client.statistics().delivered == 0
        check_account(client)


async def test_a_peer_that_is_never_reached_does_not_keep_the_client_connecting(
    node: homing.Node, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    with two_machines(4) as (here, peer):
        client, alias = await opened(here, probe, peer)
        drop(here, 4)
        association = client._exchange._endpoint.association
        tries = []
        monkeypatch.setattr(association, "_connect", lambda: tries.append(1) or False)
        began = asyncio.get_running_loop().time()
        for _ in range(500):
            with pytest.raises(gen.PeerUnreachable):
                await node.call(alias, b"nowhere", timeout=PATIENT)
        seconds = asyncio.get_running_loop().time() - began
        assert len(tries) <= 2 + seconds / 0.1
