"""Many who are linked to one, or monitor it: they are told in portions, and what they do meanwhile counts."""

from __future__ import annotations

from typing import Any

import pytest

import homing
from homing import act, gen

from ...support import eventually
from ..actors import Doer

COUNT = 300
"""More than are told at once."""


class Consumer(act.Actor):
    """Keeps what it is told."""

    trap_exit = True

    def init(self, way: str, subject: Any, all: list[Consumer]) -> None:
        self.way = getattr(self, way)
        self.back = getattr(self, {"link": "unlink", "monitor": "demonitor"}[way])
        self.told: list[Any] = []
        self.way(subject)
        all.append(self)

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.told.append(message)


WAYS = pytest.mark.parametrize("way", ["link", "monitor"])


async def named_subject(node: homing.Node, way: str) -> tuple[gen.PID, list[Consumer]]:
    subject = await node.spawn(Doer, name="subject")
    consumers: list[Consumer] = []
    for _ in range(COUNT):
        await node.spawn(Consumer, way, "subject", consumers)
    return subject, consumers


@WAYS
async def test_each_is_told_once_of_an_end(node: homing.Node, way: str) -> None:
    subject, consumers = await named_subject(node, way)
    node.kill(subject)
    await eventually(lambda: all(consumer.told for consumer in consumers))
    assert {(len(consumer.told), consumer.told[0].name) for consumer in consumers} == {(1, "subject")}
    assert not any(node.process_info(consumer.pid).links for consumer in consumers)
    assert not any(node.process_info(consumer.pid).monitors for consumer in consumers)


@WAYS
async def test_a_name_that_somebody_else_takes_while_they_are_told_can_be_related_to_at_once(
    node: homing.Node, way: str
) -> None:
    subject, consumers = await named_subject(node, way)
    node.kill(subject)
    next_subject = await node.spawn(Doer, name="subject")
    last = consumers[-1]
    last.way("subject")
    await eventually(lambda: all(consumer.told for consumer in consumers))
    assert len(last.told) == 1
    with pytest.raises(gen.AlreadyLinked):
        last.way("subject")
    node.kill(next_subject)
    await eventually(lambda: len(last.told) == 2)
    assert {len(consumer.told) for consumer in consumers[:-1]} == {1}


@WAYS
async def test_one_that_takes_it_back_while_the_others_are_told_is_not_told(node: homing.Node, way: str) -> None:
    subject, consumers = await named_subject(node, way)
    node.kill(subject)
    last = consumers[-1]
    assert last.back("subject")
    assert not last.back("subject")
    await eventually(lambda: all(consumer.told for consumer in consumers[:-1]))
    assert not last.told


@WAYS
async def test_an_event_that_is_registered_again_while_they_are_told_has_its_own_subscribers(
    node: homing.Node, way: str
) -> None:
    producers: list[Doer] = []
    producer = await node.spawn(Doer)

    def publish(actor: act.Actor) -> gen.Ref:
        producers.append(actor)  # type: ignore[arg-type]
        return actor.register_event("topic")

    await node.call(producer, publish)
    event = gen.Event("topic", node.name)
    consumers: list[Consumer] = []
    for _ in range(COUNT):
        await node.spawn(Consumer, way, event, consumers)
    producers[0].unregister_event("topic")
    producers[0].register_event("topic")
    last, before = consumers[-1], consumers[-2]
    last.way(event)
    assert before.back(event)
    await eventually(lambda: all(consumer.told for consumer in consumers if consumer is not before))
    assert not before.told
    assert node.process_info(last.pid).links or node.process_info(last.pid).monitors


async def test_a_caller_that_gives_up_while_the_others_are_told_gets_its_own_error(node: homing.Node) -> None:
    class Mute(act.Actor):
        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            return gen.NO_REPLY

    class Caller(act.Actor):
        async def handle_message(self, sender: gen.PID, message: Any) -> None:
            to, reasons = message
            try:
                await self.call(to, "?", timeout=60)
            except gen.HomingError as error:
                reasons.append(type(error))

    mute = await node.spawn(Mute)
    reasons: list[type[Exception]] = []
    callers = [await node.spawn(Caller) for _ in range(COUNT)]
    for caller in callers:
        node.send(caller, (mute, reasons))
    await eventually(lambda: node.info().open_calls == COUNT)
    node.kill(mute)
    node.kill(callers[-1])
    await eventually(lambda: len(reasons) == COUNT - 1 and node.info().open_calls == 0)
    assert set(reasons) == {gen.ProcessTerminated}
