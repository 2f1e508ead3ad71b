"""Which reply answers which request, what becomes of the others, and how requests end."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

import homing
from homing import gen, meta

from ...support import Probe, UDPPeer, eventually
from .clients import PATIENT, Asker, ask, asked, by_id, check_account, counted, open_client

pytestmark = [pytest.mark.backends, pytest.mark.loops]

STRANGER = "127.0.0.9"


def echoes(request: bytes, reply: meta.MessageUDP) -> bool:
    """A match: the reply begins with the request."""
    return reply.data.startswith(request)


# --- whose a reply is -------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"question", bytearray(b"question"), memoryview(b"--question")[2:]])
async def test_a_call_is_answered_with_the_message_of_the_reply(
    data: Any, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer)
    task = ask(node, alias, data)
    assert await peer.receive() == (b"question", client.local_address)
    peer.send(b"answer", client.local_address)
    reply = await task
    assert isinstance(reply, meta.MessageUDP)
    assert (reply.id, reply.addr, reply.data, reply.truncated) == (alias, peer.address, b"answer", False)
    await counted(client, requests=1, answered=1, replies=1, open=0, retransmits=0)


async def test_a_process_asks_from_its_own_callback(probe: Probe, peer: UDPPeer) -> None:
    _, alias = await open_client(probe, peer)
    task = asyncio.create_task(probe.do(lambda actor: actor.call(alias, meta.UDPRequest(b"question"))))
    _, source = await peer.receive()
    peer.send(b"answer", source)
    assert (await task).data == b"answer"


async def test_a_request_is_sent_as_it_was_although_its_buffer_changes(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    _, alias = await open_client(probe, peer, match=echoes)
    buffer = bytearray(b"before")
    task, source = await asked(node, alias, peer, buffer)
    buffer[:] = b"after!"
    peer.send(b"before it", source)
    assert (await task).data == b"before it"


async def test_without_a_key_a_reply_answers_the_oldest_open_request(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer)
    tasks = [(await asked(node, alias, peer, b"%d" % number))[0] for number in range(5)]
    for number in range(5):
        peer.send(b"re %d" % number, client.local_address)
    assert [(await task).data for task in tasks] == [b"re %d" % number for number in range(5)]


@pytest.mark.parametrize("way", ["key", "reply_key", "match", "request"])
async def test_many_requests_each_get_their_own_reply_in_whatever_order(
    way: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    ways: dict[str, dict[str, Any]] = {
        "key": {"key": by_id},
        "reply_key": {"key": by_id, "reply_key": lambda data: data[-2:]},
        "match": {"match": lambda request, reply: request[:2] == reply.data[:2]},
        "request": {},
    }
    client, alias = await open_client(probe, peer, **ways[way])

    def request(number: int) -> Any:
        data = number.to_bytes(2) + b"?"
        return meta.UDPRequest(data, match=echoes) if way == "request" else data

    tasks = [ask(node, alias, request(number)) for number in range(100)]
    questions = [(await peer.receive())[0] for _ in tasks]
    random.Random(1).shuffle(questions)
    for question in questions:
        peer.send(question + b" answer " + question[:2], client.local_address)
    for number, task in enumerate(tasks):
        assert (await task).data[:2] == number.to_bytes(2)
    await counted(client, answered=100, stray=0, late=0, duplicate=0)


async def test_a_match_of_a_request_comes_before_the_clients_key(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, key=by_id)
    keyed, _ = await asked(node, alias, peer, b"01")
    matched, _ = await asked(node, alias, peer, meta.UDPRequest(b"01", match=lambda _, reply: reply.data == b"odd one"))
    peer.send(b"odd one", client.local_address)
    assert (await matched).data == b"odd one"
    peer.send(b"01 even", client.local_address)
    assert (await keyed).data == b"01 even"


async def test_a_key_that_an_open_request_has_is_refused_and_free_again_after_its_end(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, key=by_id)
    first, source = await asked(node, alias, peer, b"01 first")
    with pytest.raises(gen.RequestKeyTaken) as caught:
        await node.call(alias, b"01 second")
    assert caught.value.key == b"01"
    peer.send(b"01 answer", source)
    assert (await first).data == b"01 answer"
    again, _ = await asked(node, alias, peer, b"01 again")
    peer.send(b"01 again", source)
    assert (await again).data == b"01 again"
    await counted(client, rejected=1, requests=2, answered=2)


@pytest.mark.parametrize("key", [by_id, lambda data: None, lambda data: [data]])
async def test_a_request_that_has_no_key_is_refused(key: Any, node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_client(probe, peer, key=key)
    with pytest.raises(gen.MatchFailed, match="key") as caught:
        await node.call(alias, b"1")
    assert isinstance(caught.value.__cause__, (ValueError, TypeError))
    await counted(client, rejected=1, requests=0)


async def test_a_reply_that_has_no_key_belongs_to_none_and_harms_nobody(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, key=by_id)
    task, source = await asked(node, alias, peer, b"01")
    for junk in (b"", b"1", b"\xff"):
        peer.send(junk, source)
    assert [(await probe.get()).data for _ in range(3)] == [b"", b"1", b"\xff"]
    peer.send(b"01 answer", source)
    assert (await task).data == b"01 answer"
    check_account(client)


async def test_a_match_that_raises_fails_its_request_only(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    def broken(request: bytes, reply: meta.MessageUDP) -> bool:
        raise KeyError(request)

    client, alias = await open_client(probe, peer)
    bad, _ = await asked(node, alias, peer, meta.UDPRequest(b"bad", match=broken))
    worse, _ = await asked(node, alias, peer, meta.UDPRequest(b"worse", match=broken))
    good, source = await asked(node, alias, peer, meta.UDPRequest(b"good", match=echoes))
    peer.send(b"good answer", source)
    assert (await good).data == b"good answer"
    for task in (bad, worse):
        with pytest.raises(gen.MatchFailed, match="match raised KeyError") as caught:
            await task
        assert isinstance(caught.value.__cause__, KeyError)
    await counted(client, failed=2, answered=1, open=0)
    check_account(client)


# --- what is no answer ------------------------------------------------------------------------------------


WAYS: dict[str, dict[str, Any]] = {"key": {"key": by_id}, "match": {"match": echoes}, "any": {}}


@pytest.mark.parametrize("way", WAYS)
async def test_a_second_reply_is_a_duplicate_and_goes_to_nobody(
    way: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, **WAYS[way])
    task, source = await asked(node, alias, peer, b"01")
    for _ in range(3):
        peer.send(b"01 answer", source)
    assert (await task).data == b"01 answer"
    await counted(client, replies=1, duplicate=2, stray=0)
    assert probe.waiting() == []


@pytest.mark.parametrize("way", WAYS)
async def test_a_reply_after_the_timeout_is_late_and_goes_to_nobody(
    way: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, timeout=0.01, retries=0, **WAYS[way])
    task, source = await asked(node, alias, peer, b"01")
    with pytest.raises(gen.RequestTimeout):
        await task
    peer.send(b"01 too late", source)
    await counted(client, timeouts=1, late=1, stray=0)
    assert probe.waiting() == []
    check_account(client)


@pytest.mark.parametrize("way", ["key", "match"])  # else nobody can tell
async def test_a_late_reply_does_not_answer_the_next_request_where_they_can_be_told_apart(
    way: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, timeout=0.01, retries=0, **WAYS[way])
    first, source = await asked(node, alias, peer, b"01")
    with pytest.raises(gen.RequestTimeout):
        await first
    second, _ = await asked(node, alias, peer, meta.UDPRequest(b"02", timeout=PATIENT))
    peer.send(b"01 too late", source)
    peer.send(b"02 in time", source)
    assert (await second).data == b"02 in time"
    await counted(client, late=1, answered=1)


@pytest.mark.parametrize("way", WAYS)
async def test_what_belongs_to_no_request_is_stray_and_goes_to_the_owner(
    way: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, **WAYS[way])
    task, source = await asked(node, alias, peer, b"01")
    peer.send(b"01 answer", source)
    await task
    peer.send(b"77 news", source)
    assert (await probe.get()).data == b"77 news"
    await counted(client, stray=1, delivered=1)
    check_account(client)


async def test_without_a_key_no_more_are_late_than_the_request_was_sent(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, timeout=0.01, retries=2, backoff=1, jitter=0)
    task = ask(node, alias, b"question")
    for _ in range(3):
        _, source = await peer.receive()
    with pytest.raises(gen.RequestTimeout):
        await task
    for number in range(5):
        peer.send(b"%d" % number, source)
    assert [(await probe.get()).data for _ in range(2)] == [b"3", b"4"]
    await counted(client, late=3, stray=2, retransmits=2)


@pytest.mark.parametrize(("remember", "known"), [(10, 10), (0, 0)])
async def test_no_more_requests_are_remembered_than_asked_for(
    remember: int, known: int, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, key=by_id, remember=remember)
    for number in range(30):
        task, source = await asked(node, alias, peer, number.to_bytes(2))
        peer.send(number.to_bytes(2), source)
        await task
    for number in range(30):
        peer.send(number.to_bytes(2) + b" again", client.local_address)
    await counted(client, duplicate=known, stray=30 - known)
    assert [int.from_bytes((await probe.get()).data[:2]) for _ in range(30 - known)] == list(range(30 - known))


# --- more than one reply ----------------------------------------------------------------------------------


async def test_so_many_replies_as_are_asked_for_are_collected(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_client(probe, peer)
    task, source = await asked(node, alias, peer, meta.UDPRequest(b"question", collect=3))
    for number in (1, 2, 2, 1, 3, 4):
        peer.send(b"part %d" % number, source)
    assert [reply.data for reply in await task] == [b"part 1", b"part 2", b"part 3"]
    assert (await probe.get()).data == b"part 4"
    await counted(client, replies=3, duplicate=2, stray=1, answered=1)
    check_account(client)


async def test_collecting_one_gives_a_list_of_one(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    _, alias = await open_client(probe, peer)
    task, source = await asked(node, alias, peer, meta.UDPRequest(b"question", collect=1))
    peer.send(b"answer", source)
    assert [reply.data for reply in await task] == [b"answer"]


@pytest.mark.serial
async def test_too_few_replies_fail_a_request_which_tells_those_that_came(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, retries=0)
    task, source = await asked(node, alias, peer, meta.UDPRequest(b"question", collect=3, timeout=0.2))
    peer.send(b"part 1", source)
    with pytest.raises(gen.RequestTimeout, match="only 1 reply") as caught:
        await task
    assert [reply.data for reply in caught.value.replies] == [b"part 1"]
    await counted(client, timeouts=1, replies=1)


@pytest.mark.serial
async def test_all_replies_of_a_time_are_collected_from_whomever_they_come(node: homing.Node, probe: Probe) -> None:
    with UDPPeer() as peer, UDPPeer(STRANGER) as second, UDPPeer("127.0.0.10") as third:
        client, alias = await open_client(probe, peer, connected=False, any_source=True, local_host="127.0.0.1")
        task, source = await asked(node, alias, peer, meta.UDPRequest(b"who is there", within=0.3))
        for member in (second, peer, third, second):
            member.send(b"me", source)
        replies = await task
        assert [reply.addr for reply in replies] == [second.address, peer.address, third.address]
        await counted(client, replies=3, duplicate=1, answered=1, retransmits=0)


async def test_a_broadcast_is_answered_by_all_who_hear_it(node: homing.Node, probe: Probe) -> None:
    with UDPPeer("127.255.255.255") as heard, UDPPeer() as one, UDPPeer(STRANGER) as other:
        options = {"connected": False, "any_source": True, "broadcast": True}
        _, alias = await open_client(probe, heard, local_host="127.0.0.1", **options)
        task, source = await asked(node, alias, heard, meta.UDPRequest(b"who is there", collect=2))
        one.send(b"one", source)
        other.send(b"other", source)
        assert [reply.data for reply in await task] == [b"one", b"other"]


@pytest.mark.serial
@pytest.mark.parametrize(("at_least", "replies", "answers"), [(1, 0, False), (0, 0, True), (2, 1, False), (2, 2, True)])
async def test_fewer_replies_than_necessary_fail_a_request_with_a_time(
    at_least: int, replies: int, answers: bool, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    _, alias = await open_client(probe, peer)
    request = meta.UDPRequest(b"who is there", within=0.2, at_least=at_least, collect=5)
    task, source = await asked(node, alias, peer, request)
    for number in range(replies):
        peer.send(b"%d" % number, source)
    if answers:
        assert len(await task) == replies
    else:
        with pytest.raises(gen.RequestTimeout) as caught:
            await task
        assert len(caught.value.replies) == replies


# --- a client that is not connected -----------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
async def test_a_forged_reply_answers_nothing_and_goes_to_nobody(
    way: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, connected=False, local_host="127.0.0.1", **WAYS[way])
    task, source = await asked(node, alias, peer, b"01")
    with UDPPeer(STRANGER) as stranger:
        stranger.send(b"01 forged", source)
        await counted(client, stray=1, dropped_stray=1)
        peer.send(b"01 true", source)
        assert (await task).data == b"01 true"
        stranger.send(b"01 forged", source)
        await counted(client, stray=2, dropped_stray=2, duplicate=0)
    assert probe.waiting() == []
    check_account(client)


async def test_anybody_may_answer_where_that_is_asked_for(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_client(probe, peer, connected=False, any_source=True, local_host="127.0.0.1")
    task, source = await asked(node, alias, peer, b"question")
    with UDPPeer(STRANGER) as other:
        other.send(b"answer", source)
        assert (await task).addr == other.address
        other.send(b"news", source)
        assert (await probe.get()).addr == other.address
    assert client.statistics().dropped_stray == 0


async def test_a_request_to_another_peer_is_answered_from_there_only(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, connected=False, local_host="127.0.0.1", key=by_id)
    with UDPPeer() as other:
        task = ask(node, alias, meta.UDPRequest(b"01", to=other.address))
        _, source = await other.receive()
        peer.send(b"01 of the peer", source)
        assert (await probe.get()).data == b"01 of the peer"
        other.send(b"01 answer", source)
        assert (await task).addr == other.address
    check_account(client)


async def test_a_connected_client_asks_its_peer_only(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_client(probe, peer)
    with pytest.raises(gen.BadOption, match="connected=False"):
        await node.call(alias, meta.UDPRequest(b"question", to=(STRANGER, 9)))
    await counted(client, rejected=1)


@pytest.mark.parametrize("to", [("localhost", 53), "127.0.0.1", (STRANGER, 70000)])
async def test_a_request_to_what_is_no_address_fails(to: Any, node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_client(probe, peer, connected=False)
    with pytest.raises(gen.BadAddress):
        await node.call(alias, meta.UDPRequest(b"question", to=to))
    await counted(client, failed=1, open=0)
    check_account(client)


# --- limits and ends --------------------------------------------------------------------------------------


async def test_no_more_requests_are_open_than_allowed(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_client(probe, peer, max_requests=3)
    tasks = [(await asked(node, alias, peer, b"%d" % number))[0] for number in range(3)]
    with pytest.raises(gen.TooManyRequests, match="max_requests") as caught:
        await node.call(alias, b"one too many")
    assert caught.value.limit == 3
    peer.send(b"answer", client.local_address)
    await tasks[0]
    tasks[0], _ = await asked(node, alias, peer, b"3")
    for _ in tasks:
        peer.send(b"answer", client.local_address)
    await asyncio.gather(*tasks)
    await counted(client, rejected=1, answered=4, open=0)


@pytest.mark.parametrize("key", [None, by_id])
async def test_a_caller_that_gives_up_frees_its_place_and_its_key(
    key: Any, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, max_requests=1, key=key)
    task, source = await asked(node, alias, peer, b"01")
    task.cancel()
    await asyncio.wait([task])
    again, _ = await asked(node, alias, peer, b"01")
    peer.send(b"01", source)
    assert (await again).data == b"01"
    await counted(client, cancelled=1, answered=1, rejected=0)
    check_account(client)


async def test_a_reply_for_a_caller_that_gave_up_is_late_and_goes_to_no_other(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, key=by_id)
    task, source = await asked(node, alias, peer, b"01")
    other, _ = await asked(node, alias, peer, b"02")
    task.cancel()
    await asyncio.wait([task])
    peer.send(b"01", source)
    await counted(client, late=1, cancelled=1, open=1)
    peer.send(b"02", source)
    assert (await other).data == b"02"


@pytest.mark.parametrize("end", ["timeout", "killed"])
async def test_a_caller_that_waits_no_more_has_nothing_sent_again(
    end: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, timeout=0.6, retries=50, backoff=1)
    outcomes: list[Any] = []
    asker = await node.spawn(Asker, alias, outcomes, 0.1 if end == "timeout" else PATIENT)
    node.send(asker, b"question")
    assert (await peer.receive())[0] == b"question"
    if end == "killed":
        node.kill(asker)
    await counted(client, cancelled=1, open=0, retransmits=0)
    with pytest.raises(BlockingIOError):
        peer.socket.recv(10)
    assert [type(outcome) for outcome in outcomes] == ([gen.CallTimeout] if end == "timeout" else [])
    check_account(client)


async def test_what_is_wrong_with_one_request_does_not_touch_the_others(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, key=by_id, max_requests=1000)
    good = [ask(node, alias, number.to_bytes(2)) for number in range(50)]
    bad = [ask(node, alias, data) for data in (b"", b"\0", "text", meta.UDPRequest(None))]
    outcomes = await asyncio.gather(*bad, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [
        gen.MatchFailed,
        gen.MatchFailed,
        gen.NotAllowed,
        gen.NotAllowed,
    ]
    for _ in good:
        data, source = await peer.receive()
        peer.send(data, source)
    assert [(await task).data for task in good] == [number.to_bytes(2) for number in range(50)]
    await eventually(lambda: client.statistics().open == 0)
