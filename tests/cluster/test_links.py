"""A link: its epochs, numbers, window and outbox; and what the ends of it mean for messages and calls."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from homing import gen
from homing.cluster.engine import MAIN, SIGNALS
from homing.cluster.memory_engine import MemoryNetwork

from .nodes import Keeper, behavior_of, member, members, until, virtual

A, B = "a@localhost", "b@localhost"


def resets(one: Any, name: str) -> int:
    return int(one.cluster._resets.get(name, 0))


def fill(sender: Any, to: gen.PID) -> int:
    """Sends until there is no room. Returns the number of messages sent."""
    for number in range(1000):
        try:
            sender.send(to, b"x" * 4000)
        except gen.NodeBusy:
            return number
    raise AssertionError("there is room for all")


@virtual
async def test_a_lost_batch_ends_the_link_and_nothing_of_its_epoch_comes_later() -> None:
    async with members("a", "b") as (a, b):
        a.engine.network.drop_next(A, B)
        a.keeper.send(b.pid, 1)
        await asyncio.sleep(0.1)
        a.keeper.send(b.pid, 2)
        await until(lambda: resets(b, A) and a.cluster.links and b.cluster.links)
        a.keeper.send(b.pid, 3)
        await until(lambda: b.messages)
        assert b.messages == [3]
        assert resets(b, A) == 1
        assert a.cluster.node(B).resets == 1


@virtual
async def test_a_batch_that_comes_twice_is_delivered_once() -> None:
    async with members("a", "b") as (a, b):
        a.engine.network.duplicate_next(A, B)
        a.keeper.send(b.pid, "once")
        await until(lambda: b.cluster.links[A].undelivered["duplicate"] and b.messages)
        assert b.messages == ["once"]


@virtual
async def test_messages_arrive_in_order_across_runs_types_and_batches() -> None:
    async with members("a", "b", network=MemoryNetwork(jitter=0.01)) as (a, b):
        sent: list[Any] = [n if n % 7 else str(n) for n in range(3000)]
        for message in sent:
            a.keeper.send(b.pid, message)
            if message == "1400":
                await asyncio.sleep(0.005)
        await until(lambda: len(b.messages) == len(sent))
        assert b.messages == sent


@virtual
async def test_a_full_outbox_refuses_messages_and_drains_in_the_end() -> None:
    async with members("a", "b", outbox_bytes=256 << 10, link_window=64 << 10) as (a, b):
        events = gen.Event("cluster", A)
        a.keeper.monitor_event(events)
        count = fill(a.keeper, b.pid)
        await a.cluster.room(B)
        await until(lambda: len(b.messages) == count)
        notices = [type(message) for message in a.messages]
        assert notices == [gen.MessageNodeBusy, gen.MessageNodeReady]


@pytest.mark.parametrize("overflow", ["drop_newest", "drop_oldest"])
def test_a_full_outbox_drops_messages_if_it_is_to(overflow: str) -> None:
    @virtual
    async def check() -> None:
        async with members("a", "b", outbox_bytes=256 << 10, link_window=64 << 10, overflow=overflow) as (a, b):
            for n in range(1000):
                a.keeper.send(b.pid, (n, b"x" * 4000))
            await until(lambda: not a.cluster.links[B].outbox.queued and not a.cluster.node(B).in_flight)
            numbers = [message[0] for message in b.messages]
            assert numbers == sorted(numbers)
            assert len(numbers) + a.cluster.node(B).dropped == 1000
            assert (numbers[-1] == 999) == (overflow == "drop_oldest")

    check()


@virtual
async def test_a_caller_whose_request_is_dropped_learns_it() -> None:
    async with members("a", "b", outbox_bytes=128 << 10, link_window=64 << 10, overflow="drop_oldest") as (a, b):
        for _ in range(30):
            a.keeper.send(b.pid, b"x" * 4000)
        call = asyncio.create_task(a.node.call(b.pid, "question"))
        await asyncio.sleep(0)
        for _ in range(100):
            a.keeper.send(b.pid, b"x" * 4000)
        with pytest.raises(gen.NodeBusy):
            await call


@virtual
async def test_a_later_start_of_a_node_takes_the_place_of_the_earlier() -> None:
    async with members("a", "b") as (a, b):
        a.keeper.monitor_node(B)
        later = await member(a.engine.network, "b")
        await until(lambda: len(a.messages) == 2)
        down, up = a.messages
        assert (type(down), down.creation) == (gen.MessageNodeDown, b.pid.creation)
        assert (type(up), up.creation) == (gen.MessageNodeUp, later.pid.creation)
        with pytest.raises(gen.ProcessTerminated):
            a.node.send(b.pid, "to the earlier")
        await later.node.stop()


@virtual
async def test_the_name_of_a_living_node_is_taken() -> None:
    network = MemoryNetwork()
    earlier = await member(network, "a")
    earlier.engine.own = earlier.engine.own._replace(creation=2**62)
    with pytest.raises(gen.NodeTaken):
        await member(network, "a")
    await earlier.node.stop()
    for process in asyncio.all_tasks() - {asyncio.current_task()}:
        process.cancel()


@virtual
async def test_a_partition_ends_the_link_and_its_end_begins_another() -> None:
    async with members("a", "b") as (a, b):
        network = a.engine.network
        network.partition(A, B, one_way=True)
        a.keeper.send(b.pid, "lost")
        await until(lambda: not a.cluster.links and not b.cluster.links)
        network.heal()
        await until(lambda: a.cluster.links and b.cluster.links)
        a.keeper.send(b.pid, "found")
        await until(lambda: b.messages)
        assert b.messages == ["found"]


@virtual
async def test_batches_that_cannot_be_read_close_the_link_for_a_minute() -> None:
    async with members("a", "b") as (a, b):
        network = a.engine.network
        for n in range(10):
            network.inject(A, B, b"\x95garbage" * (n + 1), MAIN)
        await until(lambda: A not in b.cluster.links)
        await asyncio.sleep(50)
        assert A not in b.cluster.links


@virtual
async def test_an_answer_that_cannot_travel_fails_the_call_and_the_callee_lives() -> None:
    class Odd(Keeper):
        def handle_call(self, sender: Any, ref: Any, request: Any) -> Any:
            return object() if request == "odd" else "even"

    async with members("a", "b") as (a, b):
        pid = await b.node.spawn(Odd)
        with pytest.raises(gen.NotTransferable):
            await a.node.call(pid, "odd")
        assert await a.node.call(pid, "even") == "even"


@virtual
async def test_a_message_that_cannot_travel_is_refused_at_the_sender() -> None:
    async with members("a", "b") as (a, b):
        with pytest.raises(gen.NotTransferable):
            a.keeper.send(b.pid, object())
        with pytest.raises(gen.MessageTooLarge):
            a.keeper.send(b.pid, b"x" * ((1 << 20) + 10))
        a.keeper.send(b.pid, "fine")
        await until(lambda: b.messages)
        assert b.messages == ["fine"]


@virtual
async def test_a_request_that_is_forwarded_across_nodes_is_answered() -> None:
    class Forwarder(Keeper):
        def handle_call(self, sender: Any, ref: Any, request: Any) -> Any:
            self.forward(request[0], request[1], sender=sender, ref=ref)
            return gen.NO_REPLY

    async with members("a", "b", "c") as (a, b, c):
        pid = await b.node.spawn(Forwarder)
        assert await a.node.call(pid, (c.pid, "question")) == "answer to question"
        assert c.keeper.got == [(a.node.pid, "question")]
        assert await b.node.call(pid, (c.pid, "own")) == "answer to own"
        c.engine.network.freeze("c@localhost")
        with pytest.raises(gen.NodeDown):
            await a.node.call(pid, (c.pid, "question"), timeout=60.0)
        assert len(b.node._core.calls) == 0


@virtual
async def test_a_third_node_can_answer_a_request() -> None:
    class Later(Keeper):
        def handle_call(self, sender: Any, ref: Any, request: Any) -> Any:
            self.send(request, (sender, ref))
            return gen.NO_REPLY

    class Answerer(Keeper):
        def handle_message(self, sender: Any, message: Any) -> None:
            self.send_response(*message, "from the third")

    async with members("a", "b", "c") as (a, b, c):
        later, answerer = await b.node.spawn(Later), await c.node.spawn(Answerer)
        assert await a.node.call(later, answerer, timeout=1.0) == "from the third"
        await asyncio.sleep(2)
        assert len(b.node._core.calls) == 0


@virtual
async def test_requests_timers_and_threads_reach_other_nodes() -> None:
    class Asker(Keeper):
        def handle_response(self, label: Any, answer: Any) -> None:
            self.got.append((label, answer))

    async with members("a", "b") as (a, b):
        asker = behavior_of(a.node, await a.node.spawn(Asker))
        asker.send_request(b.pid, "asked", "label")
        asker.send_after(b.pid, "later", 1.0)
        cancel = asker.send_every(b.pid, "tick", 1.0)
        await asyncio.sleep(2.5)
        cancel()
        a.node.send_threadsafe(b.pid, "from a thread")
        asker.send_with_priority(b.pid, "high", gen.MessagePriority.HIGH)
        await until(lambda: len(b.messages) == 6)
        assert asker.got == [("label", "answer to asked")]
        assert sorted(b.messages) == sorted(["asked", "later", "tick", "tick", "from a thread", "high"])


@virtual
async def test_nodes_learn_that_another_takes_no_new_work() -> None:
    async with members("a", "b") as (a, b):
        b.cluster.drain()
        await until(lambda: a.cluster.node(B).draining)


@virtual
async def test_a_name_that_is_not_exposed_cannot_be_addressed() -> None:
    async with members("a", "b", exposed=("store-*",)) as (a, b):
        with pytest.raises(gen.NameUnknown):
            await a.node.call(gen.ProcessID("keeper", B), "question")
        assert await a.node.call(b.pid, "question") == "answer to question"


def puts(one: Any) -> list[tuple[int, bool]]:
    """Returns a list to which the lane of each batch that a node sends is added, and whether it is light."""
    found: list[tuple[int, bool]] = []
    carry = one.engine.put

    def put(peer: Any, lane: int, data: bytes, light: bool = False) -> None:
        found.append((lane, light))
        carry(peer, lane, data, light)

    one.engine.put = put
    return found


@virtual
async def test_the_answers_to_all_calls_of_a_batch_go_back_in_one() -> None:
    async with members("a", "b") as (a, b):
        sent = puts(b)
        answers = await asyncio.gather(*(a.node.call(b.pid, number) for number in range(20)))
        assert answers == [f"answer to {number}" for number in range(20)]
        assert len([lane for lane, _ in sent if lane == MAIN]) == 1


@virtual
async def test_calls_that_begin_at_once_go_out_in_one_batch_and_a_lone_one_without_delay() -> None:
    async with members("a", "b") as (a, b):
        sent = puts(a)
        await asyncio.gather(*(a.node.call(b.pid, number) for number in range(20)))
        assert [lane for lane, _ in sent].count(MAIN) == 1
        tasks: list[Any] = []
        carry = a.engine.put
        a.engine.put = lambda *batch: (tasks.append(asyncio.current_task()), carry(*batch))
        assert await a.node.call(b.pid, "lone") == "answer to lone"
        assert tasks[0] is asyncio.current_task()  # not in a callback of its own, an iteration of the loop later


@virtual
async def test_a_batch_is_light_while_little_is_under_way() -> None:
    async with members("a", "b", network=MemoryNetwork(delay=0.1)) as (a, b):
        sent = puts(a)
        for _ in range(5):
            a.keeper.send(b.pid, bytes(200_000))
            await asyncio.sleep(0.001)
        assert sent == [(MAIN, True), (MAIN, True), (MAIN, False), (MAIN, False), (MAIN, False)]
        await until(lambda: len(b.messages) == 5 and a.cluster.node(B).in_flight == 0)
        sent.clear()
        a.keeper.send(b.pid, b"x")
        await asyncio.sleep(0.001)
        assert (MAIN, True) in sent


@virtual
async def test_a_request_that_cannot_travel_leaves_those_around_it_whole() -> None:
    async with members("a", "b", max_message=1024) as (a, b):
        requests: list[Any] = [1, "\ud800", 2, bytes(2000), 3, object(), 4]
        answers = await asyncio.gather(*(a.node.call(b.pid, one) for one in requests), return_exceptions=True)
        failed = {1: gen.NotTransferable, 3: gen.MessageTooLarge, 5: gen.NotTransferable}
        for at, answer in enumerate(answers):
            assert type(answer) is failed[at] if at in failed else answer == f"answer to {requests[at]}"
        assert [message for _, message in b.keeper.got] == [1, 2, 3, 4]
        assert resets(b, A) == 0


@virtual
async def test_an_acknowledgement_is_light_whatever_its_node_has_under_way() -> None:
    async with members("a", "b", network=MemoryNetwork(delay=0.01)) as (a, b):
        sent = puts(b)
        a.keeper.send(b.pid, "x")
        await until(lambda: b.messages and a.cluster.node(B).in_flight == 0)
        assert [batch for batch in sent if batch[1]] == [(SIGNALS, True)]
