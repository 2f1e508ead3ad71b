"""Events: one publishes, each subscriber gets it once."""

from __future__ import annotations

import time
from typing import Any

import pytest

import homing
from homing import act, gen

from ...support import Probe, eventually
from ..actors import Doer


class Topic:
    """An event with its producer, seen from the test."""

    def __init__(self, node: homing.Node, producer: Probe, token: gen.Ref) -> None:
        self.event = gen.Event("topic", node.name)
        self.producer = producer
        self.token = token

    async def publish(self, *messages: Any) -> list[int]:
        return await self.producer.do(
            lambda actor: [actor.send_event("topic", self.token, message) for message in messages]
        )


async def topic(node: homing.Node, **options: Any) -> Topic:
    producer = await Probe.start(node)
    return Topic(
        node, producer, await producer.do(lambda actor: actor.register_event("topic", gen.EventOptions(**options)))
    )


@pytest.mark.parametrize("ways", [["link"], ["monitor"], ["link", "monitor"], ["monitor", "link"]])
async def test_a_subscriber_gets_each_publication_once_in_order_however_it_subscribed(
    node: homing.Node, probe: Probe, ways: list[str]
) -> None:
    it = await topic(node)
    for way in ways:
        await probe.do(lambda actor, way=way: getattr(actor, way)(it.event))
    before = time.time()
    assert await it.publish(1, 2) == [1, 1]
    got = [await probe.next() for _ in range(2)]
    assert [(kind, event.event, event.message) for kind, _, event in got] == [
        ("event", it.event, 1),
        ("event", it.event, 2),
    ]
    assert before <= got[0][2].timestamp <= time.time()
    await probe.do(lambda actor: None)
    assert probe.waiting() == []


async def test_a_publication_reaches_all_subscribers_and_says_how_many(node: homing.Node) -> None:
    it = await topic(node)
    probes = [await Probe.start(node) for _ in range(5)]
    assert await it.publish("nobody hears") == [0]
    for probe in probes:
        await probe.do(lambda actor: actor.monitor(it.event))
    assert await it.publish("all hear") == [5]
    assert [(await probe.get()).message for probe in probes] == ["all hear"] * 5


@pytest.mark.parametrize("way", ["link", "monitor", "link_event", "monitor_event"])
async def test_who_subscribes_late_is_given_the_last_of_the_buffer(node: homing.Node, probe: Probe, way: str) -> None:
    it = await topic(node, buffer=3)
    await it.publish(*range(5))
    missed = await probe.do(lambda actor: getattr(actor, way)(it.event))
    assert [event.message for event in missed] == [2, 3, 4]
    await it.publish(5)
    assert (await probe.get()).message == 5


async def test_without_a_buffer_who_subscribes_late_is_given_nothing(node: homing.Node, probe: Probe) -> None:
    it = await topic(node)
    await it.publish(1)
    assert await probe.do(lambda actor: actor.link(it.event)) == []


async def test_only_the_token_lets_publish_and_whoever_has_it_may(node: homing.Node, probe: Probe) -> None:
    it = await topic(node)

    def publish(actor: act.Actor) -> int:
        for token in (gen.Ref(node.name, 1, 1), None, "token"):
            with pytest.raises(gen.BadOption, match="token"):
                actor.send_event("topic", token, "forged")  # type: ignore[arg-type]
        actor.monitor(it.event)
        return actor.send_event("topic", it.token, "lent")

    assert await probe.do(publish) == 1
    assert (await probe.get()).message == "lent"


async def test_a_taken_event_is_refused_with_its_owner(node: homing.Node, probe: Probe) -> None:
    it = await topic(node)

    def register(actor: act.Actor) -> None:
        with pytest.raises(gen.EventTaken) as caught:
            actor.register_event("topic")
        assert (caught.value.event, caught.value.owner) == (it.event, it.producer.pid)

    await probe.do(register)


