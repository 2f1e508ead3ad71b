"""A pool whose workers are all full: it keeps what comes and waits, or drops and counts it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen

from ...meta.servers import Gate, Gated, create
from ...support import Probe, UDPPeer, eventually


class Narrow(act.Pool):
    """Two workers at one gate, each with room for three."""

    def init(self, gate: Gate, **options: Any) -> act.PoolOptions:
        self.failed: list[Any] = []
        return act.PoolOptions(
            **{"worker": GatedWorker, "worker_args": (gate,), "pool_size": 2, "worker_mailbox_size": 3, **options}
        )

    def handle_forward_failed(self, sender: gen.PID, message: Any) -> None:
        self.failed.append((sender, message))

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        result = request(self)
        return await result if asyncio.iscoroutine(result) else result


class GatedWorker(Gated):
    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        await self.gate.enter(request)
        return ("answer", request)


class Dropping(Narrow):
    def init(self, gate: Gate, **options: Any) -> act.PoolOptions:
        return super().init(gate, overflow="drop", **options)


HOLDS = 8
"""Messages that the workers hold: one in hand and three waiting at each."""


async def do(node: homing.Node, pool: gen.PID, function: Any) -> Any:
    return await node.call(pool, function, priority=gen.MessagePriority.HIGH)


async def full(node: homing.Node, pool: gen.PID, waiting: int) -> None:
    """Waits until the workers are full and `waiting` messages wait in the pool."""
    async with asyncio.timeout(5):
        while True:
            facts = await node.inspect(pool)
            held = [worker["waiting"] for worker in facts["workers"].values()]
            if facts["messages_waiting"] == waiting and all(number == 3 for number in held):
                return
            await asyncio.sleep(0)


async def fill(node: homing.Node, pool: gen.PID, gate: Gate) -> None:
    """Lets each worker take one message in hand and three into its mailbox."""
    for number in range(2):
        node.send(pool, number)
    await eventually(lambda: len(gate.reached) == 2)
    for number in range(2, HOLDS):
        node.send(pool, number)
    await full(node, pool, 0)


async def test_when_all_workers_are_full_the_pool_keeps_what_comes_and_all_arrives_in_the_end(
    node: homing.Node,
) -> None:
    gate = Gate()
    pool = await node.spawn(Narrow, gate)
    await fill(node, pool, gate)
    for number in range(HOLDS, 100):
        node.send(pool, number)
    await full(node, pool, 100 - HOLDS)
    facts = await node.inspect(pool)
    assert facts["messages_forwarded"] == HOLDS
    assert facts["pauses"] > 0
    gate.let(100)
    await gate.passed_by(100)
    assert sorted(gate.passed) == list(range(100))
    facts = await node.inspect(pool)
    assert (facts["messages_forwarded"], facts["messages_dropped"], facts["messages_waiting"]) == (100, 0, 0)


async def test_no_worker_ever_holds_more_than_its_mailbox_takes(node: homing.Node) -> None:
    gate = Gate()
    pool = await node.spawn(Narrow, gate)
    for number in range(60):
        node.send(pool, number)
    for count in range(1, 61):
        gate.let()
        await gate.passed_by(count)
        held = [worker["waiting"] for worker in (await node.inspect(pool))["workers"].values()]
        assert max(held) <= 3


async def test_the_pools_own_lanes_pass_its_full_workers(node: homing.Node) -> None:
    gate = Gate()
    pool = await node.spawn(Narrow, gate)
    await fill(node, pool, gate)
    for number in range(50):
        node.send(pool, number)
    assert await do(node, pool, lambda actor: actor.pid) == pool
    node.send_exit(pool, gen.TerminateShutdown)
    await eventually(lambda: pool not in node.processes())
    gate.let(100)


async def test_a_udp_server_in_front_of_a_full_pool_pauses_and_everything_arrives_in_the_end(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = Gate()
    pool = await node.spawn(Narrow, gate, name="narrow")
    server = create(process="narrow", high_water=10, low_water=2)
    alias = await probe.do(lambda actor: actor.spawn_meta(server))
    for number in range(200):
        peer.send(b"%d" % number, server.local_address)
    await eventually(lambda: server.statistics().pauses > 0)
    assert node.process_info(pool).mailbox.main == 10
    assert server.statistics().packets_in <= HOLDS + 10
    assert (await node.inspect_meta(alias))["waiting_for"] == "mailbox"
    gate.let(200)
    await gate.passed_by(200)
    assert sorted(gate.payloads(), key=int) == [b"%d" % number for number in range(200)]
    assert server.statistics().kernel_drops in (0, None)


async def test_requests_wait_in_a_full_pool_and_are_answered_in_the_end(node: homing.Node) -> None:
    gate = Gate()
    pool = await node.spawn(Narrow, gate)
    await fill(node, pool, gate)
    calls = [asyncio.create_task(node.call(pool, ("request", number))) for number in range(5)]
    await full(node, pool, 5)
    gate.let(100)
    assert await asyncio.gather(*calls) == [("answer", ("request", number)) for number in range(5)]


async def test_a_caller_whose_request_waits_in_a_pool_that_ends_is_told_at_once(node: homing.Node) -> None:
    gate = Gate()
    pool = await node.spawn(Narrow, gate)
    await fill(node, pool, gate)
    call = asyncio.create_task(node.call(pool, "request"))
    await full(node, pool, 1)
    node.kill(pool)
    with pytest.raises(gen.ProcessTerminated):
        await call
    gate.let(100)


# --- overflow="drop" ----------------------------------------------------------------------------------------


async def test_with_drop_what_finds_all_workers_full_is_counted_and_told_to_the_pool(
    node: homing.Node, probe: Probe
) -> None:
    gate = Gate()
    pool = await node.spawn(Dropping, gate)
    await fill(node, pool, gate)
    await probe.do(lambda actor: [actor.send(pool, f"dropped {number}") for number in range(5)])
    expected = [(probe.pid, f"dropped {number}") for number in range(5)]
    assert await do(node, pool, lambda actor: actor.failed) == expected
    facts = await node.inspect(pool)
    assert (facts["messages_dropped"], facts["messages_forwarded"], facts["messages_waiting"]) == (5, HOLDS, 0)
    gate.let(100)
    await gate.passed_by(HOLDS)
    node.send(pool, "room again")
    await gate.passed_by(HOLDS + 1)
    assert gate.passed[-1] == "room again"


async def test_with_drop_a_request_that_finds_all_workers_full_fails_at_once(node: homing.Node) -> None:
    gate = Gate()
    pool = await node.spawn(Dropping, gate)
    await fill(node, pool, gate)
    with pytest.raises(gen.MailboxFull):
        await node.call(pool, "request", timeout=60)
    assert (await node.inspect(pool))["messages_dropped"] == 1
    gate.let(100)


# --- what waits at workers that go --------------------------------------------------------------------------


async def test_nothing_that_waits_at_a_removed_worker_is_lost(node: homing.Node) -> None:
    gate = Gate()
    pool = await node.spawn(Narrow, gate)
    await fill(node, pool, gate)
    for number in range(HOLDS, 20):
        node.send(pool, number)
    assert await do(node, pool, lambda actor: actor.remove_workers(1)) == 1
    gate.let(100)
    await gate.passed_by(20)
    assert sorted(gate.passed) == list(range(20))
    facts = await node.inspect(pool)
    assert (facts["messages_forwarded"], facts["messages_waiting"]) == (20, 0)


async def test_a_request_that_waits_at_a_removed_worker_is_answered_before_that_ends(node: homing.Node) -> None:
    gate = Gate()
    pool = await node.spawn(Narrow, gate)
    for number in range(2):
        node.send(pool, number)
    await eventually(lambda: len(gate.reached) == 2)
    calls = [asyncio.create_task(node.call(pool, number)) for number in range(6)]
    await full(node, pool, 0)
    removed = list((await node.inspect(pool))["workers"])[-1]
    await do(node, pool, lambda actor: actor.remove_workers(1))
    pids = {str(pid): pid for pid in node.processes()}
    gate.let(100)
    assert await asyncio.gather(*calls) == [("answer", number) for number in range(6)]
    await eventually(lambda: pids[removed] not in node.processes())


async def test_added_workers_take_what_waits_in_a_full_pool(node: homing.Node) -> None:
    gate = Gate()
    pool = await node.spawn(Narrow, gate)
    await fill(node, pool, gate)
    for number in range(4):
        node.send(pool, number)
    await full(node, pool, 4)
    assert await do(node, pool, lambda actor: actor.add_workers(1)) == 3
    await eventually(lambda: len(gate.reached) == 3)
    assert (await node.inspect(pool))["messages_forwarded"] >= HOLDS + 3
    gate.let(100)
    await gate.passed_by(HOLDS + 4)


async def test_a_full_pool_goes_on_when_a_worker_is_killed_and_replaced(node: homing.Node) -> None:
    gate = Gate()
    pool = await node.spawn(Narrow, gate)
    await fill(node, pool, gate)
    for number in range(4):
        node.send(pool, ("later", number))
    await full(node, pool, 4)
    before = node.processes()
    victim = next(pid for pid in before if pid != pool)
    node.kill(victim)
    gate.let(100)
    await eventually(lambda: sum(message in gate.passed for message in [("later", n) for n in range(4)]) == 4)
    await eventually(lambda: victim not in node.processes() and len(node.processes()) == len(before))
    facts = await node.inspect(pool)
    assert facts["messages_forwarded"] == HOLDS + 4
    assert facts["worker_restarts"] == 1


async def test_a_pool_without_limit_at_its_workers_never_waits(node: homing.Node) -> None:
    gate = Gate()
    pool = await node.spawn(Narrow, gate, options=gen.ProcessOptions())
    unlimited = await node.spawn(Unlimited, gate)
    for number in range(1000):
        node.send(unlimited, number)
    async with asyncio.timeout(5):
        while (await node.inspect(unlimited))["messages_forwarded"] != 1000:
            await asyncio.sleep(0)
    assert (await node.inspect(unlimited))["pauses"] == 0
    assert (await node.inspect(pool))["messages_forwarded"] == 0
    gate.let(1000)
    await gate.passed_by(1000)


class Unlimited(Narrow):
    def init(self, gate: Gate, **options: Any) -> act.PoolOptions:
        return super().init(gate, worker_mailbox_size=0, **options)
