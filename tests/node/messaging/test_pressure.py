"""Back-pressure from process to process: who is held, for how long, and that nobody waits for ever."""

from __future__ import annotations

import asyncio
from typing import Any

import homing
from homing import act, gen

from ...support import eventually

HIGH, LOW = 1024, 256
SENT = 5000


class Slow(act.Actor):
    """Handles one message for each step that the test allows."""

    def init(self, steps: asyncio.Semaphore) -> None:
        self.steps = steps
        self.handled: list[Any] = []

    async def handle_message(self, sender: Any, message: Any) -> None:
        await self.steps.acquire()
        self.handled.append(message)

    async def handle_call(self, sender: Any, ref: gen.Ref, request: Any) -> Any:
        return await request(self)


class Forwarder(act.Actor):
    """Sends what it gets to another, `times` times."""

    def init(self, to: Any, times: int = 1) -> None:
        self.to = to
        self.times = times

    def handle_message(self, sender: Any, message: Any) -> None:
        for _ in range(self.times):
            self.send(self.to, message)

    def handle_call(self, sender: Any, ref: gen.Ref, request: Any) -> Any:
        return request


class Workers(act.Pool):
    def init(self, *args: Any) -> act.PoolOptions:
        return act.PoolOptions(worker=Forwarder, worker_args=args, pool_size=4, route="round_robin")


def waiting(node: homing.Node, to: Any) -> int:
    return node.process_info(to).mailbox.main


async def test_a_pools_workers_wait_for_the_process_that_they_send_to(node: homing.Node) -> None:
    steps = asyncio.Semaphore(0)
    slow = await node.spawn(Slow, steps, name="slow")
    pool = await node.spawn(Workers, "slow")
    workers = list(node._core.processes[pool].behavior._forwarder.workers.processes)
    for number in range(3 * SENT):
        node.send(pool, number)
    await eventually(lambda: all(worker.held_by for worker in workers))
    assert HIGH <= waiting(node, slow) <= HIGH + len(workers)
    await eventually(lambda: waiting(node, pool) == 3 * SENT - waiting(node, slow) - 1 - 4 * 1024)
    assert node.process_info(workers[0].id).held_by == slow
    for _ in range(3 * SENT):
        steps.release()
    await eventually(lambda: node.process_info(slow).messages_in == 3 * SENT and not waiting(node, slow))
    assert not any(worker.held_by for worker in workers)


async def test_a_chain_of_processes_is_held_from_its_end_to_its_beginning(node: homing.Node) -> None:
    steps = asyncio.Semaphore(0)
    slow = await node.spawn(Slow, steps)
    last = await node.spawn(Forwarder, slow)
    middle = await node.spawn(Forwarder, last)
    pool = await node.spawn(Workers, middle)
    for number in range(3 * SENT):
        node.send(pool, number)
    await eventually(lambda: node.process_info(middle).held_by == last)
    for pid in (slow, last, middle):
        assert waiting(node, pid) <= HIGH + 256
    for _ in range(3 * SENT):
        steps.release()
    await eventually(lambda: node.process_info(slow).messages_in == 3 * SENT and not waiting(node, slow))


async def test_a_receiver_with_a_limit_is_not_overrun_by_its_workers(node: homing.Node) -> None:
    steps = asyncio.Semaphore(0)
    slow = await node.spawn(Slow, steps, options=gen.ProcessOptions(mailbox_size=100))
    pool = await node.spawn(Workers, slow)
    for number in range(SENT):
        node.send(pool, number)
    await eventually(lambda: waiting(node, slow) >= 50)
    for number in range(SENT):
        steps.release()
        if number % 50 == 0:
            await asyncio.sleep(0)
            assert waiting(node, slow) <= 100
    await eventually(lambda: node.process_info(slow).messages_in == SENT and not waiting(node, slow))
    assert node.info().crashes == 0


async def test_a_receiver_that_drops_holds_nobody(node: homing.Node) -> None:
    slow = await node.spawn(
        Slow, asyncio.Semaphore(0), options=gen.ProcessOptions(mailbox_size=10, overflow="drop_newest")
    )
    pool = await node.spawn(Workers, slow)
    for number in range(SENT):
        node.send(pool, number)
    await eventually(lambda: node.process_info(slow).dropped_newest == SENT - 11)


