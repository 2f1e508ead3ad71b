"""A client that draws the ids of its requests: callers may choose what ids they like, and see no other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import gen, meta

from ...support import Probe, UDPPeer, free_port
from ..servers import error_of
from .clients import ask, asked, check_account, counted, open_client

pytestmark = [pytest.mark.backends, pytest.mark.loops]

ID = meta.RequestId(at=0, size=2)
TINY = meta.RequestId(at=0, size=1)


async def receive(peer: UDPPeer, count: int) -> list[tuple[bytes, Any]]:
    return [await peer.receive() for _ in range(count)]


async def test_two_hundred_callers_with_equal_ids_each_get_their_own_answer(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, id=ID)
    tasks = [ask(node, alias, b"\0\7%03d?" % number) for number in range(200)]
    questions = await receive(peer, 200)
    assert len({data[:2] for data, _ in questions}) == 200
    for data, source in reversed(questions):
        peer.send(data[:-1] + b"!", source)
    assert [(await task).data for task in tasks] == [b"\0\7%03d!" % number for number in range(200)]
    await counted(client, requests=200, answered=200, replies=200, stray=0, rejected=0, shared=0)
    check_account(client)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_the_id_is_written_into_a_copy(kind: Any, node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    _, alias = await open_client(probe, peer, id=meta.RequestId(at=3, size=4))
    data = kind(bytearray(b"abcIDIDefg"))
    task = ask(node, alias, data)
    sent, source = await peer.receive()
    assert (sent[:3], sent[7:]) == (b"abc", b"efg")
    assert bytes(data) == b"abcIDIDefg"
    peer.send(b"xyz" + sent[3:7] + b"!", source)
    assert (await task).data == b"xyzIDID!"


async def test_a_request_that_is_sent_again_is_the_same_question(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, id=ID, timeout=0.05, retries=2, backoff=1)
    error = await error_of(ask(node, alias, b"\0\0question"))
    assert isinstance(error, gen.RequestTimeout)
    assert error.attempts == 3
    assert len({data for data, _ in await receive(peer, 3)}) == 1
    check_account(client)


async def test_a_reply_with_another_id_or_too_short_for_one_answers_nothing(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, id=meta.RequestId(at=2), stray="drop")
    task = ask(node, alias, b"q?\0\0")
    sent, source = await peer.receive()
    wrong = sent[:3] + bytes([sent[3] ^ 1])
    for data in (wrong, b"", b"q", sent[:3], b"q?\0\0" if sent != b"q?\0\0" else wrong):
        peer.send(data, source)
    await counted(client, stray=5, guesses=5, open=1)
    peer.send(sent, source)
    assert (await task).data == b"q?\0\0"
    check_account(client)


async def test_the_right_id_from_another_address_answers_nothing(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    with UDPPeer() as other:
        client, alias = await open_client(probe, peer, id=ID, connected=False, local_host="127.0.0.1")
        task = ask(node, alias, b"\0\0question")
        sent, source = await peer.receive()
        other.send(sent, source)
        await counted(client, stray=1, dropped_stray=1, open=1)
        peer.send(sent, source)
        assert (await task).addr == peer.address
        check_account(client)


async def test_a_truncated_reply_has_the_callers_id_too(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_client(probe, peer, id=ID, buffer_size=16)
    task = ask(node, alias, b"\1\2question")
    sent, source = await peer.receive()
    peer.send(sent + bytes(100), source)
    reply = await task
    assert reply.truncated
    assert reply.data == b"\1\2question" + bytes(6)
    assert (reply.addr, reply.id) == (peer.address, alias)
    check_account(client)


async def test_packet_info_stays_with_the_reply(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    _, alias = await open_client(probe, peer, id=ID, receive_ttl=True)
    task = ask(node, alias, b"\1\2question")
    sent, source = await peer.receive()
    peer.send(sent, source)
    info = (await task).info
    assert info is None or info.ttl


async def test_a_request_without_room_for_an_id_is_refused(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_client(probe, peer, id=meta.RequestId(at=2, size=4))
    for data in (b"", b"12345", meta.UDPRequest(b"12345")):
        with pytest.raises(gen.BadOption, match=r"^id=RequestId\(at=2, size=4\): .*6 bytes"):
            await node.call(alias, data)
    await counted(client, rejected=3, requests=0, packets_out=0)


async def test_replies_that_are_collected_have_the_callers_id(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_client(probe, peer, id=ID)
    task = ask(node, alias, meta.UDPRequest(b"\1\2question", collect=2))
    sent, source = await peer.receive()
    for data in (sent + b"1", sent + b"1", sent + b"2"):
        peer.send(data, source)
    assert [reply.data for reply in await task] == [b"\1\2question1", b"\1\2question2"]
    await counted(client, duplicate=1)
    check_account(client)


async def test_an_icmp_error_fails_requests_as_ever(node: homing.Node, probe: Probe) -> None:
    with UDPPeer() as gone:
        gone.address = ("127.0.0.1", free_port())
        client, alias = await open_client(probe, gone, id=ID, error_queue=True)
        tasks = [ask(node, alias, b"\0\0question") for _ in range(5)]
        assert {type(await error_of(task)) for task in tasks} == {gen.PeerRefused}
        await counted(client, refused=5, open=0)
        check_account(client)


# --- few ids --------------------------------------------------------------------------------------------------


async def open_all(
    node: homing.Node, alias: gen.Alias, peer: UDPPeer, to: Any = None
) -> dict[bytes, asyncio.Task[Any]]:
    """Opens 256 requests. Returns them by the id in which they were sent."""
    opened = {}
    for _ in range(256):
        task = ask(node, alias, meta.UDPRequest(b"\0question", to=to))
        opened[(await peer.receive())[0][:1]] = task
    return opened


async def test_a_request_that_finds_all_ids_in_use_is_refused_until_one_is_free(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, id=TINY)
    opened = await open_all(node, alias, peer)
    assert len(opened) == 256
    with pytest.raises(gen.RequestIdsTaken, match="all 256 ids") as caught:
        await node.call(alias, b"\0one more")
    assert isinstance(caught.value, gen.TooManyRequests)
    assert caught.value.limit == 256
    await counted(client, rejected=1, open=256)
    peer.send(b"\x55answer", client.local_address)
    assert (await opened.pop(b"\x55")).data == b"\0answer"
    given_up = opened.pop(b"\x66")
    given_up.cancel()
    await asyncio.wait([given_up])
    for free in (b"\x55", b"\x66"):  # one that was answered, and one whose caller has gone
        opened[free] = ask(node, alias, b"\0another")
        assert (await peer.receive())[0] == free + b"another"
    await counted(client, rejected=1, open=256, answered=1, cancelled=1)
    check_account(client)
    await cancel(opened.values())


async def cancel(tasks: Any) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_each_address_has_ids_of_its_own(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    with UDPPeer() as other:
        client, alias = await open_client(probe, peer, id=TINY, connected=False, local_host="127.0.0.1")
        here = await open_all(node, alias, peer)
        there = await open_all(node, alias, other, to=other.address)
        with pytest.raises(gen.RequestIdsTaken, match=str(other.address[1])):
            await node.call(alias, meta.UDPRequest(b"\0one more", to=other.address))
        for drawn in here:
            other.send(drawn + b"there", client.local_address)
            peer.send(drawn + b"here", client.local_address)
            assert (await here[drawn]).data == b"\0here"
            assert (await there[drawn]).data == b"\0there"
        check_account(client)


async def test_each_port_has_ids_of_its_own(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_client(probe, peer, id=TINY, ports=2)
    tasks = []
    for _ in range(512):
        tasks.append(ask(node, alias, b"\0question"))
        await peer.receive()
    with pytest.raises(gen.RequestIdsTaken):
        await node.call(alias, b"\0one more")
    await counted(client, open=512, rejected=1)
    check_account(client)
    await cancel(tasks)


async def test_an_id_is_not_drawn_again_soon_after_a_timeout(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_client(probe, peer, id=TINY, timeout=0.001, retries=0)
    drawn = []
    for _ in range(129):
        await error_of(ask(node, alias, b"\0question"))
        drawn.append((await peer.receive())[0][0])
    assert len(set(drawn)) == 129
    peer.send(bytes([drawn[-1]]) + b"late", client.local_address)
    await counted(client, timeouts=129, late=1)


# --- a match as well ------------------------------------------------------------------------------------------


def same_question(request: bytes, reply: meta.MessageUDP) -> object:
    if reply.data.endswith(b"raise"):
        raise ValueError("no such reply")
    if reply.data.endswith(b"wait"):
        return meta.HEARD
    return request[:2] == reply.data[:2] and request[2:] == reply.data[2 : len(request)]


@pytest.fixture(params=["options", "request"])
def way(request: pytest.FixtureRequest) -> Any:
    return request.param


async def confirmed(
    way: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> tuple[meta.UDPClient, asyncio.Task[Any], bytes, Any]:
    """Asks a question whose `match` compares questions."""
    client, alias = await open_client(
        probe, peer, id=ID, stray="drop", match=same_question if way == "options" else None
    )
    task = ask(node, alias, meta.UDPRequest(b"\1\2one", match=same_question if way == "request" else None))
    sent, source = await peer.receive()
    return client, task, sent[:2], source


async def test_with_a_match_the_right_id_is_not_enough(
    way: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, task, drawn, source = await confirmed(way, node, probe, peer)
    peer.send(drawn + b"two: forged", source)
    await counted(client, stray=1, guesses=1, open=1)
    peer.send(drawn + b"one: right", source)
    assert (await task).data == b"\1\2one: right"
    check_account(client)


async def test_a_match_that_raises_fails_its_request(way: str, node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, task, drawn, source = await confirmed(way, node, probe, peer)
    peer.send(drawn + b"raise", source)
    assert isinstance(await error_of(task), gen.MatchFailed)
    await counted(client, failed=1, open=0)
    check_account(client)


async def test_a_match_may_say_that_the_answer_comes_later(
    way: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, task, drawn, source = await confirmed(way, node, probe, peer)
    peer.send(drawn + b"wait", source)
    await counted(client, heard=1, open=1)
    peer.send(drawn + b"one", source)
    assert (await task).data == b"\1\2one"
    check_account(client)


# --- guesses --------------------------------------------------------------------------------------------------


async def test_too_many_wrong_ids_raise_the_alarm(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_client(probe, peer, id=ID, guess_alarm=20, stray="drop")
    task = ask(node, alias, b"\0\0question")
    sent, source = await peer.receive()
    right = int.from_bytes(sent[:2])
    for number in range(1, 21):
        peer.send((right ^ number).to_bytes(2) + b"forged", source)
    await counted(client, guesses=20, alarms=1, open=1)
    peer.send(sent, source)
    assert isinstance(await error_of(task), gen.SpoofingSuspected)
    check_account(client)


async def test_ids_and_ports_are_drawn_for_each_request(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    _, alias = await open_client(probe, peer, id=ID, ports=16)
    seen = []
    for _ in range(200):
        task, source = await asked(node, alias, peer, b"\0\0question")
        seen.append(source[1])
        task.cancel()
    assert len(set(seen)) >= 16
