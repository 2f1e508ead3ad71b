"""A peer given by name: when the client fails, the name is looked up again, and not too often."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from typing import Any

import pytest

import homing
from homing import gen, meta
from homing.meta.udp_client import destination

from ...support import Probe, UDPPeer, eventually
from ..servers import error_of
from .clients import ask, by_id, check_account, counted
from .test_udp_client_fallback import HOSTS, Peers, names, start

__all__ = ["names"]

pytestmark = [
    pytest.mark.backends,
    pytest.mark.skipif(sys.platform != "linux", reason="what the system tells differs elsewhere"),
]

NAME = "peer.example"


@pytest.fixture
def looked_up(names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hosts that were looked up; as often as they like."""
    monkeypatch.setattr(destination, "LOOK_UP_SECONDS", 0.0)
    found: list[str] = []
    resolve = asyncio.BaseEventLoop.getaddrinfo

    async def counting(self: Any, host: str, port: int, **more: Any) -> Any:
        found.append(host)
        return await resolve(self, host, port, **more)

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", counting)
    return found


async def answer(node: homing.Node, alias: gen.Alias, peer: UDPPeer, data: bytes) -> None:
    """Asks, and has it answered by `peer`."""
    task = ask(node, alias, data)
    got, source = await peer.receive()
    assert got == data
    peer.send(data, source)
    assert (await task).data == data


@pytest.mark.parametrize("ports", [1, 4])
@pytest.mark.parametrize("error_queue", [False, True])
async def test_a_client_whose_peer_is_gone_finds_it_where_its_name_leads_now(
    node: homing.Node,
    probe: Probe,
    names: dict[str, list[str]],
    looked_up: list[str],
    ports: int,
    error_queue: bool,
) -> None:
    names[NAME] = HOSTS[:1]
    with Peers(*HOSTS[:2]) as peers:
        client, alias = await start(probe, peers.port, error_queue=error_queue, ports=ports, key=by_id)
        for number in range(4):
            await answer(node, alias, peers.at(HOSTS[0]), b"%02d" % number)
        names[NAME] = HOSTS[1:2]
        peers.at(HOSTS[0]).socket.close()
        assert isinstance(await error_of(ask(node, alias, b"99")), gen.PeerRefused)
        await eventually(lambda: client.peer_address[0] == HOSTS[1])
        for number in range(4):
            await answer(node, alias, peers.at(HOSTS[1]), b"%02d" % number)
        await counted(client, requests=9, answered=8, refused=1, open=0)
        assert looked_up == [NAME, NAME]
        check_account(client)


async def test_after_so_many_requests_in_a_row_without_a_reply_the_name_is_looked_up_again(
    node: homing.Node, probe: Probe, names: dict[str, list[str]], looked_up: list[str]
) -> None:
    names[NAME] = HOSTS[:1]
    with Peers(*HOSTS[:2]) as peers:
        client, alias = await start(probe, peers.port, timeout=0.02, retries=0)
        first = peers.at(HOSTS[0])
        for _ in range(2):
            for _ in range(destination.TIMEOUTS - 1):
                assert isinstance(await error_of(ask(node, alias, b"?")), gen.RequestTimeout)
                await first.receive()
            await answer_in_time(node, alias, first)
        assert looked_up == [NAME]
        names[NAME] = HOSTS[1:2]
        for _ in range(destination.TIMEOUTS):
            assert isinstance(await error_of(ask(node, alias, b"?")), gen.RequestTimeout)
        await eventually(lambda: client.peer_address[0] == HOSTS[1])
        assert looked_up == [NAME, NAME]


async def answer_in_time(node: homing.Node, alias: gen.Alias, peer: UDPPeer) -> None:
    task = ask(node, alias, meta.UDPRequest(b"in time", timeout=60.0))
    _, source = await peer.receive()
    peer.send(b"here", source)
    assert (await task).data == b"here"


async def test_what_is_open_is_asked_where_the_name_leads_now(
    node: homing.Node, probe: Probe, names: dict[str, list[str]], looked_up: list[str]
) -> None:
    names[NAME] = HOSTS[:1]
    with Peers(*HOSTS[:2]) as peers:
        client, alias = await start(probe, peers.port)
        waiting = ask(node, alias, b"waits")
        await peers.at(HOSTS[0]).receive()
        names[NAME] = HOSTS[1:2]
        for _ in range(destination.TIMEOUTS):
            error = await error_of(ask(node, alias, meta.UDPRequest(b"?", timeout=0.01, retries=0)))
            assert isinstance(error, gen.RequestTimeout)
        second = peers.at(HOSTS[1])
        data, source = await second.receive()
        second.send(b"here", source)
        assert (data, (await waiting).data) == (b"waits", b"here")
        await counted(client, requests=4, answered=1, timeouts=3, open=0)


