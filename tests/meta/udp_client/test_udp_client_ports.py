"""Requests leave by ports that nobody can foresee, wrong guesses are counted, and too many of them raise the alarm."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import pytest

import homing
from homing import gen, meta
from homing.meta.udp_client import ports as ports_module

from ...support import Probe, UDPPeer, eventually
from ..servers import is_bound
from .clients import ask, asked, by_id, check_account, counted, create_client, open_client

pytestmark = [pytest.mark.backends, pytest.mark.loops]

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a socket keeps its port")


def whole(data: bytes) -> bytes:
    return bytes(data)


async def answered(node: homing.Node, alias: gen.Alias, peer: UDPPeer, data: bytes) -> tuple[Any, ...]:
    """Asks, and returns where the question came from when it has been answered."""
    task, source = await asked(node, alias, peer, data)
    peer.send(data, source)
    assert (await task).data == data
    return tuple(source)


# --- ports ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("connected", [True, False])
async def test_requests_leave_by_as_many_ports_as_are_asked_for_and_replies_find_them(
    connected: bool, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, key=whole, ports=8, connected=connected)
    tasks = [ask(node, alias, b"%03d" % number) for number in range(200)]
    questions = [await peer.receive() for _ in range(200)]
    assert len({source for _, source in questions}) == 8
    for data, source in reversed(questions):
        peer.send(data, source)
    assert [(await task).data for task in tasks] == [b"%03d" % number for number in range(200)]
    assert (client.statistics().requests, client.statistics().answered, client.statistics().open) == (200, 200, 0)
    assert client.statistics().packets_in == 200
    assert (await node.inspect_meta(alias))["ports"] == 8
    check_account(client)


@linux_only
@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_port_that_has_served_moves_to_another_number(
    host: str, connected: bool, node: homing.Node, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports_module, "PORT_SECONDS", 0.0)
    with UDPPeer(host) as peer:
        client, alias = await open_client(probe, peer, key=whole, ports=2, connected=connected)
        sources = [await answered(node, alias, peer, b"%d" % number) for number in range(40)]
        assert len(set(sources)) > 30
        assert {source[0] for source in sources} == {host}
        assert sum(is_bound(("", source[1])) for source in set(sources)) <= 2 + 1  # others of the machine may take one
        assert client.statistics().reconnects == 0
        check_account(client)


@linux_only
async def test_a_port_with_an_open_request_stays_where_it_is(
    node: homing.Node, probe: Probe, peer: UDPPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports_module, "PORT_SECONDS", 0.0)
    client, alias = await open_client(probe, peer, key=whole, ports=2)
    waiting = [await asked(node, alias, peer, b"wait %d" % number) for number in range(6)]
    assert len({source for _, source in waiting}) <= 4
    for number in range(20):
        await answered(node, alias, peer, b"%d" % number)
    for number, (task, source) in enumerate(waiting):
        peer.send(b"wait %d" % number, source)
        assert (await task).data == b"wait %d" % number
    check_account(client)


async def test_a_client_has_one_port_for_life_unless_more_are_asked_for(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, key=whole)
    assert {await answered(node, alias, peer, b"%d" % number) for number in range(20)} == {client.local_address}


async def test_an_answer_to_another_port_is_a_wrong_guess(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_client(probe, peer, key=whole, ports=4, stray="drop")
    task, source = await asked(node, alias, peer, b"question")
    others = [exchange._endpoint.local_address for exchange in client._exchange._exchanges]
    others.remove(source)
    for other in others:
        peer.send(b"question", other)
    await counted(client, stray=3, guesses=3, open=1)
    peer.send(b"question", source)
    assert (await task).addr == peer.address
    check_account(client)


async def test_two_requests_with_the_same_key_go_by_two_ports_and_no_more_than_there_are(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, key=by_id, ports=3)
    same = [await asked(node, alias, peer, b"01 %d" % number) for number in range(3)]
    assert len({source for _, source in same}) == 3
    with pytest.raises(gen.RequestKeyTaken):
        await node.call(alias, b"01 too many")
    for number, (task, source) in enumerate(same):
        peer.send(b"01 re %d" % number, source)
        assert (await task).data == b"01 re %d" % number
    assert (client.statistics().rejected, client.statistics().requests) == (1, 3)
    check_account(client)


async def test_the_bound_of_open_requests_is_that_of_all_ports(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_client(probe, peer, key=whole, ports=4, max_requests=10)
    tasks = [ask(node, alias, b"%d" % number) for number in range(10)]
    await counted(client, open=10)
    with pytest.raises(gen.TooManyRequests):
        await node.call(alias, b"one more")
    tasks[0].cancel()
    await asyncio.wait([tasks[0]])
    tasks.append(ask(node, alias, b"instead"))
    await counted(client, open=10, cancelled=1, rejected=1)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_all_ports_are_closed_with_the_client(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_client(probe, peer, key=whole, ports=4)
    task, _ = await asked(node, alias, peer, b"question")
    addresses = [exchange._endpoint.local_address for exchange in client._exchange._exchanges]
    await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateNormal()))
    with pytest.raises(gen.MetaTerminated):
        await task
    await eventually(lambda: not any(map(is_bound, addresses)))
    with create_client(peer.address, ports=3):
        pass


async def test_what_is_sent_unasked_and_what_comes_unasked_goes_as_with_one_port(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, ports=3)
    await probe.do(lambda actor: actor.send(alias, b"hello"))
    data, source = await peer.receive()
    assert (data, source) == (b"hello", client.local_address)
    peer.send(b"news", source)
    assert (await probe.get()).data == b"news"
    assert await node.call(alias, meta.MessageUDP(None, None, b"four")) == 4


@pytest.mark.once
@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"ports": 0}, "ports"),
        ({"ports": 1.5}, "ports"),
        ({"ports": 2, "local_port": 9}, "local_port"),
        ({"guess_alarm": 0, "key": whole}, "guess_alarm"),
        ({"guess_alarm": 5}, "guess_alarm"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], name: str) -> None:
    with pytest.raises(gen.BadOption, match=name):
        meta.UDPClientOptions(host="127.0.0.1", port=9, **options)


# --- guesses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ports", [1, 4])
async def test_after_as_many_wrong_guesses_a_request_takes_no_reply_and_the_alarm_is_logged(
    ports: int, node: homing.Node, probe: Probe, peer: UDPPeer, caplog: pytest.LogCaptureFixture
) -> None:
    client, alias = await open_client(probe, peer, key=by_id, ports=ports, guess_alarm=20, stray="drop")
    task, source = await asked(node, alias, peer, b"00 question")
    for number in range(1, 31):
        peer.send(b"%02d forged" % number, source)
    await counted(client, guesses=30, alarms=1, open=1)
    peer.send(b"00 forged at last", source)
    with pytest.raises(gen.SpoofingSuspected, match="30 wrong replies") as caught:
        await task
    assert caught.value.guesses == 30
    assert [record.levelno for record in caplog.records if "RFC 5452" in record.message] == [logging.WARNING]
    later, source = await asked(node, alias, peer, b"40 question")
    peer.send(b"41 forged", source)
    peer.send(b"40 answer", source)
    assert (await later).data == b"40 answer"
    await counted(client, failed=1, answered=1, alarms=1)
    check_account(client)


async def test_fewer_guesses_change_nothing(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_client(probe, peer, key=by_id, guess_alarm=20, stray="drop")
    task, source = await asked(node, alias, peer, b"00 question")
    for number in range(1, 20):
        peer.send(b"%02d forged" % number, source)
    peer.send(b"00 answer", source)
    assert (await task).data == b"00 answer"
    await counted(client, guesses=19, alarms=0)


async def test_what_comes_while_nothing_is_open_or_twice_or_from_elsewhere_is_no_guess(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    with UDPPeer() as other:
        client, alias = await open_client(probe, peer, key=by_id, connected=False, stray="drop", local_host="127.0.0.1")
        first, source = await asked(node, alias, peer, b"00 question")
        peer.send(b"00 answer", source)
        await first
        peer.send(b"55 news", source)
        await counted(client, stray=1)
        second, _ = await asked(node, alias, peer, b"01 question")
        peer.send(b"00 answer", source)
        other.send(b"01 forged", source)
        await counted(client, duplicate=1, stray=2, guesses=0, open=1)
        second.cancel()
        await asyncio.wait([second])