async def test_who_is_not_behind_a_socket_or_a_pool_is_not_held(node: homing.Node) -> None:
    slow = await node.spawn(Slow, asyncio.Semaphore(0))
    sender = await node.spawn(Forwarder, slow)
    for number in range(SENT):
        node.send(sender, number)
    await eventually(lambda: waiting(node, slow) == SENT - 1)


async def test_the_option_of_the_sender_switches_it_off(node: homing.Node) -> None:
    class Free(act.Pool):
        def init(self, to: gen.PID) -> act.PoolOptions:
            options = gen.ProcessOptions(back_pressure=False)
            return act.PoolOptions(worker=Forwarder, worker_args=(to,), worker_options=options)

    slow = await node.spawn(Slow, asyncio.Semaphore(0))
    pool = await node.spawn(Free, slow)
    for number in range(SENT):
        node.send(pool, number)
    await eventually(lambda: waiting(node, slow) == SENT - 1)


async def test_a_circle_of_processes_that_flood_each_other_goes_on(node: homing.Node) -> None:
    class Echo(act.Actor):
        def init(self) -> None:
            self.left = 20

        def handle_message(self, sender: Any, message: Any) -> None:
            if message == "flood":
                for _ in range(3 * HIGH):
                    self.send(self.other, "back")
            elif self.left:
                self.left -= 1
                for _ in range(HIGH):
                    self.send(self.other, "more")

        def handle_call(self, sender: Any, ref: gen.Ref, request: Any) -> Any:
            self.other = request

    first, second = await node.spawn(Echo), await node.spawn(Echo)
    await node.call(first, second)
    await node.call(second, first)
    for pid in (first, second):
        node._core.processes[pid].fed = True
        node.send(pid, "flood")
    expected = 2 + 6 * HIGH + 40 * HIGH
    await eventually(
        lambda: (
            sum(node.process_info(pid).messages_in for pid in (first, second)) == expected + 2
            and not waiting(node, first)
            and not waiting(node, second)
        )
    )


async def test_a_request_to_a_process_that_is_held_is_answered(node: homing.Node) -> None:
    slow = await node.spawn(Slow, asyncio.Semaphore(0))
    sender = await node.spawn(Forwarder, slow)
    node._core.processes[sender].fed = True
    for number in range(2 * HIGH):
        node.send(sender, number)
    await eventually(lambda: node.process_info(sender).held_by == slow)
    assert await node.call(sender, "request") == "request"
    assert waiting(node, sender) == 0


async def test_a_receiver_may_call_the_process_that_waits_for_it(node: homing.Node) -> None:
    steps = asyncio.Semaphore(0)
    slow = await node.spawn(Slow, steps)
    sender = await node.spawn(Forwarder, slow)
    node._core.processes[sender].fed = True
    asked = asyncio.ensure_future(node.call(slow, lambda actor: actor.call(sender, "request")))
    for number in range(2 * HIGH):
        node.send(sender, number)
    assert await asked == "request"


async def test_the_end_of_the_receiver_lets_go_of_who_waits_for_it(node: homing.Node) -> None:
    slow = await node.spawn(Slow, asyncio.Semaphore(0), name="slow")
    sender = await node.spawn(Forwarder, "slow")
    node._core.processes[sender].fed = True
    for number in range(HIGH + 1):
        node.send(sender, number)
    await eventually(lambda: node.process_info(sender).held_by == slow)
    node.kill(slow)
    await eventually(lambda: slow not in node.processes())
    successor = await node.spawn(Slow, asyncio.Semaphore(0), name="slow")
    await eventually(lambda: node.process_info(sender).held_by is None)
    node.send(sender, "more")
    await eventually(lambda: node.process_info(successor).messages_in == 1)


async def test_what_one_callback_sends_is_not_cut_short(node: homing.Node) -> None:
    slow = await node.spawn(Slow, asyncio.Semaphore(0))
    pool = await node.spawn(Workers, slow, 3 * HIGH)
    node.send(pool, "once")
    await eventually(lambda: waiting(node, slow) == 3 * HIGH - 1)