@pytest.mark.parametrize("reconnects", [1, 0])
async def test_when_this_machine_has_another_address_or_no_route_the_name_is_looked_up_again(
    node: homing.Node, probe: Probe, names: dict[str, list[str]], looked_up: list[str], reconnects: int
) -> None:
    names[NAME] = HOSTS[:1]
    with Peers(*HOSTS[:2]) as peers:
        client, _ = await start(probe, peers.port)
        names[NAME] = HOSTS[1:2]
        association = client._exchange._endpoint.association  # type: ignore[union-attr]
        association.changes += reconnects
        association.is_dissolved = not reconnects
        association.on_change()
        await eventually(lambda: client.peer_address[0] == HOSTS[1])
        assert client.statistics().reconnects == reconnects


async def test_a_peer_that_its_name_still_leads_to_is_kept(
    node: homing.Node, probe: Probe, names: dict[str, list[str]], looked_up: list[str]
) -> None:
    names[NAME] = HOSTS[:1]
    with Peers(*HOSTS[:2]) as peers:
        client, alias = await start(probe, peers.port)
        await answer(node, alias, peers.at(HOSTS[0]), b"one")
        names[NAME] = [HOSTS[1], HOSTS[0]]
        local = client.local_address
        peers.at(HOSTS[0]).socket.close()
        assert isinstance(await error_of(ask(node, alias, b"two")), gen.PeerRefused)
        await eventually(lambda: looked_up == [NAME, NAME])
        assert isinstance(await error_of(ask(node, alias, b"three")), gen.PeerRefused)
        assert (client.peer_address[0], client.local_address) == (HOSTS[0], local)


