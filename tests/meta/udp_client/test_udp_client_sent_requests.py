"""Requests to a UDP client that do not stop their sender."""

from __future__ import annotations

from typing import Any

import pytest

import homing
from homing import act, gen

from ...support import Probe, UDPPeer, eventually
from .clients import by_id, counted, open_client

pytestmark = [pytest.mark.backends]


class Asker(act.Actor):
    """Keeps its responses."""

    def init(self, got: list[tuple[Any, Any]]) -> None:
        self.got = got

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return request(self)

    def handle_response(self, label: Any, answer: Any) -> None:
        self.got.append((label, answer))


async def test_many_questions_of_one_process_are_open_at_once_and_each_gets_its_reply(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, key=by_id)
    got: list[Any] = []
    asker = await node.spawn(Asker, got)
    questions = [number.to_bytes(2, "big") + b"question" for number in range(20)]
    await node.call(asker, lambda actor: [actor.send_request(alias, data, data) for data in questions] and None)
    asked = [await peer.receive() for _ in questions]
    for data, source in reversed(asked):
        peer.send(data, source)
    await eventually(lambda: len(got) == len(questions))
    assert [(label, answer.data) for label, answer in got] == [(data, data) for data in reversed(questions)]
    await counted(client, requests=20, answered=20, open=0)


async def test_a_question_is_repeated_and_its_timeout_is_the_response(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, timeout=0.02, retries=2)
    got: list[Any] = []
    asker = await node.spawn(Asker, got)
    await node.call(asker, lambda actor: actor.send_request(alias, b"question", "q"))
    await eventually(lambda: got)
    assert (got[0][0], type(got[0][1])) == ("q", gen.RequestTimeout)
    await counted(client, requests=1, retransmits=2, timeouts=1, open=0)


@pytest.mark.parametrize("how", ["cancel", "kill"])
async def test_a_question_that_nobody_waits_for_any_more_ends_at_the_client(
    how: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, timeout=0.02, retries=100)
    got: list[Any] = []
    asker = await node.spawn(Asker, got)
    ref = await node.call(asker, lambda actor: actor.send_request(alias, b"question"))
    await peer.receive()
    if how == "cancel":
        assert await node.call(asker, lambda actor: actor.cancel_request(ref))
    else:
        node.kill(asker)
    await counted(client, requests=1, cancelled=1, open=0)
    assert got == []


async def test_what_the_client_refuses_is_the_response(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    _, alias = await open_client(probe, peer, max_requests=1)
    got: list[Any] = []
    asker = await node.spawn(Asker, got)
    await node.call(asker, lambda actor: [actor.send_request(alias, data, data) for data in (b"1", b"2", 3)] and None)
    await eventually(lambda: len(got) == 2)
    assert [type(answer) for _, answer in got] == [gen.TooManyRequests, gen.NotAllowed]
