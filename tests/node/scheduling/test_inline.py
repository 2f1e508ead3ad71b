"""What runs in whose name: calls that need not wait, context variables, running time."""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from typing import Any

import homing
from homing import act, gen

from ...support import DEADLINE, Probe, UDPPeer, eventually

REQUEST: ContextVar[str] = ContextVar("REQUEST", default="none")


class Callee(act.Actor):
    """Answers with what it is asked, or with the context variable that it sees."""

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        if request == "work":
            until = time.perf_counter() + 0.05
            while time.perf_counter() < until:
                pass
        return REQUEST.get() if request == "variable" else request

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        before = REQUEST.get()
        REQUEST.set(message)
        await asyncio.sleep(0)
        self.send(sender, (before, REQUEST.get()))


async def test_a_task_that_calls_for_ever_starves_no_timer_and_no_socket(node: homing.Node, peer: UDPPeer) -> None:
    callee = await node.spawn(Callee)
    ticks = 0
    heard = asyncio.Event()
    loop = asyncio.get_running_loop()

    def tick() -> None:
        nonlocal ticks
        ticks += 1
        loop.call_later(0.001, tick)

    tick()
    loop.add_reader(peer.socket.fileno(), heard.set)
    peer.send(b"hello", peer.address)
    async with asyncio.timeout(DEADLINE):
        while ticks < 5 or not heard.is_set():
            assert await node.call(callee, "hello") == "hello"
    loop.remove_reader(peer.socket.fileno())


async def test_a_call_that_is_answered_at_once_lets_the_callee_see_its_own_context_only(node: homing.Node) -> None:
    callee = await node.spawn(Callee)
    REQUEST.set("of the test")
    assert [await node.call(callee, "variable") for _ in range(3)] == ["none"] * 3
    assert REQUEST.get() == "of the test"


async def test_a_message_lends_its_senders_context_variables_to_nobody(node: homing.Node, probe: Probe) -> None:
    callee = await node.spawn(Callee)
    REQUEST.set("of the test")
    for message in ("a", "b", "c"):
        await probe.do(lambda actor, message=message: actor.send(callee, message))
        assert await probe.get() == ("none", message)


async def test_the_time_of_the_callee_is_not_the_callers(node: homing.Node, probe: Probe) -> None:
    callee = await node.spawn(Callee)
    await probe.do(lambda actor: actor.call(callee, "work"))
    await eventually(lambda: node.process_info(probe.pid).state is gen.ProcessState.SLEEP)
    assert node.process_info(probe.pid).running_time < node.process_info(callee).running_time


async def test_a_call_that_finds_a_full_mailbox_is_not_counted_as_sent(node: homing.Node, probe: Probe) -> None:
    full = await Probe.start(node, options=gen.ProcessOptions(mailbox_size=1))

    async def fill(actor: act.Actor) -> Any:
        actor.send(full.pid, 1)
        before = node.process_info(probe.pid).messages_out
        try:
            await actor.call(full.pid, 2)
        except gen.MailboxFull:
            return node.process_info(probe.pid).messages_out - before

    assert await probe.do(fill) == 0
