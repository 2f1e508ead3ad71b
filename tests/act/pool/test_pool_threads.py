"""Pools whose workers have threads of their own, and block them."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any

import pytest

import homing
from homing import act, gen

from ...node.actors import QUIET
from ...node.processes.threads import THREAD, Block, bounded, ended, no_thread
from ...support import Probe, eventually
from .pools import Book, Poison, account, do, first, start, until, workers


class Shelf(Book):
    """A book of workers that block their threads at the messages that are held."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[Any, Block] = {}

    def hold(self, message: Any) -> Block:
        """The next worker that has `message` in hand blocks."""
        self.held[message] = Block()
        return self.held[message]

    def of_key(self, key: Any) -> list[Any]:
        return [message for message in self.messages if message[0] == key]


class Blocking(act.Actor):
    """Notes what it handles."""

    def init(self, shelf: Shelf) -> None:
        self.shelf = shelf

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        block = self.shelf.held.pop(message, None) if isinstance(message, (tuple, int, str)) else None
        if block is not None:
            block()
        if isinstance(message, Exception):
            raise message
        self.shelf.handled.append((self.pid, message))

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        self.handle_message(sender, request)
        return self.pid


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


async def threaded(node: homing.Node, shelf: Shelf, **options: Any) -> gen.PID:
    """A pool of workers that block threads of their own."""
    return await start(node, shelf, **{"worker": Blocking, "worker_options": THREAD, **options})


async def process_with(node: homing.Node, pool: gen.PID, place: int) -> gen.PID:
    return (await workers(node, pool))[place]


# --- others go on -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ["round_robin", "least", "source", first])
async def test_a_worker_that_blocks_holds_up_neither_the_others_nor_the_loop(
    node: homing.Node, probe: Probe, shelf: Shelf, route: Any
) -> None:
    pool = await threaded(node, shelf, route=route, worker_mailbox_size=200)
    senders = [await Probe.start(node) for _ in range(10)]
    block = shelf.hold((0, "block"))
    await senders[0].do(lambda actor: actor.send(pool, (0, "block")))
    await block.entered()
    for key, sender in enumerate(senders):
        for number in range(10):
            await sender.do(lambda actor, message=(key, number): actor.send(pool, message))
    facts = await until(node, pool, messages_handled=await handled_by_others(node, pool, shelf))
    behind = facts["messages_waiting_at_workers"]
    assert len(shelf.handled) == 100 - behind
    assert behind < 100
    assert account(facts) == 101
    block.released.set()
    await shelf.count(101)


async def handled_by_others(node: homing.Node, pool: gen.PID, shelf: Shelf) -> int:
    """Waits until only the worker that blocks has anything to do, and gives how many the others have handled."""

    async def busy() -> list[Any]:
        slots = (await node.inspect(pool))["workers"].values()
        return [slot for slot in slots if slot["in_hand"] or slot["waiting"]]

    while len(await busy()) > 1 or (await node.inspect(pool))["messages_waiting"]:
        await asyncio.sleep(0.001)  # the threads need the interpreter's lock, too
    return len(shelf.handled)


@pytest.mark.parametrize("route", ["round_robin", "least"])
async def test_where_any_worker_will_do_no_more_wait_behind_a_blocked_one_than_its_mailbox_takes(
    node: homing.Node, shelf: Shelf, route: Any
) -> None:
    pool = await threaded(node, shelf, route=route, worker_mailbox_size=1, pool_size=2)
    block = shelf.hold(0)
    for number in range(100):
        node.send(pool, number)
    await block.entered()
    await shelf.count(98)
    facts = await until(node, pool, messages_handled=98)
    assert (facts["messages_in_hand"], facts["messages_waiting"]) == (1, 0)
    block.released.set()
    assert sorted(await shelf.count(100)) == list(range(100))


async def test_blocked_workers_fill_and_the_pool_waits_for_the_first_that_goes_on(
    node: homing.Node, shelf: Shelf
) -> None:
    pool = await threaded(node, shelf, worker_mailbox_size=2, pool_size=2)
    blocks = [shelf.hold(number) for number in range(2)]
    for number in range(20):
        node.send(pool, number)
    for block in blocks:
        await block.entered()
    facts = await until(node, pool, messages_waiting_at_workers=4)
    assert (facts["messages_in_hand"], facts["messages_waiting"]) == (2, 14)
    blocks[0].released.set()
    await shelf.count(17)
    blocks[1].released.set()
    assert sorted(await shelf.count(20)) == list(range(20))


async def test_what_blocked_workers_have_no_room_for_is_dropped_if_asked_for(node: homing.Node, shelf: Shelf) -> None:
    pool = await threaded(node, shelf, worker_mailbox_size=2, pool_size=1, overflow="drop")
    block = shelf.hold(0)
    node.send(pool, 0)
    await block.entered()
    for number in range(1, 10):
        node.send(pool, number)
    facts = await until(node, pool, messages_dropped=7)
    assert account(facts) == 10
    block.released.set()
    assert await shelf.count(3) == [0, 1, 2]


