"""Events of other nodes."""

from __future__ import annotations

import asyncio

import pytest

from homing import gen
from homing.cluster.memory_engine import MemoryNetwork

from .nodes import members, until, virtual
from .relating import NONE_LEFT, Publisher, news, process, reasons, relations_left

KEEPS = gen.EventOptions(buffer=3, notify=True)


@virtual
async def test_publications_come_in_order_with_the_publishers_messages() -> None:
    async with members("a", "b") as (a, b):
        publisher, watcher = await process(b, Publisher), await process(a)
        assert watcher.link_event(news(b)) == []
        await asyncio.sleep(1)
        for number in range(50):
            assert publisher.publish(number) == 1
            publisher.send(watcher.pid, f"after {number}")
        await until(lambda: len(watcher.got) == 100)
        assert watcher.got == [each for number in range(50) for each in (number, f"after {number}")]


@virtual
async def test_publications_in_the_buffer_come_first_and_once() -> None:
    async with members("a", "b") as (a, b):
        publisher = await process(b, Publisher, KEEPS)
        first, second = await process(a), await process(a)
        for number in range(5):
            publisher.publish(number)
        first.monitor(news(b))
        first.link(news(b))
        await asyncio.sleep(1)
        publisher.publish(5)
        await asyncio.sleep(1)
        second.monitor(news(b))
        publisher.publish(6)
        await asyncio.sleep(1)
        assert first.got == [2, 3, 4, 5, 6]
        assert second.got == [3, 4, 5, 6]


@virtual
async def test_a_node_subscribes_once_for_all_its_processes() -> None:
    async with members("a", "b", "c") as (a, b, c):
        publisher = await process(b, Publisher, KEEPS)
        watchers = [await process(a) for _ in range(100)] + [await process(c)]
        for one in watchers:
            one.monitor(news(b))
        await asyncio.sleep(1)
        sent = [b.cluster.node(other.node.name).batches_out for other in (a, c)]
        assert publisher.publish("x") == 2
        await until(lambda: all(one.got == ["x"] for one in watchers))
        assert len(publisher.got) == 1
        assert sent


@virtual
async def test_the_owner_is_notified_of_the_first_and_the_last_consumer_on_any_node() -> None:
    async with members("a", "b") as (a, b):
        publisher = await process(b, Publisher, KEEPS)
        here, there, second = await process(b), await process(a), await process(a)
        there.monitor(news(b))
        await asyncio.sleep(1)
        assert [type(message) for message in publisher.got] == [gen.MessageEventStart]
        second.link(news(b))
        here.monitor(news(b))
        there.demonitor(news(b))
        second.unlink(news(b))
        await asyncio.sleep(1)
        assert len(publisher.got) == 1
        here.demonitor(news(b))
        await asyncio.sleep(1)
        assert [type(message) for message in publisher.got] == [gen.MessageEventStart, gen.MessageEventStop]


@virtual
async def test_the_end_of_the_subscribers_node_is_the_end_of_its_subscription() -> None:
    async with members("a", "b") as (a, b):
        publisher, watcher = await process(b, Publisher, KEEPS), await process(a)
        watcher.monitor(news(b))
        await asyncio.sleep(1)
        b.engine.network.kill(a.node.name)
        await until(lambda: len(publisher.got) == 2)
        assert isinstance(publisher.got[1], gen.MessageEventStop)
        assert relations_left(b) == NONE_LEFT


@virtual
async def test_an_event_that_ends_is_down_once() -> None:
    async with members("a", "b") as (a, b):
        publisher, watcher = await process(b, Publisher), await process(a)
        watcher.monitor(gen.Event("unknown", b.node.name))
        await until(lambda: len(watcher.got) == 1)
        watcher.monitor(news(b))
        await asyncio.sleep(1)
        publisher.unregister_event("news")
        await until(lambda: len(watcher.got) == 2)
        publisher.token = publisher.register_event("news")
        watcher.monitor(news(b))
        await asyncio.sleep(1)
        b.node.kill(publisher.pid)
        await until(lambda: len(watcher.got) == 3)
        assert [type(reason) for reason in reasons(watcher, gen.MessageDownEvent)] == [
            gen.EventUnknown,
            gen.Unregistered,
            gen.TerminateKill,
        ]
        await asyncio.sleep(1)
        assert relations_left(a) == relations_left(b) == NONE_LEFT


