"""Workers of a pool that end: who goes on with what waited, what is a dead letter, and that the account is exact."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import homing
from homing import act, gen

from ...support import Probe, eventually
from .pools import Book, Keyed, Noting, Poison, account, do, first, pool_class, start, until, workers

ROUTES: list[Any] = ["round_robin", "least", "source", first]


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.mark.parametrize("end", ["poison", "kill", "orderly", "exit signal"])
async def test_what_waits_at_a_worker_that_ends_is_handled_by_its_successor_in_order(
    end: str, node: homing.Node, book: Book
) -> None:
    pool = await start(node, book, pool_size=1)
    (worker,) = await workers(node, pool)
    book.gate.clear()
    node.send(pool, {"poison": Poison("x"), "orderly": "end"}.get(end, "in hand"))
    for number in range(20):
        node.send(pool, number)
    await until(node, pool, messages_in_hand=1, messages_waiting_at_workers=20)
    if end == "kill":
        node.kill(worker)
    elif end == "exit signal":
        node.send_exit(worker, gen.TerminateShutdown)
    book.gate.set()
    await eventually(lambda: book.messages[-20:] == list(range(20)))
    lost = int(end in ("poison", "kill"))
    facts = await node.inspect(pool)
    assert (facts["dead_letters"], facts["worker_restarts"], facts["pool_size"]) == (lost, 1, 1)
    assert account(facts) == 21
    assert len({worker for worker, message in book.handled if message in range(20)}) == 1
    assert worker not in {worker for worker, message in book.handled if message in range(20)}


async def test_the_message_in_hand_is_a_dead_letter_and_its_caller_is_told(node: homing.Node, book: Book) -> None:
    pool = await start(node, book, pool_size=1)
    with pytest.raises(gen.ProcessTerminated):
        await node.call(pool, Poison("x"))
    facts = await until(node, pool, worker_restarts=1)
    assert (facts["dead_letters"], facts["messages_handled"], facts["messages_forwarded"]) == (1, 0, 1)


async def test_a_request_that_waited_at_a_worker_that_was_killed_is_answered_by_its_successor(
    node: homing.Node, book: Book
) -> None:
    pool = await start(node, book, pool_size=1)
    (worker,) = await workers(node, pool)
    book.gate.clear()
    node.send(pool, "in hand")
    call = asyncio.create_task(node.call(pool, "question"))
    await until(node, pool, messages_in_hand=1, messages_waiting_at_workers=1)
    node.kill(worker)
    book.gate.set()
    assert await call not in (worker, pool)


class Slow(Noting):
    """Its successors take their time to start: until the gate opens."""

    started = 0

    async def init(self, book: Book) -> None:  # type: ignore[override]
        super().init(book)
        type(self).started += 1
        if not book.gate.is_set():
            await book.gate.wait()


async def test_while_a_successor_starts_the_others_and_the_pools_own_lanes_go_on(node: homing.Node, book: Book) -> None:
    pool = await start(node, book, worker=Slow, pool_size=3)
    victim = (await workers(node, pool))[0]
    book.gate.clear()
    node.kill(victim)
    await until(node, pool, running=2)
    assert await do(node, pool, lambda pool: pool.pid) == pool
    for number in range(4):
        node.send(pool, number)
    await until(node, pool, messages_in_hand=2, messages_waiting_at_workers=2)
    book.gate.set()
    await book.count(4)
    await until(node, pool, running=3, worker_restarts=1)


async def test_a_pool_that_is_ended_while_a_successor_starts_leaves_nothing(node: homing.Node, book: Book) -> None:
    pool = await start(node, book, worker=Slow, pool_size=2)
    for worker in await workers(node, pool):
        book.gate.clear()
        node.kill(worker)
    await until(node, pool, running=0)
    node.send(pool, "waits")
    node.send_exit(pool, gen.TerminateShutdown)
    await eventually(lambda: node.info().processes == 0)


async def test_a_pool_that_is_ended_while_a_retry_is_due_leaves_nothing(node: homing.Node, book: Book) -> None:
    pool = await start(node, book, pool_size=2, route=first)
    book.sick = True
    for worker in await workers(node, pool):
        node.kill(worker)
    await until(node, pool, running=0)
    call = asyncio.create_task(node.call(pool, ("key", 1)))
    for number in range(3):
        node.send(pool, ("key", number))
    await until(node, pool, messages_waiting_at_workers=4)
    node.kill(pool)
    with pytest.raises(gen.ProcessTerminated):
        await call
    assert node.info().discarded == 4


# --- workers that cannot be started -------------------------------------------------------------------------


@pytest.mark.parametrize("route", ROUTES)
async def test_a_pool_none_of_whose_workers_can_be_started_keeps_its_size_and_its_messages(
    route: Any, node: homing.Node, book: Book
) -> None:
    pool = await start(node, book, pool_size=3, route=route, worker_mailbox_size=4)
    book.sick = True
    for worker in await workers(node, pool):
        node.kill(worker)
    await until(node, pool, running=0, pool_size=3)
    for number in range(50):
        node.send(pool, ("key", number))
    facts = await until(node, pool, messages_handled=0, running=0)
    assert account(facts) == 50
    book.sick = False
    await book.count(50)
    facts = await until(node, pool, running=3)
    assert account(facts) == facts["messages_handled"] == 50
    if route in ("source", first):
        assert book.messages == [("key", number) for number in range(50)]


async def test_several_workers_are_retried_each_on_its_own_with_doubled_delay(
    node: homing.Node, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    delays: list[tuple[Any, float]] = []
    next_retry = act.pool.slots.Slot.next_retry

    def noted(slot: Any) -> float:
        delays.append((slot, seconds := next_retry(slot)))
        return seconds / 1000

    monkeypatch.setattr(act.pool.slots.Slot, "next_retry", noted)
    pool = await start(node, book, pool_size=2)
    book.sick = True
    for worker in await workers(node, pool):
        node.kill(worker)
    slots = await do(node, pool, lambda pool: list(pool._forwarder.workers.slots))
    await eventually(lambda: all([s for s, _ in delays].count(slot) >= 8 for slot in slots))
    for slot in slots:
        assert [seconds for own, seconds in delays if own is slot][:8] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    book.sick = False
    await until(node, pool, running=2, worker_restarts=2)
    delays.clear()
    book.sick = True
    node.kill((await workers(node, pool))[0])
    await eventually(lambda: delays)
    assert delays[0][1] == 0.1
    book.sick = False
    await until(node, pool, running=2)


async def test_an_added_worker_whose_successor_cannot_be_started_is_retried(node: homing.Node, book: Book) -> None:
    pool = await start(node, book, pool_size=1)
    await do(node, pool, lambda pool: pool.add_workers(1))
    book.sick = True
    node.kill((await workers(node, pool))[1])
    await until(node, pool, running=1, pool_size=2)
    book.sick = False
    await until(node, pool, running=2, pool_size=2)


@pytest.mark.parametrize("route", ["round_robin", "least"])
async def test_what_waited_at_a_worker_without_successor_goes_to_the_others(
    route: Any, node: homing.Node, book: Book
) -> None:
    pool = await start(node, book, pool_size=2, route=route)
    book.gate.clear()
    for number in range(10):
        node.send(pool, number)
    await until(node, pool, messages_in_hand=2, messages_waiting_at_workers=8)
    book.sick = True
    node.kill((await workers(node, pool))[0])
    await until(node, pool, running=1, dead_letters=1)
    book.gate.set()
    await book.count(9)
    assert account(await node.inspect(pool)) == 10
    book.sick = False


async def test_a_keyed_message_for_a_slot_without_worker_waits_there_and_the_other_keys_go_on(
    node: homing.Node, book: Book
) -> None:
    pool = await start(node, book, pool_size=2, route=first, worker_mailbox_size=3)
    of_worker = {await node.call(pool, (key, "who")): key for key in range(50)}
    (victim, lost_key), (_, other_key) = of_worker.items()
    book.handled.clear()
    book.sick = True
    node.kill(victim)
    await until(node, pool, running=1)
    for number in range(3):
        node.send(pool, (lost_key, number))
    node.send(pool, (other_key, 0))
    assert await book.count(1) == [(other_key, 0)]
    node.send(pool, (lost_key, 3))  # the slot holds no more
    node.send(pool, (other_key, 1))
    await until(node, pool, messages_waiting_at_workers=3, messages_waiting=2)
    book.sick = False
    messages = await book.count(6)
    assert [number for key, number in messages if key == lost_key] == [0, 1, 2, 3]
    assert [number for key, number in messages if key == other_key] == [0, 1]


async def test_a_keyed_pool_that_drops_drops_for_a_slot_without_worker_once_it_is_full(
    node: homing.Node, book: Book
) -> None:
    pool = await start(node, book, pool_size=1, route=first, worker_mailbox_size=3, overflow="drop")
    book.sick = True
    node.kill((await workers(node, pool))[0])
    await until(node, pool, running=0)
    for number in range(5):
        node.send(pool, ("key", number))
    await until(node, pool, messages_waiting_at_workers=3, messages_dropped=2, messages_waiting=0)
    book.sick = False
    assert await book.count(3) == [("key", 0), ("key", 1), ("key", 2)]


class Ending(Noting):
    """Its `terminate` waits for the gate, so that it is neither there nor gone."""

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        if isinstance(message[1], Exception):
            raise message[1]
        self.book.handled.append((self.pid, message))

    async def terminate(self, reason: Exception) -> None:
        await self.book.gate.wait()


@pytest.mark.parametrize("reason", [Poison("x"), gen.TerminateNormal()])
async def test_what_comes_for_a_worker_while_it_ends_is_handled_by_its_successor_in_order(
    reason: Exception, node: homing.Node, book: Book
) -> None:
    pool = await start(node, book, worker=Ending, pool_size=2, route=first)
    book.gate.clear()
    node.send(pool, ("key", reason))
    for number in range(10):
        node.send(pool, ("key", number))
    await until(node, pool, running=1, messages_waiting_at_workers=10)
    for number in range(10, 20):
        node.send(pool, ("key", number))
    await until(node, pool, running=1, messages_waiting_at_workers=20)
    book.gate.set()
    assert await book.count(20) == [("key", number) for number in range(20)]
    assert len(book.by_worker()) == 1


# --- the account --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ROUTES)
async def test_the_account_is_exact_while_workers_are_killed_all_the_time(
    route: Any, node: homing.Node, book: Book, probe: Probe
) -> None:
    """A worker every 10 ms, 40 of them, under load; each message is handled once or is a dead letter."""
    chance = random.Random(7)
    letters = gen.ProcessOptions(dead_letters=probe.pid)
    pool = await start(node, book, worker=Breathing, pool_size=4, route=route, worker_options=letters)
    sent = 0
    sizes = set()
    for _ in range(40):
        for _ in range(100):
            node.send(pool, (chance.randrange(20), sent))
            sent += 1
        await asyncio.sleep(0.01)
        facts = await node.inspect(pool)
        sizes.add(facts["pool_size"])
        assert account(facts) == sent
        node.kill(chance.choice(await workers(node, pool)))
    await eventually(lambda: len(book.handled) + probe.queue.qsize() == sent, "every message")
    facts = await until(node, pool, running=4, messages_in_hand=0)
    dead = [letter.message for letter in probe.waiting()]
    assert sorted(number for _, number in book.messages + dead) == list(range(sent))
    assert (sizes, facts["worker_restarts"]) == ({4}, 40)
    assert (facts["messages_handled"], facts["dead_letters"]) == (len(book.handled), len(dead))
    if route == first:
        for key in range(20):
            own = [number for other, number in book.messages if other == key]
            assert own == sorted(own)


class Breathing(Noting):
    """Lets others go on in the midst of each message, so that it can be killed there."""

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        await asyncio.sleep(0)
        await super().handle_message(sender, message)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(0, 5)),
        st.tuples(st.just("poison"), st.integers(0, 5)),
        st.tuples(st.just("kill"), st.integers(0, 3)),
        st.tuples(st.just("yield"), st.integers(1, 3)),
        st.tuples(st.just("add"), st.integers(1, 2)),
        st.tuples(st.just("remove"), st.integers(1, 2)),
        st.tuples(st.just("gate"), st.booleans()),
        st.tuples(st.just("sick"), st.booleans()),
    ),
    max_size=50,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS, st.sampled_from(["round_robin", "least", first]), st.sampled_from([0, 2, 100]))
def test_whatever_happens_to_workers_no_message_is_lost_and_each_key_keeps_its_order(
    steps: list[tuple[str, int]], route: Any, room: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(homing.act.pool.slots, "RETRY_FIRST", 0.001)
        asyncio.run(_conserves(steps, route, room))


async def _conserves(steps: list[tuple[str, int]], route: Any, room: int) -> None:
    async with homing.start_node("law@localhost", gen.NodeOptions(handle_signals=False)) as node:
        book = Book()
        probe = await Probe.start(node)
        options = gen.ProcessOptions(dead_letters=probe.pid)
        pool = await start(
            node, book, worker=Breathing, pool_size=2, route=route, worker_mailbox_size=room, worker_options=options
        )
        sent = [await _step(node, pool, book, number, *step) for number, step in enumerate(steps)].count(True)
        book.sick = False
        book.gate.set()
        await eventually(lambda: len(book.handled) + probe.queue.qsize() == sent, "every message")
        size = (await node.inspect(pool))["pool_size"]
        facts = await until(node, pool, messages_in_hand=0, draining=0, running=size)
        dead = len(probe.waiting())
        assert (facts["messages_handled"], facts["dead_letters"]) == (len(book.handled), dead)
        assert account(facts) == sent
        if route is first:
            for key in range(6):
                own = [number for other, number in book.messages if other == key]
                assert own == sorted(own), key


async def _step(node: homing.Node, pool: gen.PID, book: Book, number: int, what: str, value: int) -> bool:
    """Does one thing to the pool. True if that was a message."""
    if what == "send":
        node.send(pool, (value, number))
    elif what == "poison":
        node.send(pool, KeyedPoison(value))
    elif what == "kill":
        running = await workers(node, pool)
        if value < len(running):
            node.kill(running[value])
    elif what == "yield":
        for _ in range(value):
            await asyncio.sleep(0)
    elif what == "add" and not book.sick:
        await do(node, pool, lambda pool: pool.add_workers(value))
    elif what == "remove" and value < (await node.inspect(pool))["pool_size"]:
        await do(node, pool, lambda pool: pool.remove_workers(value))
    elif what == "sick":
        book.sick = bool(value)
    elif what == "gate":
        book.gate.set() if value else book.gate.clear()
    return what in ("send", "poison")


class KeyedPoison(Poison):
    """Has a key, as a tuple has."""

    def __getitem__(self, place: int) -> Any:
        return self.args[place]


# --- other ends ---------------------------------------------------------------------------------------------


async def test_a_forged_notice_of_a_workers_end_is_the_pools_own_message(node: homing.Node, book: Book) -> None:
    got: list[Any] = []

    class Minding(Keyed):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            got.append(message)

    pool = await node.spawn(Minding, book)
    forged = gen.MessageDownPID((await workers(node, pool))[0], Poison("not at all"))
    node.send(pool, forged, gen.MessagePriority.HIGH)
    await eventually(lambda: got == [forged])
    assert node.info().spawned == 4


async def test_a_message_of_priority_to_a_worker_that_ends_goes_to_its_successor(node: homing.Node, book: Book) -> None:
    pool = await start(node, book, pool_size=1)
    (worker,) = await workers(node, pool)
    book.gate.clear()
    node.send(pool, "in hand")
    await until(node, pool, messages_in_hand=1)
    node.send(worker, "directly", gen.MessagePriority.HIGH)
    node.kill(worker)
    book.gate.set()
    assert await book.count(1) == ["directly"]


async def test_what_waits_for_a_successor_comes_to_it_as_what_is_dealt_does_whatever_the_pool_was_sent_to_by(
    node: homing.Node, book: Book
) -> None:
    kind = pool_class(pool_size=1, route=first, worker=Splitting)
    kind.split_handle = True
    pool = await node.spawn(kind, book, name="pool")
    book.sick = True
    node.kill((await workers(node, pool))[0])
    await until(node, pool, running=0)
    node.send("pool", ("key", 0))
    call = asyncio.create_task(node.call("pool", ("key", 1)))
    await until(node, pool, messages_waiting_at_workers=2)
    book.sick = False
    assert await book.count(2) == [("key", 0), ("key", 1)]
    assert await call == (await workers(node, pool))[0]


class Splitting(Noting):
    """Would get what was sent to its own name in callbacks that it does not have."""

    split_handle = True


async def test_a_successor_that_crashes_in_its_first_turn_leaves_what_waits_to_the_next(node: homing.Node) -> None:
    seen: list[Any] = []

    class Holding(act.Actor):
        def init(self) -> None:
            node._core.scheduler.may_go_on()
            time.sleep(0.06)  # after which a start lets the event loop poll, and others have their turns

        def handle_message(self, sender: gen.PID, message: Any) -> None:
            seen.append(message)
            if isinstance(message, str):
                raise RuntimeError(message)

    class One(act.Pool):
        def init(self) -> act.PoolOptions:
            return act.PoolOptions(worker=Holding, pool_size=1)

    pool = await node.spawn(One)
    for message in ("crash", "crash again", 1, 2, 3):
        node.send(pool, message)
    await eventually(lambda: seen == ["crash", "crash again", 1, 2, 3])
