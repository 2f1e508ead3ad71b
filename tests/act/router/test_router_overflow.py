"""A route whose mailbox is full, and messages that lead nowhere: counted, told, or waited for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...meta.servers import Gate, Gated, create
from ...support import Probe, UDPPeer, eventually
from .routing import Routing, ask, do, failures, owned, start, until

HOLDS = 4
"""Messages that a narrow route holds: one in hand and three waiting."""


class GatedWorker(Gated):
    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        await self.gate.enter(request)
        return ("answer", request)


def narrow(gate: Gate, name: str = "a", **options: Any) -> act.RouteSpec:
    given = gen.ProcessOptions(mailbox_size=3, **options)
    return act.RouteSpec(name=name, behavior=GatedWorker, args=(gate,), options=given)


async def fill(node: homing.Node, router: gen.Target, gate: Gate, name: str = "a") -> None:
    """Lets the route take one message in hand and three into its mailbox."""
    node.send(router, (name, 0))
    await eventually(lambda: gate.reached)
    for number in range(1, HOLDS):
        node.send(router, (name, number))
    await until(node, router, lambda facts: facts["routes"][name]["waiting"] == 3)


# --- overflow="drop" ----------------------------------------------------------------------------------------


async def test_what_finds_its_route_full_is_counted_and_told_and_the_other_routes_go_on(
    node: homing.Node, probe: Probe
) -> None:
    gate = Gate()
    router = await start(node, probe, routes=(narrow(gate), *owned(probe, "b")))
    await fill(node, router, gate)
    await probe.do(lambda actor: [actor.send(router, ("ab"[number % 2], number)) for number in range(10)])
    assert [(await probe.get())[1] for _ in range(5)] == [1, 3, 5, 7, 9]
    assert await failures(node, router) == [("a", ("a", number), gen.MailboxFull) for number in range(0, 10, 2)]
    senders = await do(node, router, lambda actor: {sender for _, sender, _, _ in actor.failures})
    assert senders == {probe.pid}
    facts = await node.inspect(router)
    assert (facts["messages_forwarded"], facts["messages_failed"]) == (HOLDS + 5, 5)
    assert facts["routes"]["a"]["failed"] == facts["failures"] == {"MailboxFull": 5}
    gate.let(HOLDS)
    await gate.passed_by(HOLDS)


async def test_a_request_that_finds_its_route_full_fails_at_once(node: homing.Node, probe: Probe) -> None:
    gate = Gate()
    router = await start(node, probe, routes=(narrow(gate),))
    await fill(node, router, gate)
    with pytest.raises(gen.MailboxFull):
        await node.call(router, ("a", "request"), timeout=60)
    assert await failures(node, router) == []
    gate.let(10)


async def test_what_finds_its_route_full_goes_to_the_routes_fallback(node: homing.Node, probe: Probe) -> None:
    gate = Gate()
    rest = await Probe.start(node, name="rest")
    router = await start(node, probe, routes=(narrow(gate, fallback=gen.Fallback(name="rest", tag="a")),))
    await fill(node, router, gate)
    node.send(router, ("a", "too much"))
    message = await rest.get()
    assert (message.message, message.tag) == (("a", "too much"), "a")
    assert (await node.inspect(router))["messages_failed"] == 0
    gate.let(10)


async def test_by_default_failures_are_logged_at_a_bounded_rate(
    node: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    router = await node.spawn(Plain)
    for _ in range(100):
        node.send(router, "nowhere")
    await until(node, router, lambda facts: facts["messages_failed"] == 100)
    warnings = [record.getMessage() for record in caplog.records if "failed" in record.getMessage()]
    assert warnings == [f"message from {node.pid} to route 'nowhere' failed: no route 'nowhere'"]


class Plain(act.Router):
    def init(self) -> act.RouterOptions:
        return act.RouterOptions()

    def route_message(self, sender: gen.PID, message: str) -> str:
        return message


class FailsAtFailures(Routing):
    def handle_route_failed(self, route: str, sender: gen.PID, message: Any, error: gen.HomingError) -> None:
        raise error


async def test_a_failure_callback_that_raises_crashes_the_router(node: homing.Node, probe: Probe) -> None:
    router = await start(node, probe, FailsAtFailures)
    await probe.do(lambda actor: actor.monitor(router))
    node.send(router, ("nowhere", 1))
    assert isinstance((await probe.get()).reason, act.RouteUnknown)


# --- overflow="wait" ----------------------------------------------------------------------------------------


async def test_with_wait_a_full_route_holds_all_that_comes_after_in_order(node: homing.Node, probe: Probe) -> None:
    gate = Gate()
    router = await start(node, probe, overflow="wait", routes=(narrow(gate), *owned(probe, "b")))
    await fill(node, router, gate)
    for number in range(HOLDS, 20):
        node.send(router, ("a", number))
        node.send(router, ("b", number))
    facts = await until(node, router, lambda facts: facts["pauses"] == 1)
    assert (facts["messages_forwarded"], facts["messages_waiting"]) == (HOLDS, 32)
    assert probe.waiting() == []
    gate.let(20)
    await gate.passed_by(20)
    assert gate.passed == [("a", number) for number in range(20)]
    assert [(await probe.get())[1] for _ in range(HOLDS, 20)] == list(range(HOLDS, 20))
    facts = await node.inspect(router)
    assert (facts["messages_forwarded"], facts["messages_failed"], facts["messages_waiting"]) == (36, 0, 0)


async def test_with_wait_the_code_decides_once_for_each_message(node: homing.Node, probe: Probe) -> None:
    gate = Gate()
    router = await start(node, probe, Counting, overflow="wait", routes=(narrow(gate),))
    await fill(node, router, gate)
    for number in range(HOLDS, 20):
        node.send(router, ("a", number))
    for count in range(1, 21):
        gate.let()
        await gate.passed_by(count)
        await do(node, router, lambda actor: actor._process.resume())
    assert await do(node, router, lambda actor: actor.decided) == [("a", number) for number in range(20)]


class Counting(Routing):
    def route_message(self, sender: gen.PID, message: Any) -> Any:
        self.decided = [*getattr(self, "decided", []), message]
        return message[0]


async def test_with_wait_a_message_to_several_routes_is_given_to_each_once(node: homing.Node, probe: Probe) -> None:
    gate = Gate()
    router = await start(node, probe, overflow="wait", routes=(narrow(gate), *owned(probe, "b", "c")))
    await fill(node, router, gate)
    node.send(router, (("b", "a", "c"), 1))
    assert (await probe.next())[0] == "b"
    await until(node, router, lambda facts: facts["messages_waiting"] == 1)
    gate.let(10)
    assert (await probe.next())[0] == "c"
    await gate.passed_by(HOLDS + 1)
    assert probe.waiting() == []
    facts = await node.inspect(router)
    assert (facts["messages_forwarded"], facts["messages_waiting"]) == (HOLDS + 3, 0)


async def test_with_wait_requests_wait_and_are_answered_in_the_end(node: homing.Node, probe: Probe) -> None:
    gate = Gate()
    router = await start(node, probe, overflow="wait", routes=(narrow(gate),))
    await fill(node, router, gate)
    calls = [asyncio.create_task(node.call(router, ("a", number))) for number in range(5)]
    await until(node, router, lambda facts: facts["messages_waiting"] == 5)
    gate.let(100)
    assert await asyncio.gather(*calls) == [("answer", ("a", number)) for number in range(5)]


async def test_with_wait_a_full_target_is_waited_for_too(node: homing.Node, probe: Probe) -> None:
    gate = Gate()
    await node.spawn(GatedWorker, gate, name="target", options=gen.ProcessOptions(mailbox_size=3))
    router = await start(node, probe, overflow="wait", routes=(act.RouteSpec(name="a", target="target"),))
    await fill(node, router, gate)
    for number in range(HOLDS, 30):
        node.send(router, ("a", number))
    await until(node, router, lambda facts: facts["messages_waiting"] == 30 - HOLDS)
    gate.let(30)
    await gate.passed_by(30)
    assert gate.passed == [("a", number) for number in range(30)]


@pytest.mark.parametrize("change", ["remove", "disable", "replace", "kill"])
async def test_with_wait_what_waits_for_a_route_that_goes_is_decided_anew(
    change: str, node: homing.Node, probe: Probe
) -> None:
    gate = Gate()
    router = await start(node, probe, overflow="wait", routes=(narrow(gate), *owned(probe, "b")))
    await fill(node, router, gate)
    node.send(router, ("a", "waits"))
    node.send(router, ("b", "behind"))
    facts = await until(node, router, lambda facts: facts["messages_waiting"] == 2)
    if change == "remove":
        await ask(node, router, act.RemoveRoute("a"))
    elif change == "disable":
        await ask(node, router, act.DisableRoute("a"))
    elif change == "replace":
        await ask(node, router, act.ReplaceRoute("a", *owned(probe, "a")))
        assert await probe.get() == ("a", "waits")
    else:
        pids = {str(pid): pid for pid in node.processes()}
        node.kill(pids[facts["routes"]["a"]["pid"]])
        gate.let(1)
    assert await probe.get() == ("b", "behind")
    gate.let(10)
    facts = await until(node, router, lambda facts: facts["messages_waiting"] == 0)
    handled = {"remove": 1, "disable": 1}.get(change, 0)
    assert facts["messages_failed"] == handled + (change == "kill" and "RouteRestarting" in facts["failures"])


async def test_the_routers_own_lanes_pass_a_full_route(node: homing.Node, probe: Probe) -> None:
    gate = Gate()
    router = await start(node, probe, overflow="wait", routes=(narrow(gate),))
    await fill(node, router, gate)
    for number in range(50):
        node.send(router, ("a", number))
    assert await do(node, router, lambda actor: actor.pid) == router
    call = asyncio.create_task(node.call(router, ("a", "request"), timeout=60))
    await until(node, router, lambda facts: facts["messages_waiting"] == 51)
    node.send_exit(router, gen.TerminateShutdown)
    with pytest.raises(gen.ProcessTerminated):
        await call
    await eventually(lambda: router not in node.processes())
    gate.let(100)


class ByFirstOctet(act.Router):
    def init(self, gate: Gate) -> act.RouterOptions:
        return act.RouterOptions(routes=(narrow(gate, "one"), narrow(gate, "two")), overflow="wait")

    def route_message(self, sender: gen.PID, message: meta.MessageUDP) -> str:
        return "one" if message.data[0] == 1 else "two"


async def test_with_wait_a_udp_server_in_front_of_a_full_route_pauses_and_everything_arrives_in_the_end(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = Gate()
    router = await node.spawn(ByFirstOctet, gate, name="router")
    server = create(process="router", high_water=10, low_water=2)
    await probe.do(lambda actor: actor.spawn_meta(server))
    sent = [bytes((1 + number % 2, number)) for number in range(200)]
    for packet in sent:
        peer.send(packet, server.local_address)
    await eventually(lambda: server.statistics().pauses > 0)
    assert 2 < node.process_info(router).mailbox.main <= 10  # the router may have handed on two since
    gate.let(200)
    await gate.passed_by(200)
    for first in (1, 2):
        expected = [packet for packet in sent if packet[0] == first]
        assert [payload for payload in gate.payloads() if payload[0] == first] == expected
    assert server.statistics().kernel_drops in (0, None)
