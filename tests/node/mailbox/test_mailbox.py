"""The mailbox: four lanes in order, each first in first out, bounded for senders and open to the runtime."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import homing
from homing import act, gen
from homing.gen import MessagePriority

from ...support import Probe, eventually
from ..actors import QUIET, Gate, Keeper, throw

LANES = (MessagePriority.MAX, MessagePriority.HIGH, MessagePriority.NORMAL)


class Sync(act.Actor):
    """Keeps what it gets; the first message of all blocks it until the gate opens, so that the others wait."""

    def init(self, kept: list[Any], gate: asyncio.Event) -> None:
        self.kept = kept
        self.gate = gate

    def handle_message(self, sender: gen.PID, message: Any) -> Any:
        if isinstance(message, asyncio.Event):
            return message.wait()
        self.kept.append(message)
        return None

    def handle_log(self, record: logging.LogRecord) -> None:
        self.kept.append("log")

    def handle_event(self, event: gen.MessageEvent) -> None:
        self.kept.append(event.message)


async def held(node: homing.Node, **options: Any) -> tuple[gen.PID, list[Any], asyncio.Event]:
    """A process that is busy until the event is set: what it is sent waits."""
    kept: list[Any] = []
    gate = asyncio.Event()
    pid = await node.spawn(Sync, kept, gate, options=gen.ProcessOptions(**options))
    node.send(pid, gate)
    await eventually(lambda: node.process_info(pid).mailbox.main == 0)
    return pid, kept, gate


async def test_lanes_are_worked_off_in_the_order_urgent_system_main_log(node: homing.Node) -> None:
    pid, kept, gate = await held(node)
    node.add_log_receiver(pid)
    node.log.warning("for the log lane")
    for priority in reversed(LANES):
        node.send(pid, priority.name, priority)
    mailbox = node.process_info(pid).mailbox
    assert (mailbox.urgent, mailbox.system, mailbox.main, mailbox.log) == (1, 1, 1, 1)
    gate.set()
    await eventually(lambda: len(kept) == 4)
    assert kept == ["MAX", "HIGH", "NORMAL", "log"]


async def test_an_urgent_message_overtakes_those_that_wait_also_within_a_turn(node: homing.Node) -> None:
    kept: list[Any] = []

    class Self(Keeper):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            super().handle_message(sender, message)
            if message == 0:
                self.send_with_priority(self.pid, "high", MessagePriority.HIGH)
                self.send_with_priority(self.pid, "max", MessagePriority.MAX)

    pid = await node.spawn(Self, kept)
    for number in range(3):
        node.send(pid, number)
    await eventually(lambda: len(kept) == 5)
    assert kept == [0, "max", "high", 1, 2]


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(LANES)), max_size=120),
    st.integers(1, 5),
    st.booleans(),
)
def test_each_senders_messages_keep_their_order_within_a_lane(
    plan: list[tuple[int, MessagePriority]], turn: int, asynchronous: bool
) -> None:
    """Whatever is sent by whom to which lane, in whatever turns it is handled."""

    class Receiver(act.Actor):
        def init(self, kept: list[Any]) -> None:
            self.kept = kept

        def handle_message(self, sender: gen.PID, message: Any) -> Any:
            self.kept.append((sender, *message))
            return asyncio.sleep(0) if asynchronous else None

    class Sender(act.Actor):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            to, number, priority = message
            self.send_with_priority(to, (priority, number), priority)

    async def main() -> list[Any]:
        options = gen.NodeOptions(handle_signals=False, turn_messages=turn)
        async with homing.start_node("fifo@localhost", options) as node:
            kept: list[Any] = []
            to = await node.spawn(Receiver, kept)
            senders = [await node.spawn(Sender) for _ in range(4)]
            for number, (sender, priority) in enumerate(plan):
                node.send(senders[sender], (to, number, priority))
            await eventually(lambda: len(kept) == len(plan))
            return kept

    kept = asyncio.run(main())
    assert sorted(number for _, _, number in kept) == list(range(len(plan)))
    streams: dict[Any, list[int]] = {}
    for sender, priority, number in kept:
        streams.setdefault((sender, priority), []).append(number)
    assert all(stream == sorted(stream) for stream in streams.values())


@settings(max_examples=50)
@given(st.lists(st.sampled_from(LANES), max_size=60))
def test_what_waits_together_comes_lane_by_lane_and_in_order(lanes: list[MessagePriority]) -> None:
    async def main() -> list[Any]:
        async with homing.start_node("lanes@localhost", QUIET) as node:
            kept: list[Any] = []
            pid = await node.spawn(Keeper, kept)
            for number, lane in enumerate(lanes):
                node.send(pid, (-lane, number), lane)
            await eventually(lambda: len(kept) == len(lanes))
            return kept

    assert asyncio.run(main()) == sorted((-lane, number) for number, lane in enumerate(lanes))


@pytest.mark.parametrize("priority", LANES)
async def test_a_full_lane_refuses_its_sender_with_the_facts(node: homing.Node, priority: MessagePriority) -> None:
    pid, kept, gate = await held(node, mailbox_size=3)
    for number in range(3):
        node.send(pid, number, priority)
    with pytest.raises(gen.MailboxFull) as caught:
        node.send(pid, 3, priority)
    assert (caught.value.target, caught.value.limit) == (pid, 3)
    with pytest.raises(gen.MailboxFull):
        await node.call(pid, 3, priority=priority)
    assert node.info().open_calls == 0
    gate.set()
    await eventually(lambda: len(kept) == 3)
    node.send(pid, 4, priority)
    await eventually(lambda: kept == [0, 1, 2, 4])


async def test_the_error_names_the_address_that_was_used(node: homing.Node) -> None:
    pid, _, gate = await held(node, mailbox_size=1)
    node.register_name("small", pid)
    node.send("small", 0)
    with pytest.raises(gen.MailboxFull, match=r"small is full \(limit 1 messages\)"):
        node.send("small", 1)
    gate.set()


async def test_each_lane_has_the_limit_for_itself(node: homing.Node) -> None:
    pid, kept, gate = await held(node, mailbox_size=1)
    for priority in LANES:
        node.send(pid, priority, priority)
    gate.set()
    await eventually(lambda: len(kept) == 3)
    assert kept == list(LANES)


async def test_an_actor_is_refused_as_the_node_is_and_nothing_is_counted_as_sent(
    node: homing.Node, probe: Probe
) -> None:
    pid, _, gate = await held(node, mailbox_size=1)

    def send(actor: act.Actor) -> None:
        actor.send(pid, 1)
        with pytest.raises(gen.MailboxFull):
            actor.send(pid, 2)

    await probe.do(send)
    assert node.process_info(probe.pid).messages_out == 1
    gate.set()


async def test_without_a_size_a_mailbox_takes_all(node: homing.Node) -> None:
    pid, kept, gate = await held(node)
    for number in range(10_000):
        node.send(pid, number)
    assert node.process_info(pid).mailbox.main == 10_000
    gate.set()
    await eventually(lambda: len(kept) == 10_000)


# --- the fallback ----------------------------------------------------------------------------------------


async def test_what_finds_a_full_mailbox_goes_to_the_fallback_with_all_facts(node: homing.Node, probe: Probe) -> None:
    node.register_name("fallback", probe.pid)
    pid, kept, gate = await held(node, mailbox_size=1, fallback=gen.Fallback(name="fallback", tag="mine"))
    node.register_name("small", pid)
    sender = await node.spawn(Keeper, [])
    node.send("small", "fits")
    node.send("small", "does not")
    kind, origin, message = await probe.next()
    assert message == gen.MessageFallback(pid, "mine", "small", "does not")
    assert (kind, origin) == ("message", node.pid)
    gate.set()
    await eventually(lambda: kept == ["fits"])
    assert node.process_info(sender).messages_in == 0


async def test_without_its_fallback_a_full_mailbox_refuses(node: homing.Node) -> None:
    pid, _, gate = await held(node, mailbox_size=1, fallback=gen.Fallback(name="nobody"))
    node.send(pid, 1)
    with pytest.raises(gen.MailboxFull):
        node.send(pid, 2)
    gate.set()


async def test_a_full_fallback_refuses_in_the_name_of_the_first(node: homing.Node) -> None:
    other, _, other_gate = await held(node, mailbox_size=1)
    node.register_name("fallback", other)
    pid, _, gate = await held(node, mailbox_size=1, fallback=gen.Fallback(name="fallback"))
    node.send(pid, 1)
    node.send(pid, 2)
    with pytest.raises(gen.MailboxFull) as caught:
        node.send(pid, 3)
    assert caught.value.target == pid
    gate.set()
    other_gate.set()


async def test_a_process_that_is_its_own_fallback_refuses(node: homing.Node) -> None:
    pid, _, gate = await held(node, mailbox_size=1, fallback=gen.Fallback(name="self"))
    node.register_name("self", pid)
    node.send(pid, 1)
    with pytest.raises(gen.MailboxFull):
        node.send(pid, 2)
    gate.set()


# --- what passes -----------------------------------------------------------------------------------------


async def test_exit_signals_inspections_and_down_messages_pass_a_full_mailbox(node: homing.Node) -> None:
    kept: list[Any] = []
    gate = asyncio.Event()
    other = await node.spawn(Keeper, [])

    class Full(Sync):
        def init(self, kept: list[Any], gate: asyncio.Event) -> None:
            super().init(kept, gate)
            self.monitor(other)

        def handle_inspect(self, sender: gen.PID, *items: str) -> Any:
            self.kept.append("inspect")
            return "seen"

        def terminate(self, reason: Exception) -> None:
            self.kept.append(type(reason))

    pid = await node.spawn(Full, kept, gate, options=gen.ProcessOptions(mailbox_size=1))
    node.send(pid, gate)
    await eventually(lambda: node.process_info(pid).mailbox.main == 0)
    for priority in LANES:
        node.send(pid, priority.name, priority)
    inspection = asyncio.create_task(node.inspect(pid))
    node.kill(other)
    await eventually(lambda: node.process_info(pid).mailbox.urgent == 2)
    gate.set()
    assert await inspection == "seen"
    await eventually(lambda: len(kept) == 5)
    assert [*kept[:3], type(kept[3]), kept[4]] == ["MAX", "inspect", "HIGH", gen.MessageDownPID, "NORMAL"]
    node.send(pid, gate)
    node.send_exit(pid, gen.TerminateShutdown)
    await eventually(lambda: kept[-1] is gen.TerminateShutdown)


async def test_a_publication_that_finds_a_full_mailbox_is_counted(node: homing.Node, probe: Probe) -> None:
    token = await probe.do(lambda actor: actor.register_event("tick"))
    event = gen.Event("tick", node.name)
    kept: list[Any] = []

    class Consumer(Sync):
        def init(self, kept: list[Any], gate: asyncio.Event) -> None:
            super().init(kept, gate)
            self.link(event)

    gate = asyncio.Event()
    pid = await node.spawn(Consumer, kept, gate, options=gen.ProcessOptions(mailbox_size=2))
    node.send(pid, gate)
    await eventually(lambda: node.process_info(pid).mailbox.main == 0)
    reached = [await probe.do(lambda actor, n=n: actor.send_event("tick", token, n)) for n in range(4)]
    assert reached == [1, 1, 0, 0]
    assert node.info().event_failures == 2
    gate.set()
    await eventually(lambda: kept == [0, 1])


# --- one at a time ---------------------------------------------------------------------------------------


async def test_one_message_is_handled_at_a_time_also_by_asynchronous_handlers(node: homing.Node) -> None:
    inside: list[int] = []
    most: list[int] = []

    class Careful(act.Actor):
        async def handle_message(self, sender: gen.PID, message: Any) -> None:
            inside.append(message)
            for _ in range(message % 3):
                await asyncio.sleep(0)
            most.append(len(inside))
            inside.remove(message)

        async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            await self.handle_message(sender, request)
            return request

    pid = await node.spawn(Careful)
    answers = [asyncio.create_task(node.call(pid, 1000 + number)) for number in range(50)]
    for number in range(200):
        node.send(pid, number, LANES[number % 3])
    assert await asyncio.gather(*answers) == [1000 + number for number in range(50)]
    await eventually(lambda: len(most) == 250)
    assert set(most) == {1}


async def test_a_waiting_handler_keeps_its_own_mailbox_waiting_and_no_other(node: homing.Node) -> None:
    kept: list[Any] = []
    gate = asyncio.Event()
    busy = await node.spawn(Gate, kept, gate)
    free = await node.spawn(Keeper, kept)
    for number in range(3):
        node.send(busy, number)
    node.send(free, "free")
    await eventually(lambda: len(kept) == 2)
    assert set(kept) == {0, "free"}
    assert node.process_info(busy).mailbox.main == 2
    gate.set()
    await eventually(lambda: kept[2:] == [1, 2])


async def test_messages_that_wait_when_a_handler_raises_are_never_handled(node: homing.Node) -> None:
    kept: list[Any] = []

    class Fails(Keeper):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            super().handle_message(sender, message)
            throw(gen.TerminateNormal)(self)

    pid = await node.spawn(Fails, kept)
    for number in range(3):
        node.send(pid, number)
    await eventually(lambda: node.processes() == [])
    assert kept == [0]
