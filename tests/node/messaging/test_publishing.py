"""Publications to many: they are handed out in portions, and the order of what one process sends stays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import homing
from homing import act, gen

from ...support import UDPPeer, eventually
from ..actors import QUIET, Doer
from ..test_mass_ends import Echo, ask

COUNT = 300
"""More than are reached at once."""


class Subscriber(act.Actor):
    """Keeps what it gets: `got`."""

    def init(self, *topics: gen.Event) -> None:
        self.got: list[Any] = []
        for topic in topics:
            self.monitor(topic)

    def handle_event(self, event: gen.MessageEvent) -> None:
        self.got.append(event.message)

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.got.append(message)

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        if callable(request):
            return request(self)
        self.got.append(request)
        return None


class Scene:
    """A producer of two events, with many subscribers to the first."""

    def __init__(self, node: homing.Node) -> None:
        self.node = node
        self.event, self.other = gen.Event("topic", node.name), gen.Event("other", node.name)
        self.tokens: dict[str, gen.Ref] = {}
        self.subscribers: list[Subscriber] = []

    async def fill(self, count: int = COUNT, **options: Any) -> Scene:
        self.producer = await self.node.spawn(Doer)

        def register(actor: act.Actor) -> None:
            for name in ("topic", "other"):
                self.tokens[name] = actor.register_event(name, gen.EventOptions(**options))

        await self.node.call(self.producer, register)
        for _ in range(count):
            await self.subscribe(self.event)
        self.last = self.subscribers[-1]
        return self

    async def subscribe(self, *topics: gen.Event) -> Subscriber:
        pid = await self.node.spawn(Subscriber, *topics)
        await self.node.call(pid, self.subscribers.append)
        return self.subscribers[-1]

    def publish(self, actor: act.Actor, message: Any, name: str = "topic") -> int:
        return actor.send_event(name, self.tokens[name], message)

    async def do(self, function: Any) -> Any:
        """Runs `function(actor)` in the producer."""
        return await self.node.call(self.producer, function)

    def reached(self) -> int:
        """Subscribers into whose mailboxes something was put since they were started."""
        processes = self.node._core.processes
        return sum(processes[subscriber.pid].messages_in > 1 for subscriber in self.subscribers)


@pytest.fixture
async def scene(node: homing.Node) -> Scene:
    return await Scene(node).fill()


async def test_each_of_many_subscribers_gets_each_publication_once_in_order(scene: Scene) -> None:
    assert await scene.do(lambda actor: [scene.publish(actor, number) for number in range(3)]) == [COUNT] * 3
    await eventually(lambda: len(scene.last.got) == 3)
    assert all(subscriber.got == [0, 1, 2] for subscriber in scene.subscribers)


async def test_a_message_to_a_subscriber_comes_after_what_its_sender_has_published_before(scene: Scene) -> None:
    def send(actor: act.Actor) -> None:
        scene.publish(actor, "published")
        actor.send(scene.last.pid, "sent")

    await scene.do(send)
    await eventually(lambda: len(scene.last.got) == 2)
    assert scene.last.got == ["published", "sent"]


async def test_a_request_to_a_subscriber_comes_after_what_the_caller_has_published_before(scene: Scene) -> None:
    async def call(actor: act.Actor) -> None:
        scene.publish(actor, "published")
        await actor.call(scene.last.pid, "asked")

    await scene.do(call)
    assert scene.last.got == ["published", "asked"]


async def test_a_publication_to_few_comes_after_one_to_many_of_the_same_producer(scene: Scene) -> None:
    both = await scene.subscribe(scene.event, scene.other)
    await scene.do(lambda actor: [scene.publish(actor, name, name) for name in ("topic", "other")])
    await eventually(lambda: len(both.got) == 2)
    assert both.got == ["topic", "other"]


async def test_all_subscribers_get_the_publications_of_two_producers_in_one_order(scene: Scene) -> None:
    second = await scene.node.spawn(Doer)

    async def publish(actor: act.Actor) -> None:
        scene.publish(actor, 1)
        await actor.call(second, lambda other: scene.publish(other, 2))
        scene.publish(actor, 3)

    await scene.do(publish)
    await eventually(lambda: len(scene.last.got) == 3)
    assert all(subscriber.got == [1, 2, 3] for subscriber in scene.subscribers)


async def test_the_producer_takes_its_next_message_when_all_have_the_publication(scene: Scene) -> None:
    producer = await scene.node.spawn(Producer, scene)
    for message in ("publish", "count"):
        scene.node.send(producer, message)
    counts = await eventually(lambda: Producer.counts)
    assert counts == [COUNT]


class Producer(act.Actor):
    """Publishes, then counts who was reached."""

    counts: list[int]

    def init(self, scene: Scene) -> None:
        self.scene = scene
        type(self).counts = []

    def handle_message(self, sender: gen.PID, message: str) -> None:
        if message == "publish":
            self.scene.publish(self, 1)
        else:
            self.counts.append(self.scene.reached())


async def test_who_subscribes_while_the_others_are_reached_has_the_publication_from_the_buffer_only(
    node: homing.Node,
) -> None:
    scene = await Scene(node).fill(buffer=1)
    late = await node.spawn(Doer)

    async def publish(actor: act.Actor) -> list[Any]:
        scene.publish(actor, "published")
        missed = await actor.call(late, lambda other: other.monitor(scene.event))
        scene.publish(actor, "end")
        return [event.message for event in missed]

    got: list[Any] = []
    node._core.processes[late].behavior.handle_event = lambda event: got.append(event.message)
    assert await scene.do(publish) == ["published"]
    await eventually(lambda: got)
    assert got == ["end"]


async def test_a_producer_that_ends_has_published_all_the_same(scene: Scene) -> None:
    def publish(actor: act.Actor) -> None:
        scene.publish(actor, "last words")
        raise gen.TerminateShutdown

    with pytest.raises(gen.ProcessTerminated):
        await scene.do(publish)
    await eventually(lambda: all("last words" in subscriber.got for subscriber in scene.subscribers))


async def test_subscribers_whose_mailbox_is_full_are_counted_when_they_are_reached(node: homing.Node) -> None:
    scene = await Scene(node).fill()
    for subscriber in scene.subscribers:
        node._core.processes[subscriber.pid].limit = 1
    await scene.do(lambda actor: [scene.publish(actor, number) for number in range(2)] and None)
    await eventually(lambda: not node._core.scheduler.works)
    assert node.info().event_failures + sum(len(subscriber.got) for subscriber in scene.subscribers) == 2 * COUNT


async def test_a_publication_to_few_comes_after_one_to_many_of_the_same_event(scene: Scene) -> None:
    second = await scene.node.spawn(Doer)

    async def publish(actor: act.Actor) -> None:
        scene.publish(actor, 1)
        for subscriber in scene.subscribers[:-1]:
            subscriber.demonitor(scene.event)
        await actor.call(second, lambda other: scene.publish(other, 2))

    await scene.do(publish)
    await eventually(lambda: len(scene.last.got) == 2)
    assert scene.last.got == [1, 2]


SHORT_SLICES = replace(QUIET, slice_seconds=0.0001, turn_seconds=0.0001)


async def test_a_message_by_timer_comes_after_what_was_published_before() -> None:
    async with homing.start_node("crowd@localhost", SHORT_SLICES) as node:
        scene = await Scene(node).fill(10 * COUNT)

        def send(actor: act.Actor) -> None:
            scene.publish(actor, "published")
            actor.send_after(scene.last.pid, "sent", 0)

        await scene.do(send)
        await eventually(lambda: len(scene.last.got) == 2)
        assert scene.last.got == ["published", "sent"]


async def test_an_echo_is_answered_while_thousands_get_a_publication() -> None:
    async with homing.start_node("crowd@localhost", SHORT_SLICES) as node:
        scene = await Scene(node).fill(20 * COUNT)
        address = await node.call(await node.spawn(Echo), "where")
        with UDPPeer() as peer:
            await scene.do(lambda actor: scene.publish(actor, 1))
            steps = [scene.reached()]
            while steps[-1] < 20 * COUNT:
                await ask(peer, address)
                steps.append(scene.reached())
        assert any(0 < reached < 20 * COUNT for reached in steps[1:]), steps
