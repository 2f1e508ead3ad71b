"""Forwarding: a message or a request is passed on as if its sender had sent it there."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen

from ...support import Probe, eventually


class Desk(act.Actor):
    """Forwards everything to `to`."""

    def init(self, to: Any) -> None:
        self.to = to

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.forward(self.to, message, sender=sender)

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        self.forward(self.to, request, sender=sender, ref=ref)
        return gen.NO_REPLY


class Clerk(act.Actor):
    """Answers with who asked, or ends instead, or waits for ever."""

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        if request == "end":
            raise ValueError("the clerk is ill")
        return gen.NO_REPLY if request == "wait" else (sender, request)


async def test_a_forwarded_message_keeps_its_sender(node: homing.Node, probe: Probe) -> None:
    desk = await node.spawn(Desk, probe.pid)
    other = await Probe.start(node)
    await other.do(lambda actor: actor.send(desk, "hello"))
    assert await probe.next() == ("message", other.pid, "hello")


async def test_a_forwarded_request_is_answered_to_its_caller_who_it_shows_as_sender(
    node: homing.Node, probe: Probe
) -> None:
    desk = await node.spawn(Desk, await node.spawn(Clerk))
    assert await probe.do(lambda actor: actor.call(desk, "who am I")) == (probe.pid, "who am I")


async def test_a_request_may_be_forwarded_again_and_again(node: homing.Node) -> None:
    last: Any = await node.spawn(Clerk)
    for _ in range(5):
        last = await node.spawn(Desk, last)
    assert await node.call(last, "hello") == (node.pid, "hello")


@pytest.mark.parametrize("request_", ["end", "wait"])
async def test_the_caller_is_told_at_once_if_the_new_callee_ends(node: homing.Node, request_: str) -> None:
    clerk = await node.spawn(Clerk)
    desk = await node.spawn(Desk, clerk)
    call = asyncio.ensure_future(node.call(desk, request_, timeout=3600))
    if request_ == "wait":
        await eventually(lambda: node.process_info(clerk).messages_in == 1)
        node.send_exit(clerk, ValueError("sent home"))
    with pytest.raises(gen.ProcessTerminated) as caught:
        await call
    assert isinstance(caught.value.reason, ValueError)
    assert node.process_info(desk).state is gen.ProcessState.SLEEP


async def test_a_request_that_was_forwarded_outlives_the_one_who_forwarded_it(node: homing.Node) -> None:
    waiting: list[tuple[gen.PID, gen.Ref]] = []

    class Slow(act.Actor):
        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            waiting.append((sender, ref))
            return gen.NO_REPLY

        def handle_message(self, sender: gen.PID, message: Any) -> None:
            self.send_response(*waiting[0], message)

    slow = await node.spawn(Slow)
    desk = await node.spawn(Desk, slow)
    call = asyncio.ensure_future(node.call(desk, "patience"))
    await eventually(lambda: waiting)
    node.kill(desk)
    node.send(slow, "done")
    assert await call == "done"


async def test_forwarding_to_nobody_is_an_error_at_the_one_who_forwards(node: homing.Node) -> None:
    desk = await node.spawn(Desk, "nobody")
    with pytest.raises(gen.ProcessTerminated) as caught:
        await node.call(desk, "hello", timeout=3600)
    assert isinstance(caught.value.reason, gen.NameUnknown)


async def test_a_request_cannot_be_forwarded_to_the_one_who_has_it(node: homing.Node) -> None:
    desk = await node.spawn(Desk, "desk", name="desk")
    with pytest.raises(gen.ProcessTerminated) as caught:
        await node.call(desk, "hello", timeout=3600)
    assert isinstance(caught.value.reason, gen.CallToSelf)
