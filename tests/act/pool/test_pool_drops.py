"""A pool that drops what finds its worker full: which message goes, and how it is counted."""

from __future__ import annotations

from typing import Any

import pytest

import homing
from homing import act, gen

from ...meta.servers import Gate
from ...support import eventually
from .test_pool_overflow import HOLDS, Narrow, do, fill


class DropsNewest(Narrow):
    def init(self, gate: Gate, **options: Any) -> act.PoolOptions:
        return super().init(gate, overflow="drop_newest", **options)


class DropsOldest(Narrow):
    def init(self, gate: Gate, **options: Any) -> act.PoolOptions:
        return super().init(gate, overflow="drop_oldest", **options)


async def failed(node: homing.Node, pool: gen.PID) -> list[Any]:
    return [message for _, message in await do(node, pool, lambda actor: list(actor.failed))]


@pytest.mark.parametrize("behavior", [DropsNewest, DropsOldest])
@pytest.mark.parametrize("route", ["round_robin", "least"])
async def test_where_all_workers_are_full_each_message_more_is_one_dropped_and_the_account_holds(
    node: homing.Node, behavior: type[Narrow], route: str
) -> None:
    gate = Gate()
    pool = await node.spawn(behavior, gate)
    await fill(node, pool, gate)
    for number in range(HOLDS, 50):
        node.send(pool, number)
    await eventually(lambda: not node.process_info(pool).mailbox.main)
    facts = await node.inspect(pool)
    assert (facts["messages_dropped"], facts["messages_forwarded"]) == (50 - HOLDS, HOLDS)
    assert sum(worker["dropped"] for worker in facts["workers"].values()) == 50 - HOLDS
    dropped = await failed(node, pool)
    gate.let(HOLDS)
    await gate.passed_by(HOLDS)
    assert sorted(dropped + gate.passed) == list(range(50))
    kept = set(range(HOLDS)) if behavior is DropsNewest else {*gate.passed[:2], *range(44, 50)}
    assert set(gate.passed) == kept


@pytest.mark.parametrize("behavior", [DropsNewest, DropsOldest])
async def test_with_keys_only_the_full_workers_share_is_dropped(node: homing.Node, behavior: type[Narrow]) -> None:
    gate = Gate()
    options = {"route": lambda sender, message: message[0], "pool_size": 8}

    class Keyed(behavior):  # type: ignore[misc, valid-type]
        def init(self, gate: Gate) -> act.PoolOptions:
            return super().init(gate, **options)

    pool = await node.spawn(Keyed, gate)
    node.send(pool, ("slow", 0))
    await eventually(lambda: len(gate.reached) == 1)
    for number in range(1, 10):
        node.send(pool, ("slow", number))
    await eventually(lambda: not node.process_info(pool).mailbox.main)
    facts = await node.inspect(pool)
    (slow,) = (worker for worker in facts["workers"].values() if worker["dropped"])
    assert (slow["dropped"], slow["waiting"], slow["in_hand"]) == (6, 3, 1)
    # the workers of the others are free, but for those whose key meets the same worker
    for number in range(40):
        node.send(pool, (f"other {number}", 0))
    await eventually(lambda: not node.process_info(pool).mailbox.main)
    facts = await node.inspect(pool)
    assert facts["pauses"] == 0
    gate.let(100)
    held = facts["messages_forwarded"]
    await gate.passed_by(held)
    slow_ones = [number for key, number in gate.passed if key == "slow"]
    newest = slow_ones[1:] if behavior is DropsOldest else slow_ones
    assert newest == sorted(newest)
    dropped = await failed(node, pool)
    assert len(dropped) + len(gate.passed) == 50


async def test_a_caller_whose_request_is_dropped_is_told_at_once(node: homing.Node) -> None:
    gate = Gate()
    pool = await node.spawn(DropsNewest, gate)
    await fill(node, pool, gate)
    with pytest.raises(gen.MailboxFull):
        await node.call(pool, "request")
    gate.let(HOLDS)
    await gate.passed_by(HOLDS)