async def test_least_loaded_counts_what_a_thread_has_taken_over(node: homing.Node, shelf: Shelf) -> None:
    pool = await threaded(node, shelf, route="least", worker_mailbox_size=0, pool_size=2)
    block = shelf.hold(0)
    for number in range(20):
        node.send(pool, number)
    await block.entered()
    await until(node, pool, messages_handled=10, messages_waiting_at_workers=9)
    for number in range(20, 26):
        node.send(pool, number)
    await until(node, pool, messages_handled=16, messages_waiting_at_workers=9)
    block.released.set()
    await shelf.count(26)


# --- ends ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1024])
async def test_a_blocked_worker_that_is_taken_out_handles_what_waits_there_and_ends(
    node: homing.Node, shelf: Shelf, size: int
) -> None:
    pool = await threaded(node, shelf, worker_mailbox_size=size, pool_size=2)
    block = shelf.hold(1)
    for number in range(20):
        node.send(pool, number)
    await block.entered()
    await shelf.count(10)
    leaving = await process_with(node, pool, 1)
    assert await do(node, pool, lambda pool: pool.remove_workers(1)) == 1
    facts = await until(node, pool, messages_handled=10)
    assert (facts["draining"], facts["messages_waiting_at_workers"], facts["messages_in_hand"]) == (1, 9, 1)
    block.released.set()
    facts = await until(node, pool, draining=0)
    assert (facts["messages_handled"], facts["messages_waiting_at_workers"]) == (20, 0)
    assert [n for n in shelf.messages if n % 2] == list(range(1, 20, 2))
    await no_thread(leaving)


@pytest.mark.parametrize("size", [0, 1024])
async def test_a_worker_that_is_taken_out_before_its_thread_takes_over_more_is_counted_right(
    node: homing.Node, shelf: Shelf, size: int
) -> None:
    pool = await threaded(node, shelf, worker_mailbox_size=size, pool_size=2)
    blocks = [shelf.hold(number) for number in (1, 3)]
    node.send(pool, 0)
    node.send(pool, 1)
    await blocks[0].entered()
    for number in range(2, 10):
        node.send(pool, number)
    await shelf.count(5)
    await do(node, pool, lambda pool: pool.remove_workers(1))
    blocks[0].released.set()
    await blocks[1].entered()  # what follows, the exit signal with it, is the thread's now, if the mailbox has no limit
    facts = await until(node, pool, messages_handled=6)
    assert (facts["messages_waiting_at_workers"], facts["messages_in_hand"]) == (3, 1)
    blocks[1].released.set()
    await until(node, pool, draining=0, messages_handled=10)


@pytest.mark.parametrize("size", [0, 1024])
async def test_a_worker_that_crashes_leaves_what_its_thread_has_not_begun_with_to_its_successor(
    node: homing.Node, shelf: Shelf, size: int
) -> None:
    pool = await threaded(node, shelf, worker_mailbox_size=size, pool_size=1)
    block = shelf.hold(0)
    for message in (0, 1, Poison(), 2, 3, Poison(), 4):
        node.send(pool, message)
    await block.entered()
    node.send(pool, 5)
    block.released.set()
    assert await shelf.count(6) == [0, 1, 2, 3, 4, 5]
    facts = await until(node, pool, worker_restarts=2, dead_letters=2, messages_handled=6)
    assert facts["messages_waiting_at_workers"] == 0


@pytest.mark.parametrize("size", [0, 1024])
@pytest.mark.parametrize("route", ["round_robin", "least", "source", first])
async def test_a_worker_killed_while_it_blocks_has_a_successor_once_the_callback_has_returned(
    node: homing.Node, shelf: Shelf, route: Any, size: int
) -> None:
    pool = await threaded(node, shelf, route=route, worker_mailbox_size=size, pool_size=1)
    block = shelf.hold((0, 0))
    for number in range(5):
        node.send(pool, (0, number))
    await block.entered()
    killed = await process_with(node, pool, 0)
    node.kill(killed)
    for number in range(5, 10):
        node.send(pool, (0, number))
    answer = node.call(pool, (0, 10))
    facts = await until(node, pool, running=0, messages_in_hand=1)
    assert (account(facts), facts["messages_handled"]) == (10, 0)
    block.released.set()
    assert await bounded(answer) != killed
    assert shelf.messages == [(0, number) for number in range(11)]
    assert shelf.handled[0][0] == killed
    await until(node, pool, worker_restarts=1, running=1, messages_handled=11, dead_letters=0)