@pytest.mark.parametrize(
    ("name", "options", "field"),
    [("", None, "name"), (7, None, "name"), ("x", "buffer", "options"), ("x", {}, "options"), ("x", 0, "options")],
)
async def test_an_event_that_cannot_be_is_refused_by_the_name_of_the_field(
    node: homing.Node, probe: Probe, name: Any, options: Any, field: str
) -> None:
    def register(actor: act.Actor) -> str:
        with pytest.raises(gen.BadOption) as caught:
            actor.register_event(name, options)
        return caught.value.option

    assert await probe.do(register) == field
    assert node.info().events == 0


async def test_what_is_no_event_can_be_neither_published_nor_unregistered(node: homing.Node, probe: Probe) -> None:
    it = await topic(node)

    def check(actor: act.Actor) -> None:
        with pytest.raises(gen.EventUnknown, match="none"):
            actor.send_event("none", it.token, 1)
        with pytest.raises(gen.EventUnknown, match="none"):
            actor.unregister_event("none")
        with pytest.raises(gen.NotAllowed, match="belongs to"):
            actor.unregister_event("topic")

    await probe.do(check)


async def test_the_producer_is_told_when_the_first_comes_and_the_last_goes(node: homing.Node) -> None:
    it = await topic(node, notify=True)
    first, second = await Probe.start(node), await Probe.start(node)
    await first.do(lambda actor: actor.link(it.event))
    assert await it.producer.next() == ("message", node.pid, gen.MessageEventStart(it.event))
    await first.do(lambda actor: actor.monitor(it.event))
    await second.do(lambda actor: actor.monitor(it.event))
    await first.do(lambda actor: (actor.unlink(it.event), actor.demonitor(it.event)))
    await it.producer.do(lambda actor: None)
    assert it.producer.waiting() == []
    node.kill(second.pid)
    assert await it.producer.get() == gen.MessageEventStop(it.event)
    await first.do(lambda actor: actor.link(it.event))
    assert await it.producer.get() == gen.MessageEventStart(it.event)


async def test_a_producer_that_did_not_ask_is_not_told(node: homing.Node, probe: Probe) -> None:
    it = await topic(node)
    await probe.do(lambda actor: (actor.link(it.event), actor.unlink(it.event)))
    await it.producer.do(lambda actor: None)
    assert it.producer.waiting() == []


async def test_an_event_ends_with_its_owner_and_its_name_is_free(node: homing.Node, probe: Probe) -> None:
    it = await topic(node)
    await probe.do(lambda actor: actor.monitor(it.event))
    node.kill(it.producer.pid)
    message = await probe.get()
    assert (type(message), message.event) == (gen.MessageDownEvent, it.event)
    assert isinstance(message.reason, gen.TerminateKill)
    assert await probe.do(lambda actor: actor.register_event("topic")) != it.token


async def test_a_dead_subscriber_is_forgotten(node: homing.Node) -> None:
    it = await topic(node)
    probe = await Probe.start(node)
    await probe.do(lambda actor: actor.monitor(it.event))
    node.kill(probe.pid)
    assert await it.publish(1) == [0]
    assert node.info().event_failures == 0


async def test_a_subscriber_that_is_ending_gets_nothing_and_is_not_counted(node: homing.Node) -> None:
    it = await topic(node)

    class Slow(Doer):
        async def terminate(self, reason: Exception) -> None:
            await it.publish("while it ends")
            counted.extend(await it.publish("again"))

    counted: list[int] = []
    pid = await node.spawn(Slow)
    await node.call(pid, lambda actor: actor.monitor(it.event))
    node.kill(pid)
    await eventually(lambda: counted)
    assert counted == [0]
    assert node.info().event_failures == 0


async def test_a_producer_may_subscribe_to_its_own_event(node: homing.Node) -> None:
    it = await topic(node)
    await it.producer.do(lambda actor: actor.link(it.event))
    assert await it.publish("me") == [1]
    assert (await it.producer.get()).message == "me"


async def test_an_unhandled_publication_is_logged(node: homing.Node, caplog: pytest.LogCaptureFixture) -> None:
    it = await topic(node)
    pid = await node.spawn(Doer)
    await node.call(pid, lambda actor: actor.link(it.event))
    await it.publish(1)
    await eventually(lambda: caplog.messages == [f"unhandled {it.event}"])
