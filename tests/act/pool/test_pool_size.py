"""Pools that grow and shrink while messages wait, and pools of pools."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen

from ...support import Probe, eventually
from .pools import Book, Noting, Poison, account, do, first, pool_class, start, until, workers


@pytest.fixture
def book() -> Book:
    return Book()


async def add(node: homing.Node, pool: gen.PID, n: int) -> int:
    size: int = await do(node, pool, lambda pool: pool.add_workers(n))
    return size


async def remove(node: homing.Node, pool: gen.PID, n: int) -> int:
    size: int = await do(node, pool, lambda pool: pool.remove_workers(n))
    return size


async def key_of(node: homing.Node, pool: gen.PID, worker: gen.PID) -> int:
    """A key whose messages this worker gets."""
    for key in range(200):
        if await node.call(pool, (key, "who")) == worker:
            return key
    raise AssertionError(f"{worker} gets nothing")


@pytest.mark.parametrize("route", ["round_robin", "least", first])
async def test_a_removed_worker_handles_what_waits_there_and_ends_in_order(
    route: Any, node: homing.Node, book: Book, probe: Probe
) -> None:
    pool = await start(node, book, pool_size=2, route=route)
    last = (await workers(node, pool))[1]
    await probe.do(lambda actor: actor.monitor(last))
    book.gate.clear()
    for number in range(20):
        node.send(pool, (number, number))
    facts = await until(node, pool, messages_in_hand=2)
    held = facts["workers"][str(last)]["waiting"] + 1
    assert await remove(node, pool, 1) == 1
    facts = await node.inspect(pool)
    assert (facts["pool_size"], facts["draining"], account(facts)) == (1, 1, 20)
    assert facts["workers"][str(last)]["waiting"] == held - 1
    book.gate.set()
    await book.count(20)
    down = await probe.get()
    assert (down.pid, type(down.reason)) == (last, gen.TerminateShutdown)
    own = [number for number, _ in book.by_worker()[last]]
    assert own == sorted(own)
    assert len(own) == held
    facts = await until(node, pool, draining=0)
    assert (facts["worker_restarts"], facts["dead_letters"], account(facts)) == (0, 0, 20)
    assert len(facts["workers"]) == 1


async def test_a_removed_worker_is_dealt_nothing_more(node: homing.Node, book: Book) -> None:
    pool = await start(node, book, pool_size=2)
    stays, leaves = await workers(node, pool)
    book.gate.clear()
    node.send(pool, "first")
    node.send(pool, "second")
    await until(node, pool, messages_in_hand=2)
    await remove(node, pool, 1)
    for number in range(5):
        node.send(pool, number)
    book.gate.set()
    await book.count(7)
    assert book.by_worker()[leaves] == ["second"]
    assert book.by_worker()[stays] == ["first", 0, 1, 2, 3, 4]


@pytest.mark.parametrize("end", ["kill", "poison"])
@pytest.mark.parametrize("route", ["round_robin", first])
async def test_what_waits_at_a_removed_worker_that_crashes_is_handled_by_the_others(
    route: Any, end: str, node: homing.Node, book: Book
) -> None:
    pool = await start(node, book, pool_size=2, route=route)
    stays, leaves = await workers(node, pool)
    keys = {await node.call(pool, (key, "who")): key for key in range(40)}
    key = keys.get(leaves, 0)
    if route == "round_robin":
        await node.call(pool, "who")  # so that the next is the last one's
    book.handled.clear()
    book.gate.clear()
    node.send(pool, TuplePoison(key) if end == "poison" else (key, "in hand"))
    await until(node, pool, messages_in_hand=1)
    for number in range(10):
        node.send(pool, (key, number))
    await until(node, pool, messages_waiting=0)
    victim = next(pid for pid in (stays, leaves) if node.process_info(pid).state is gen.ProcessState.RUNNING)
    assert victim == leaves or route == "round_robin"
    before = (await node.inspect(pool))["messages_handled"]
    await remove(node, pool, 1)
    call = asyncio.create_task(node.call(pool, (key, "question")))
    if end == "kill":
        node.kill(leaves)
    book.gate.set()
    assert await call == stays
    facts = await until(node, pool, draining=0, messages_in_hand=0, messages_waiting_at_workers=0)
    done = [number for _, number in book.messages if isinstance(number, int)]
    assert sorted(done) == list(range(10)) if route != first else done == list(range(10))
    assert facts["messages_handled"] - before == 11 + (facts["dead_letters"] == 0)
    assert node.info().spawned == 3


class TuplePoison(Poison):
    def __getitem__(self, place: int) -> Any:
        return self.args[place]


async def test_a_worker_that_cannot_be_started_can_be_removed_and_what_waits_there_is_kept(
    node: homing.Node, book: Book
) -> None:
    pool = await start(node, book, pool_size=2, route=first)
    last = (await workers(node, pool))[1]
    key = await key_of(node, pool, last)
    book.handled.clear()
    book.sick = True
    node.kill(last)
    await until(node, pool, running=1)
    for number in range(5):
        node.send(pool, (key, number))
    await until(node, pool, messages_waiting_at_workers=5)
    await eventually(lambda: node.info().spawned == 4)  # the successor that failed
    assert await remove(node, pool, 1) == 1
    assert await book.count(5) == [(key, number) for number in range(5)]
    await until(node, pool, draining=0, running=1, pool_size=1)


class Late(Noting):
    """Is not started before the gate opens."""

    async def init(self, book: Book) -> None:  # type: ignore[override]
        super().init(book)
        await book.gate.wait()


async def test_a_worker_that_is_being_started_can_be_removed_and_what_waits_there_is_kept(
    node: homing.Node, book: Book
) -> None:
    pool = await start(node, book, worker=Late, pool_size=2, route=first)
    last = (await workers(node, pool))[1]
    key = await key_of(node, pool, last)
    book.handled.clear()
    book.gate.clear()
    node.kill(last)
    await eventually(lambda: node.info().spawned == 4)
    for number in range(5):
        node.send(pool, (key, number))
    await until(node, pool, messages_waiting_at_workers=5)
    await remove(node, pool, 1)
    node.send(pool, (key, 5))
    book.gate.set()
    assert await book.count(6) == [(key, number) for number in range(6)]
    await until(node, pool, draining=0, running=1, pool_size=1)


@pytest.mark.parametrize("change", [add, remove])
async def test_a_keyed_pool_that_changes_its_size_keeps_what_comes_until_all_before_has_been_handled(
    change: Any, node: homing.Node, book: Book
) -> None:
    pool = await start(node, book, pool_size=3, route=first)
    book.gate.clear()
    for number in range(200):
        node.send(pool, (number % 200, number))
    facts = await until(node, pool, messages_waiting=0)
    in_hand = facts["messages_in_hand"]
    assert await change(node, pool, 1) == (4 if change is add else 2)
    for number in range(200, 400):
        node.send(pool, (number % 200, number))
    await until(node, pool, messages_waiting=200, messages_forwarded=200, messages_in_hand=in_hand)
    book.gate.set()
    await book.count(400)
    for key in range(200):
        own = [number for other, number in book.messages if other == key]
        assert own == [key, key + 200]
    late = {worker for worker, (_, number) in book.handled if number >= 200}
    assert len(late) == (4 if change is add else 2)


async def test_a_keyed_pool_that_grows_waits_for_a_slot_without_worker_at_which_messages_wait(
    node: homing.Node, book: Book
) -> None:
    pool = await start(node, book, pool_size=2, route=first)
    victim = (await workers(node, pool))[0]
    keys = [key for key in range(40) if await node.call(pool, (key, "who")) == victim]
    book.handled.clear()
    book.sick = True
    node.kill(victim)
    await until(node, pool, running=1)
    await eventually(lambda: node.info().spawned == 4)  # the successor that failed
    for key in keys:
        node.send(pool, (key, 1))
    await until(node, pool, messages_waiting_at_workers=len(keys))
    book.sick = False
    assert await add(node, pool, 6) == 8
    for key in keys:
        node.send(pool, (key, 2))
    messages = await book.count(2 * len(keys))
    assert [number for _, number in messages] == [1] * len(keys) + [2] * len(keys)
    assert len(book.by_worker()) > 2


async def test_a_keyed_pool_changes_its_size_at_once_when_nothing_waits(node: homing.Node, book: Book) -> None:
    pool = await start(node, book, pool_size=1, route=first)
    assert await add(node, pool, 7) == 8
    assert len({await node.call(pool, (key, 0)) for key in range(400)}) == 8
    assert await remove(node, pool, 6) == 2
    assert len({await node.call(pool, (key, 0)) for key in range(100)}) == 2


# --- pools of pools -----------------------------------------------------------------------------------------


def nested(book: Book, inner: dict[str, Any], **outer: Any) -> type[act.Pool]:
    """A pool of two pools."""
    options = {"worker": pool_class(**{"pool_size": 2, **inner}), "worker_args": (book,), "pool_size": 2, **outer}
    return pool_class(**options)


async def test_the_workers_of_a_pool_may_be_pools(node: homing.Node, book: Book) -> None:
    pool = await node.spawn(nested(book, {}), book)
    for number in range(40):
        node.send(pool, number)
    assert sorted(await book.count(40)) == list(range(40))
    assert [len(messages) for messages in book.by_worker().values()] == [10, 10, 10, 10]
    assert await node.call(pool, "who") in book.by_worker()


async def test_nested_pools_wait_for_room_all_the_way_up(node: homing.Node, book: Book) -> None:
    pool = await node.spawn(nested(book, {"worker_mailbox_size": 1}, worker_mailbox_size=1), book)
    book.gate.clear()
    for number in range(30):
        node.send(pool, number)
    await eventually(lambda: book.reached == 4)
    await until(node, pool, messages_waiting=20)
    book.gate.set()
    assert sorted(await book.count(30)) == list(range(30))


async def test_a_pool_that_is_removed_from_a_pool_lets_its_workers_finish(node: homing.Node, book: Book) -> None:
    pool = await node.spawn(nested(book, {}), book)
    book.gate.clear()
    for number in range(20):
        node.send(pool, number)
    await eventually(lambda: book.reached == 4)
    await remove(node, pool, 1)
    assert node.info().processes == 7
    book.gate.set()
    assert sorted(await book.count(20)) == list(range(20))
    await until(node, pool, draining=0)
    await eventually(lambda: node.info().processes == 4)
    assert node.info().discarded == 0


async def test_a_keyed_pool_of_keyed_pools_keeps_the_order_when_it_changes_its_size(
    node: homing.Node, book: Book
) -> None:
    pool = await node.spawn(nested(book, {"route": first}, route=first), book)
    book.gate.clear()
    for number in range(60):
        node.send(pool, (number % 10, number))
    await eventually(lambda: book.reached >= 2)  # by the keys' hashes, nearly always three or four
    await until(node, pool, messages_waiting=0)
    assert await add(node, pool, 2) == 4
    for number in range(60, 120):
        node.send(pool, (number % 10, number))
    await until(node, pool, messages_waiting=60)
    book.gate.set()
    await book.count(120)
    for key in range(10):
        assert [number for other, number in book.messages if other == key] == list(range(key, 120, 10))


class Relay(act.Router):
    """Hands everything to one route of its own."""

    def init(self, book: Book) -> act.RouterOptions:
        return act.RouterOptions(routes=(act.RouteSpec(name="only", behavior=Noting, args=(book,)),))

    def route_message(self, sender: gen.PID, message: Any) -> str:
        return "only"


async def test_a_keyed_pool_of_routers_keeps_the_order_when_it_changes_its_size(node: homing.Node, book: Book) -> None:
    pool = await start(node, book, worker=Relay, pool_size=2, route=first)
    book.gate.clear()
    for number in range(100):
        node.send(pool, (number, 1))
    await eventually(lambda: book.reached == 2)
    await until(node, pool, messages_waiting=0, messages_waiting_at_workers=0)
    assert await add(node, pool, 4) == 6
    for number in range(100):
        node.send(pool, (number, 2))
    await until(node, pool, messages_waiting=100)
    book.gate.set()
    assert [number for _, number in await book.count(200)] == [1] * 100 + [2] * 100


async def test_a_keyed_pool_of_pools_waits_for_an_inner_worker_that_cannot_be_started(
    node: homing.Node, book: Book
) -> None:
    pool = await node.spawn(nested(book, {"route": first, "pool_size": 1}, route=first), book)
    inner = next(iter(await workers(node, pool)))
    key = 0
    while (victim := await node.call(pool, (key, "who"))) not in await workers(node, inner):
        key += 1
    book.handled.clear()
    book.sick = True
    node.kill(victim)
    await until(node, inner, running=0)
    for number in range(3):
        node.send(pool, (key, number))
    await until(node, inner, messages_waiting_at_workers=3)
    await remove(node, pool, 1)
    node.send(pool, (key, 3))
    await until(node, pool, messages_waiting=1, pool_size=1)
    book.sick = False
    assert await book.count(4) == [(key, number) for number in range(4)]