async def test_while_a_killed_worker_blocks_the_others_serve(node: homing.Node, shelf: Shelf) -> None:
    pool = await threaded(node, shelf, pool_size=2)
    block = shelf.hold(0)
    node.send(pool, 0)
    await block.entered()
    node.kill(await process_with(node, pool, 0))
    for number in range(1, 20):
        node.send(pool, number)
    assert await shelf.count(19) == list(range(1, 20))
    block.released.set()
    await until(node, pool, messages_handled=20, running=2)


async def test_a_slot_whose_killed_worker_blocks_is_taken_out_and_what_waits_there_is_dealt_anew(
    node: homing.Node, shelf: Shelf
) -> None:
    pool = await threaded(node, shelf, route=first, pool_size=2)
    keys = range(24)  # so many that both workers have some, whatever the secret
    total = 6 * len(keys)
    blocks = {key: shelf.hold((key, 0)) for key in keys}
    for number in range(5):
        for key in keys:
            node.send(pool, (key, number))
    await eventually(lambda: sum(block.reached.is_set() for block in blocks.values()) == 2)
    killed = await process_with(node, pool, 1)
    node.kill(killed)
    for key in keys:
        node.send(pool, (key, 5))
    facts = await until(node, pool, messages_waiting_at_workers=total - 2)
    await do(node, pool, lambda pool: pool.remove_workers(1))
    facts = await node.inspect(pool)
    assert (facts["messages_waiting_at_workers"], facts["messages_handled"]) == (total - 2, 0)
    for block in blocks.values():
        block.released.set()
    await shelf.count(total)
    for key in keys:
        assert shelf.of_key(key) == [(key, number) for number in range(6)]
    await until(node, pool, draining=0, messages_handled=total, worker_restarts=0)


@pytest.mark.parametrize("size", [0, 4, 1024])
@pytest.mark.parametrize("seed", range(3))
async def test_the_order_of_each_key_outlives_crashes_kills_and_changes_of_size(
    node: homing.Node, shelf: Shelf, seed: int, size: int
) -> None:
    chance = random.Random(seed)
    pool = await threaded(node, shelf, route=first, worker_mailbox_size=size, pool_size=3)
    sent = dict.fromkeys(range(8), 0)
    poisons = 0
    for _ in range(40):
        for _ in range(25):
            key = chance.randrange(8)
            node.send(pool, (key, sent[key]))
            sent[key] += 1
        held = (key, sent[key])
        block = shelf.hold(held)
        node.send(pool, held)
        sent[key] += 1
        await block.entered()
        match chance.randrange(5):
            case 0:
                running = [pid for pid in await workers(node, pool) if node._process(pid).alive]
                node.kill(chance.choice(running))
            case 1:
                running = [pid for pid in await workers(node, pool) if node._process(pid).alive]
                with contextlib.suppress(gen.MailboxFull):  # if it works off what it has
                    node.send(chance.choice(running), Poison())
                    poisons += 1
            case 2:
                changing = do(node, pool, lambda pool: pool.add_workers(1))
                block.released.set()
                await bounded(changing)
            case 3 if (await node.inspect(pool))["pool_size"] > 1:
                await do(node, pool, lambda pool: pool.remove_workers(1))
        block.released.set()
    total = sum(sent.values())
    await shelf.count(total)
    for key, count in sent.items():
        assert shelf.of_key(key) == [(key, number) for number in range(count)]
    facts = await until(node, pool, draining=0, messages_in_hand=0, messages_waiting_at_workers=0)
    assert len(shelf.handled) == total
    assert facts["messages_handled"] + facts["dead_letters"] == total
    assert facts["dead_letters"] <= poisons


@pytest.mark.parametrize("size", [0, 1024])
async def test_workers_end_with_the_pool_after_the_message_in_hand(node: homing.Node, shelf: Shelf, size: int) -> None:
    pool = await threaded(node, shelf, worker_mailbox_size=size, pool_size=2)
    blocks = [shelf.hold(number) for number in range(2)]
    for number in range(20):
        node.send(pool, number)
    for block in blocks:
        await block.entered()
    own = await workers(node, pool)
    node.send_exit(pool, gen.TerminateShutdown())
    await ended(node, pool)
    assert all(pid in node.processes() for pid in own)
    for block in blocks:
        block.released.set()
    for pid in own:
        await no_thread(pid)
        await ended(node, pid)
    assert sorted(shelf.messages) == [0, 1]
    assert node.info().discarded == 18


async def test_a_node_stops_although_workers_block(shelf: Shelf) -> None:
    node = await homing.start_node("stopping@localhost", QUIET)
    pool = await threaded(node, shelf, pool_size=2)
    block = shelf.hold(0)
    for number in range(10):
        node.send(pool, number)
    await block.entered()
    (own, _) = await workers(node, pool)
    assert not await node.stop(0)
    assert node.info().processes == 0
    block.released.set()
    await no_thread(own)