async def test_a_client_that_fails_all_the_time_looks_up_once_in_the_interval(
    node: homing.Node,
    probe: Probe,
    names: dict[str, list[str]],
    looked_up: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names[NAME] = HOSTS[:1]
    with Peers() as peers:
        _, alias = await start(probe, peers.port)
        monkeypatch.setattr(destination, "LOOK_UP_SECONDS", 30.0)
        for _ in range(20):
            assert isinstance(await error_of(ask(node, alias, b"?")), gen.PeerRefused)
        assert looked_up == [NAME, NAME]


async def test_a_name_that_cannot_be_resolved_any_more_changes_nothing(
    node: homing.Node,
    probe: Probe,
    names: dict[str, list[str]],
    looked_up: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    names[NAME] = HOSTS[:1]
    with Peers() as peers:
        client, alias = await start(probe, peers.port)

        async def fail(*_: Any, **__: Any) -> Any:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", fail)
        for _ in range(2):
            assert isinstance(await error_of(ask(node, alias, b"?")), gen.PeerRefused)
        await eventually(lambda: "looking peer.example up again failed" in caplog.text)
        assert client.peer_address[0] == HOSTS[0]


async def test_a_client_that_ends_waits_for_no_name(
    node: homing.Node,
    probe: Probe,
    names: dict[str, list[str]],
    looked_up: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names[NAME] = HOSTS[:1]
    with Peers() as peers:
        _, alias = await start(probe, peers.port)
        asked, cancelled = asyncio.Event(), asyncio.Event()

        async def hang(*_: Any, **__: Any) -> None:
            asked.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", hang)
        assert isinstance(await error_of(ask(node, alias, b"?")), gen.PeerRefused)
        await asked.wait()
        await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateNormal))
        await cancelled.wait()


# --- several ports, several addresses -----------------------------------------------------------------------


async def test_all_ports_go_on_with_the_next_address_as_soon_as_one_is_refused(
    node: homing.Node, probe: Probe, names: dict[str, list[str]]
) -> None:
    names[NAME] = HOSTS[:2]
    with Peers(HOSTS[1]) as peers:
        client, alias = await start(probe, peers.port, ports=4, key=by_id)
        tasks = {b"%02d" % number: ask(node, alias, b"%02d" % number) for number in range(20)}
        second = peers.at(HOSTS[1])
        for _ in tasks:
            data, source = await second.receive()
            second.send(data, source)
        assert {(await task).data for task in tasks.values()} == set(tasks)
        assert client.peer_address[0] == HOSTS[1]
        node.send(alias, b"only sent")
        assert (await second.receive())[0] == b"only sent"
        await counted(client, requests=20, answered=20, refused=0, open=0)
        assert (await node.inspect_meta(alias, "peer", "ports"))["ports"] == 4
        check_account(client)


async def test_an_answer_at_one_port_shows_the_others_that_the_address_is_the_right_one(
    node: homing.Node, probe: Probe, names: dict[str, list[str]]
) -> None:
    names[NAME] = HOSTS[:2]
    with Peers(*HOSTS[:2]) as peers:
        client, alias = await start(probe, peers.port, ports=8, key=by_id)
        await answer(node, alias, peers.at(HOSTS[0]), b"01")
        peers.at(HOSTS[0]).socket.close()
        for number in range(2, 30):
            assert isinstance(await error_of(ask(node, alias, b"%02d" % number)), gen.PeerRefused)
        assert client.peer_address[0] == HOSTS[0]
        check_account(client)


async def test_what_comes_unasked_from_the_next_address_goes_to_the_owner(
    node: homing.Node, probe: Probe, names: dict[str, list[str]]
) -> None:
    names[NAME] = HOSTS[:2]
    with Peers(HOSTS[1]) as peers:
        client, alias = await start(probe, peers.port)
        await answer(node, alias, peers.at(HOSTS[1]), b"question")
        peers.at(HOSTS[1]).send(b"news", client.local_address)
        assert (await probe.get()).data == b"news"
        check_account(client)


async def test_a_request_whose_key_is_taken_at_the_next_address_fails_and_the_other_one_does_not(
    node: homing.Node, probe: Probe, names: dict[str, list[str]]
) -> None:
    names[NAME] = HOSTS[:2]
    with Peers(HOSTS[1]) as peers:
        client, alias = await start(probe, peers.port, connected=False, error_queue=True, key=by_id)
        there = ask(node, alias, meta.UDPRequest(b"01 there", to=(HOSTS[1], peers.port)))
        second = peers.at(HOSTS[1])
        _, source = await second.receive()
        here, other = ask(node, alias, b"01 here"), ask(node, alias, b"02 here")
        assert isinstance(await error_of(here), gen.RequestKeyTaken)
        data, moved = await second.receive()
        second.send(data, moved)
        assert (data, (await other).data) == (b"02 here", b"02 here")
        await counted(client, requests=3, answered=1, failed=1, open=1)
        task = ask(node, alias, b"03")
        data, moved = await second.receive()
        assert data == b"03"
        second.send(b"01 there", moved)
        assert (await there).data == b"01 there"
        second.send(b"03", moved)
        await task
        check_account(client)
        assert source != moved


async def test_a_request_whose_id_is_taken_at_the_next_address_gets_another_one(
    node: homing.Node, probe: Probe, names: dict[str, list[str]]
) -> None:
    names[NAME] = HOSTS[:2]
    with Peers(HOSTS[1]) as peers:
        tiny = meta.RequestId(size=1)
        client, alias = await start(probe, peers.port, connected=False, error_queue=True, id=tiny)
        second = peers.at(HOSTS[1])
        there = [ask(node, alias, meta.UDPRequest(b"\0there", to=(HOSTS[1], peers.port))) for _ in range(200)]
        for _ in there:
            await second.receive()
        here = [ask(node, alias, b"\0here %02d" % number) for number in range(50)]
        moved = [await second.receive() for _ in here]
        for number in range(256):
            second.send(bytes([number]) + b"answer", moved[0][1])
        assert {(await task).data for task in (*here, *there)} == {b"\0answer"}
        assert sorted(data[1:] for data, _ in moved) == [b"here %02d" % number for number in range(50)]
        check_account(client)


async def test_a_question_that_callers_share_moves_to_the_next_address_once(
    node: homing.Node, probe: Probe, names: dict[str, list[str]]
) -> None:
    names[NAME] = HOSTS[:2]
    with Peers(HOSTS[1]) as peers:
        client, alias = await start(probe, peers.port, error_queue=True, id=meta.RequestId(), coalesce=bytes)
        tasks = [ask(node, alias, bytes([0, number]) + b"question") for number in range(5)]
        second = peers.at(HOSTS[1])
        data, source = await second.receive()
        second.send(data, source)
        assert [(await task).data for task in tasks] == [bytes([0, number]) + b"question" for number in range(5)]
        await counted(client, requests=5, shared=4, answered=5, open=0, duplicate=0)
        with pytest.raises(BlockingIOError):
            second.socket.recvfrom(100)
        check_account(client)
