"""Callers that ask the same share one question, if they are to: each gets the answer with its own id, and none ends the
question for the others."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

import homing
from homing import gen, meta
from homing.meta.udp_client.questions import Question
from homing.testing import Event, FakeNetwork, run_virtual

from ...support import Probe, UDPPeer, free_port
from ..servers import error_of
from .clients import PATIENT, ask, check_account, counted, open_client
from .test_udp_client_timing import PEER, Scene

pytestmark = [pytest.mark.backends, pytest.mark.loops]

open_sharing = partial(open_client, id=meta.RequestId(), coalesce=bytes)


async def nothing_more(peer: UDPPeer) -> None:
    """Nothing more was sent to `peer`."""
    await asyncio.sleep(0)
    with pytest.raises(BlockingIOError):
        peer.socket.recvfrom(100)


async def test_callers_who_ask_the_same_share_one_question(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_sharing(probe, peer)
    tasks = [ask(node, alias, number.to_bytes(2) + b"question") for number in range(200)]
    sent, source = await peer.receive()
    await counted(client, open=200, requests=200, shared=199, packets_out=1)
    await nothing_more(peer)
    peer.send(sent[:2] + b"answer", source)
    assert [(await task).data for task in tasks] == [number.to_bytes(2) + b"answer" for number in range(200)]
    await counted(client, open=0, answered=200, replies=1, packets_in=1)
    check_account(client)


async def test_without_coalesce_or_with_other_keys_or_none_nothing_is_shared(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, id=meta.RequestId())
    tasks = [ask(node, alias, b"\0\0question") for _ in range(2)]
    await peer.receive(), await peer.receive()
    await counted(client, open=2, shared=0)
    client, alias = await open_sharing(probe, peer, coalesce=lambda data: None if b"alone" in data else data)
    tasks += [ask(node, alias, b"\0\0" + data) for data in (b"one", b"two", b"alone", b"alone")]
    for _ in range(4):
        await peer.receive()
    await counted(client, open=4, shared=0)
    await cancelled(*tasks)


async def cancelled(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_the_key_is_made_of_the_request_with_zeros_for_its_id(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    seen = []
    _, alias = await open_sharing(probe, peer, id=meta.RequestId(at=1), coalesce=seen.append)
    task = ask(node, alias, bytearray(b"q\1\2?"))
    await peer.receive()
    assert seen == [b"q\0\0?"]
    assert type(seen[0]) is bytes
    await cancelled(task)


async def test_after_the_answer_the_question_is_asked_anew(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_sharing(probe, peer)
    for _ in range(3):
        tasks = [ask(node, alias, b"\0\0what is kept of me?") for _ in range(2)]
        peer.send(*await peer.receive())
        for task in tasks:
            await task
    await counted(client, requests=6, shared=3, answered=6)
    assert (None, b"\0\0what is kept of me?") not in [each.place for each in questions()]


@pytest.mark.parametrize("gone", [[0], [1], [0, 1], [0, 2], [1, 2]])
async def test_a_caller_who_gives_up_does_not_end_the_question_for_the_others(
    gone: list[int], node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_sharing(probe, peer)
    tasks = [ask(node, alias, bytes([0, number]) + b"question") for number in range(3)]
    sent, source = await peer.receive()
    await cancelled(*[tasks[number] for number in gone])
    peer.send(sent, source)
    for number in {0, 1, 2}.difference(gone):
        assert (await tasks[number]).data == bytes([0, number]) + b"question"
    await counted(client, open=0, cancelled=len(gone), answered=3 - len(gone), replies=1)
    check_account(client)


async def test_if_all_callers_gave_up_the_answer_is_late(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_sharing(probe, peer)
    tasks = [ask(node, alias, b"\0\0question") for _ in range(3)]
    sent, source = await peer.receive()
    await cancelled(*tasks)
    peer.send(sent, source)
    await counted(client, open=0, cancelled=3, late=1)
    check_account(client)


async def test_a_caller_who_gave_up_does_not_stop_others_from_joining(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_sharing(probe, peer)
    first, second = (ask(node, alias, b"\0\0question") for _ in range(2))
    sent, source = await peer.receive()
    await cancelled(first)
    third = ask(node, alias, b"\0\3question")
    await counted(client, shared=2)
    peer.send(sent, source)
    assert (await third).data == b"\0\3question"
    await second
    await nothing_more(peer)
    check_account(client)


async def test_an_error_goes_to_all_who_share(node: homing.Node, probe: Probe) -> None:
    with UDPPeer() as gone:
        gone.address = ("127.0.0.1", free_port())
        client, alias = await open_sharing(probe, gone, error_queue=True)
        tasks = [ask(node, alias, b"\0\0question") for _ in range(5)]
        assert {type(await error_of(task)) for task in tasks} == {gen.PeerRefused}
        await counted(client, refused=5, shared=4, open=0)
        check_account(client)


async def test_a_suspicion_goes_to_all_who_share_also_to_who_came_late(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_sharing(probe, peer, guess_alarm=3, stray="drop")
    first = ask(node, alias, b"\0\0question")
    sent, source = await peer.receive()
    for number in (1, 2, 3):
        peer.send((int.from_bytes(sent[:2]) ^ number).to_bytes(2), source)
    await counted(client, guesses=3)
    second = ask(node, alias, b"\0\0question")
    await counted(client, shared=1)
    await cancelled(first)
    peer.send(sent, source)
    assert isinstance(await error_of(second), gen.SpoofingSuspected)
    check_account(client)


async def test_a_match_that_raises_fails_all_who_share(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    def match(request: bytes, reply: meta.MessageUDP) -> object:
        raise ValueError("no")

    client, alias = await open_sharing(probe, peer, match=match)
    tasks = [ask(node, alias, b"\0\0question") for _ in range(3)]
    peer.send(*await peer.receive())
    assert {type(await error_of(task)) for task in tasks} == {gen.MatchFailed}
    await counted(client, failed=3, open=0)
    check_account(client)


async def test_who_waits_when_the_client_ends_is_told(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_sharing(probe, peer)
    tasks = [ask(node, alias, b"\0\0question") for _ in range(3)]
    await peer.receive()
    await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateNormal))
    assert {type(await error_of(task)) for task in tasks} == {gen.MetaTerminated}
    await counted(client, cancelled=3, open=0)
    check_account(client)


@pytest.mark.parametrize("own", [{"collect": 2}, {"within": 5.0}, {"match": lambda request, reply: True}])
async def test_requests_that_want_something_of_their_own_are_not_shared(
    own: dict[str, Any], node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_sharing(probe, peer)
    tasks = [ask(node, alias, b"\0\0question"), ask(node, alias, meta.UDPRequest(b"\0\0question", **own))]
    await peer.receive(), await peer.receive()
    await counted(client, shared=0, open=2)
    await cancelled(*tasks)


async def test_a_question_to_another_address_is_another_question(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    with UDPPeer() as other:
        client, alias = await open_sharing(probe, peer, connected=False, local_host="127.0.0.1")
        places = [peer.address, None, other.address, other.address]
        tasks = [ask(node, alias, meta.UDPRequest(bytes([0, n, 63]), to=to)) for n, to in enumerate(places)]
        for each in (peer, other):
            sent, source = await each.receive()
            each.send(sent[:2] + b"%d" % each.address[1], source)
        ports = [peer.address[1], peer.address[1], other.address[1], other.address[1]]
        assert [(await task).data for task in tasks] == [bytes([0, n]) + b"%d" % port for n, port in enumerate(ports)]
        await counted(client, shared=2)
        check_account(client)


async def test_with_many_ports_a_question_is_shared_as_well(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_sharing(probe, peer, ports=16)
    tasks = [ask(node, alias, number.to_bytes(2) + b"question") for number in range(100)]
    peer.send(*await peer.receive())
    assert [(await task).data for task in tasks] == [number.to_bytes(2) + b"question" for number in range(100)]
    await counted(client, requests=100, shared=99, packets_out=1, open=0)
    check_account(client)


async def test_requests_that_share_count_as_open(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_sharing(probe, peer, max_requests=3)
    tasks = [ask(node, alias, b"\0\0question") for _ in range(3)]
    await counted(client, open=3)
    with pytest.raises(gen.TooManyRequests):
        await node.call(alias, b"\0\0question")
    await cancelled(tasks[0])
    tasks.append(ask(node, alias, b"\0\0question"))
    await counted(client, open=3, cancelled=1, rejected=1)
    await cancelled(*tasks)


class Odd:
    """A key whose `==` raises."""

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not comparable")

    def __repr__(self) -> str:
        raise RuntimeError("not printable")


def failing(data: bytes) -> bytes:
    raise KeyError("no key")


@pytest.mark.parametrize("coalesce", [failing, lambda data: [data], lambda data: (data, {})])
async def test_a_coalesce_that_raises_or_returns_no_key_fails_the_request(
    coalesce: Callable[[bytes], Any], node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_sharing(probe, peer, coalesce=coalesce)
    with pytest.raises(gen.MatchFailed, match="coalesce raised"):
        await node.call(alias, b"\0\0question")
    await counted(client, rejected=1, requests=0, packets_out=0)


async def test_keys_that_cannot_be_compared_are_different_keys(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_sharing(probe, peer, coalesce=lambda data: Odd())
    tasks = [ask(node, alias, b"\0\0question") for _ in range(2)]
    for _ in tasks:
        peer.send(*await peer.receive())
    for task in tasks:
        await task
    await counted(client, shared=0, answered=2)
    check_account(client)


def questions() -> list[Question]:
    """The questions that anything still refers to."""
    return [each for each in gc.get_objects() if isinstance(each, Question)]


async def test_a_question_that_has_waited_in_the_send_queue_and_is_refused_fails_all_who_share(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_sharing(probe, peer)
    tasks = [ask(node, alias, b"\0\0was refused") for _ in range(3)]
    await counted(client, open=3)
    (question,) = [each for each in questions() if each.place == (None, b"\0\0was refused")]
    queued = question.first
    await cancelled(tasks[0])
    question.owner.sweep()
    assert question.first is not queued
    question.owner.sent(queued, OSError(1, "refused"))
    for task in tasks[1:]:
        assert isinstance(await error_of(task), gen.PeerUnreachable)
    await counted(client, refused=2, cancelled=1, open=0)
    check_account(client)


@pytest.mark.parametrize("others", [0, 1])
async def test_a_random_may_end_the_client(others: int, node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    """It is called for the timer of each request."""
    calls = []

    def chance() -> float:
        calls.append(1)
        if len(calls) == 1 + others:
            client.terminate(gen.TerminateNormal())
        return 0.5

    client, alias = await open_sharing(probe, peer, random=chance)
    tasks = [ask(node, alias, b"\0\0question") for _ in range(1 + others)]
    await counted(client, requests=1 + others)
    await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateNormal))
    for task in tasks:
        assert isinstance(await error_of(task), gen.HomingError)


# --- time -----------------------------------------------------------------------------------------------------


async def outcome(scene: Scene, data: Any, wait: float = 0.0, timeout: float = PATIENT) -> tuple[str, float]:
    """Asks after a while. Returns what came of it, and when."""
    await asyncio.sleep(wait)
    try:
        reply = await scene.call(data, timeout)
    except gen.HomingError as error:
        return type(error).__name__, scene.now()
    return reply.data.decode(), scene.now()


def in_virtual_time(body: Callable[[Scene], Any], **options: Any) -> None:
    async def main() -> None:
        events: list[Event] = []
        with FakeNetwork(seed=1, trace=events.append) as network:
            node_options = gen.NodeOptions(handle_signals=False, slow_callback_seconds=None)
            async with homing.start_node("test@localhost", node_options) as node:
                scene = Scene(node, network, events)
                await scene.open(id=meta.RequestId(), coalesce=bytes, **options)
                await body(scene)
                check_account(scene.client)

    run_virtual(main)


@pytest.mark.once
def test_each_caller_has_a_timeout_of_its_own_and_all_cause_no_more_datagrams_than_one() -> None:
    async def body(scene: Scene) -> None:
        found = await asyncio.gather(*[outcome(scene, b"\0\0?", number / 100) for number in range(40)])
        assert found == [("RequestTimeout", round(3.5 + number / 100, 6)) for number in range(40)]
        assert scene.times() == [0, 0.5, 1.5]
        assert scene.client.statistics().shared == 39

    in_virtual_time(body)


@pytest.mark.once
def test_who_comes_late_has_the_question_sent_again_when_its_own_wait_is_over() -> None:
    async def body(scene: Scene) -> None:
        await asyncio.gather(*[outcome(scene, b"\0\0?", number / 100) for number in range(345)])
        times = scene.times()
        assert scene.client.statistics().shared == 344
        assert max(later - sooner for sooner, later in pairwise(times)) <= 1
        assert min(later - sooner for sooner, later in pairwise(times)) >= 0.49

    in_virtual_time(body)


@pytest.mark.once
def test_if_the_first_caller_gives_up_the_question_is_sent_again_for_the_others() -> None:
    async def body(scene: Scene) -> None:
        found = await asyncio.gather(
            outcome(scene, b"\0\1?", 0.0, timeout=0.2),
            outcome(scene, b"\0\2?", 0.1),
        )
        assert found == [("CallTimeout", 0.2), ("RequestTimeout", 3.6)]
        assert scene.times() == [0, 0.6, 1.6]

    in_virtual_time(body)


@pytest.mark.once
def test_a_caller_with_little_time_does_not_take_it_from_the_others() -> None:
    async def body(scene: Scene) -> None:
        short = meta.UDPRequest(b"\0\1?", timeout=0.1, retries=0)
        asked = asyncio.gather(
            outcome(scene, short),
            outcome(scene, b"\0\2?", 0.05),
            outcome(scene, short, 0.06),
            outcome(scene, short, 1.0),
        )
        await asyncio.sleep(1.05)
        data, source = scene.peer.waiting()[0]
        scene.peer.send(data[:2] + b"!", source)
        assert await asked == [("RequestTimeout", 0.1), ("\0\2!", 1.05), ("RequestTimeout", 0.16), ("\0\1!", 1.05)]
        assert scene.times() == [0, 0.55]

    in_virtual_time(body)


@pytest.mark.once
def test_a_question_that_stays_without_an_answer_is_asked_anew_with_another_id_after_a_while() -> None:
    """Otherwise it would be open for ever, and an attacker could guess its id for ever."""

    async def body(scene: Scene) -> None:
        await asyncio.gather(*[outcome(scene, b"\0\0?", number / 10) for number in range(300)])
        sent = [data[:2] for data, _ in scene.peer.waiting()]
        spans = [
            max(index for index, each in enumerate(sent) if each == drawn) - sent.index(drawn) for drawn in set(sent)
        ]
        assert len(set(sent)) == 9, "one in 3.5 seconds"
        assert max(spans) < 20

    in_virtual_time(body)


@pytest.mark.once
def test_a_timeout_of_a_shared_question_is_one_failure_of_the_peer() -> None:
    async def body(scene: Scene) -> None:
        await asyncio.gather(*[outcome(scene, b"\0\0?") for _ in range(50)])
        assert scene.client._destination._timeouts == 1
        assert PEER[0] in str(await scene.error(b"\0\0?"))

    in_virtual_time(body)