@virtual
async def test_a_subscription_ends_with_the_node_and_can_be_made_again() -> None:
    async with members("a", "b") as (a, b):
        publisher, watcher = await process(b, Publisher, KEEPS), await process(a)
        publisher.publish("kept")
        watcher.link(news(b))
        await until(lambda: watcher.got == ["kept"])
        b.engine.network.partition(a.node.name, b.node.name)
        await until(lambda: len(watcher.got) == 2)
        publisher.publish("lost by those who are away")
        b.engine.network.heal()
        await until(lambda: a.cluster.links and b.cluster.links)
        watcher.link(news(b))
        await until(lambda: len(watcher.got) == 4)
        assert isinstance(watcher.got[1], gen.MessageExitEvent)
        assert isinstance(watcher.got[1].reason, gen.NodeDown)
        assert watcher.got[2:] == ["kept", "lost by those who are away"]


@virtual
async def test_publications_that_the_notice_of_the_end_has_overtaken_still_come() -> None:
    network = MemoryNetwork(jitter=0.5, seed=3)
    async with members("a", "b", network=network) as (a, b):
        for _ in range(10):
            publisher, watcher = await process(b, Publisher), await process(a)
            watcher.monitor(news(b))
            await asyncio.sleep(2)
            for number in range(20):
                publisher.publish(number)
            b.node.kill(publisher.pid)
            await asyncio.sleep(2)
            assert [each for each in watcher.got if isinstance(each, int)] == list(range(20))
            assert len(reasons(watcher, gen.MessageDownEvent)) == 1
        assert relations_left(a) == relations_left(b) == NONE_LEFT


@virtual
async def test_a_publication_that_cannot_be_sent_is_counted_and_never_raised() -> None:
    async with members("a", "b", max_message=2048, outbox_bytes=64 << 10) as (a, b):
        publisher, watcher, here = await process(b, Publisher), await process(a), await process(b)
        watcher.monitor(news(b))
        here.monitor(news(b))
        await asyncio.sleep(1)
        assert publisher.publish(object()) == 1
        assert publisher.publish(b"x" * 4096) == 1
        b.engine.network.freeze(a.node.name)
        reached = [publisher.publish(b"x" * 2000) for _ in range(2000)]
        assert reached[0] == 2
        assert reached[-1] == 1
        consumer = b.cluster.relations._consumers[a.node.name]
        assert consumer.failures == {"NotTransferable": 1, "MessageTooLarge": 1, "NodeBusy": reached.count(1)}
        assert b.node.info().event_failures == 2 + reached.count(1)


@virtual
async def test_large_publications_arrive() -> None:
    async with members("a", "b") as (a, b):
        publisher, watcher = await process(b, Publisher), await process(a)
        watcher.monitor(news(b))
        await asyncio.sleep(1)
        for number in range(5):
            publisher.publish(bytes([number]) * 1_000_000)
        await until(lambda: len(watcher.got) == 5)
        assert [len(each) for each in watcher.got] == [1_000_000] * 5


@virtual
async def test_many_subscribers_elsewhere_get_publications_and_messages_in_order() -> None:
    async with members("a", "b") as (a, b):
        publisher = await process(b, Publisher)
        watchers = [await process(a) for _ in range(200)]
        for one in watchers:
            one.monitor(news(b))
        await asyncio.sleep(1)
        for number in range(150):
            publisher.publish(number)
        publisher.send(watchers[-1].pid, "after them")
        await until(lambda: all(len(one.got) >= 150 for one in watchers))
        await asyncio.sleep(1)
        assert all(one.got == list(range(150)) for one in watchers[:-1])
        assert watchers[-1].got == [*range(150), "after them"]


@virtual
async def test_an_event_of_a_node_that_is_not_up_is_refused() -> None:
    async with members("a", "b") as (a, _):
        watcher = await process(a)
        with pytest.raises(gen.NodeUnknown):
            watcher.monitor_event(gen.Event("news", "c@localhost"))
        assert relations_left(a) == NONE_LEFT
