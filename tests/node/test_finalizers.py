"""Finalizers that the collector of garbage runs in the midst of the runtime's own work: they send, call, and kill."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

import homing
from homing import act, gen
from homing.node.mailbox.lane import Lane

from ..garbage import ANYWHERE, littered
from ..support import DEADLINE, eventually, examples

pytestmark = pytest.mark.thorough

SENDER = gen.PID("finalizer@localhost", 1, 2)
ENDED = (gen.ProcessTerminated, gen.ProcessUnknown, gen.NameUnknown)


SEEDS = list(range(examples(2, 40)))


def entries(kind: str, numbers: Iterator[int]) -> Any:
    """Makes an entry, and leaves an object behind for each, as a program does whose data grows."""
    number = next(numbers)
    return (SENDER, [number]) if kind == "message" else [number]


def number_of(entry: Any) -> int:
    return entry[1][0] if type(entry) is tuple else entry[0]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["message", "envelope"])
def test_a_lane_keeps_what_is_appended_while_it_grows(kind: str, seed: int) -> None:
    for size in (1, 2, 3, 4, 5, 9, 513, 2000):
        lane, numbers = Lane(), itertools.count()
        with littered(lambda lane=lane, numbers=numbers: lane.append(entries(kind, numbers)), seed) as litter:  # type: ignore[misc]
            for _ in range(size):
                lane.append(entries(kind, numbers))
            lane.extend([entries(kind, numbers) for _ in range(3)])
            lane.appendleft(entries(kind, numbers))
        got = [number_of(lane.popleft()) for _ in range(len(lane))]
        assert sorted(got) == list(range(next(numbers)))
    assert litter.collections > 100 or not ANYWHERE


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("room", [5, 600])
def test_a_lane_that_is_used_while_it_grows_and_clears_gives_each_entry_once(room: int, seed: int) -> None:
    lane, numbers, turn = Lane(), itertools.count(), itertools.count()
    taken: list[int] = []
    cleared = 0

    def meddle() -> None:
        nonlocal cleared
        step = next(turn) % 97
        if step == 0:
            cleared += len(lane)
            lane.clear()
        elif step % 3 == 0 and lane:
            taken.append(number_of(lane.popleft()))
        else:
            lane.append(entries("message", numbers))

    with littered(meddle, seed):
        for _ in range(10):
            for _ in range(room):
                lane.append(entries("envelope", numbers))
            lane.appendleft(entries("message", numbers))
            lane.extend_from(SENDER, [[next(numbers)], [next(numbers)]])
            while lane:
                try:
                    taken.append(number_of(lane.popleft()))
                except IndexError:
                    break  # a finalizer has taken the last
            assert len(list(lane)) >= 0
    assert len(taken) == len(set(taken))
    assert len(taken) + cleared + len(lane) == next(numbers)


class Counter(act.Actor):
    """Keeps the numbers that it is sent, by who sends them."""

    def init(self, got: dict[str, list[int]]) -> None:
        self.got = got

    def handle_message(self, sender: gen.PID, message: tuple[str, int]) -> None:
        name, number = message
        self.got.setdefault(name, []).append(number)

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return request


async def test_messages_that_finalizers_send_to_a_busy_process_come_once_and_in_order(node: homing.Node) -> None:
    got: dict[str, list[int]] = {}
    pid = await node.spawn(Counter, got)
    mine, theirs = itertools.count(), itertools.count()

    def send() -> None:
        node.send(pid, ("finalizer", next(theirs)))

    with littered(send):
        for _ in range(examples(10, 500)):
            for _ in range(700):
                node.send(pid, ("test", next(mine)))
            await asyncio.sleep(0)
    sent = {"test": list(range(next(mine))), "finalizer": list(range(next(theirs)))}
    await eventually(lambda: sum(map(len, got.values())) >= sum(map(len, sent.values())), "all messages")
    assert {"finalizer": [], **got} == sent


class Caller(act.Actor):
    """Calls whom it is told to, and keeps how each call ended."""

    def init(self, outcomes: list[str]) -> None:
        self.outcomes = outcomes

    async def handle_message(self, sender: gen.PID, message: tuple[gen.PID, str]) -> None:
        to, request = message
        try:
            self.outcomes.append("answered" if await self.call(to, request, timeout=DEADLINE) == request else "wrong")
        except ENDED:
            self.outcomes.append("ended")


@pytest.mark.parametrize("every", [1, 3, 20])
async def test_a_call_whose_callee_a_finalizer_kills_ends_at_once(node: homing.Node, every: int) -> None:
    outcomes: list[str] = []
    caller = await node.spawn(Caller, outcomes)
    victims: list[gen.PID] = []
    turn = itertools.count(1)

    def kill() -> None:
        if victims and next(turn) % every == 0:
            node.kill(victims.pop())

    async with asyncio.timeout(DEADLINE):
        for number in range(examples(10, 1000)):
            pid = await node.spawn(Counter, {})
            with littered(kill):
                victims.append(pid)
                node.send(caller, (pid, f"question {number}"))
                try:
                    assert await node.call(pid, "from outside", timeout=DEADLINE) == "from outside"
                except ENDED:
                    pass
                while len(outcomes) <= number:
                    await asyncio.sleep(0)
            victims.clear()
            if node._core.processes.get(pid):
                node.kill(pid)
    assert set(outcomes) <= {"answered", "ended"}
    assert node.info().open_calls == 0


class Pool(act.Pool):
    def init(self, got: dict[str, list[int]]) -> act.PoolOptions:
        return act.PoolOptions(pool_size=3, worker=Counter, worker_args=(got,), worker_mailbox_size=20)


async def test_a_pool_loses_nothing_while_finalizers_send_to_it(node: homing.Node) -> None:
    got: dict[str, list[int]] = {}
    pid = await node.spawn(Pool, got)
    numbers = itertools.count()

    def send() -> None:
        node.send(pid, ("any", next(numbers)))

    with littered(send):
        for _ in range(examples(10, 200)):
            for _ in range(100):
                send()
            await asyncio.sleep(0)
    count = next(numbers)
    await eventually(lambda: len(got.get("any", ())) == count, "all messages")
    assert sorted(got["any"]) == list(range(count))


async def test_what_is_sent_to_a_process_that_a_finalizer_kills_is_handled_or_counted(node: homing.Node) -> None:
    handled: dict[str, list[int]] = {}
    victims: list[gen.PID] = []
    turn = itertools.count(1)
    sent = 0

    def kill() -> None:
        if victims and next(turn) % 5 == 0:
            node.kill(victims.pop())

    for _ in range(examples(20, 3000)):
        pid = await node.spawn(Counter, handled)
        with littered(kill):
            victims.append(pid)
            for number in range(40):
                try:
                    node.send(pid, ("any", number))
                except ENDED:
                    break
                sent += 1
        victims.clear()
        await asyncio.sleep(0)
    await eventually(lambda: sum(map(len, handled.values())) + node.info().discarded >= sent, "all messages")
    assert sum(map(len, handled.values())) + node.info().discarded == sent


class Watcher(act.Actor):
    """Links to and monitors whom it is told to, and keeps what it heard of their ends."""

    trap_exit = True

    def init(self, heard: dict[str, int]) -> None:
        self.heard = heard

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        kind = type(message).__name__
        if kind not in ("MessageExitPID", "MessageDownPID"):
            method, subject = message
            try:
                getattr(self, method)(subject)
            except gen.HomingError:
                kind = "refused"
            else:
                kind = "linked"
        self.heard[kind] = self.heard.get(kind, 0) + 1


@pytest.mark.parametrize("every", [1, 2, 5])
async def test_whoever_links_to_a_process_that_a_finalizer_kills_is_told_or_refused(
    node: homing.Node, every: int
) -> None:
    heard: dict[str, int] = {}
    watcher = await node.spawn(Watcher, heard)
    victims: list[gen.PID] = []
    turn = itertools.count(1)

    def kill() -> None:
        if victims and next(turn) % every == 0:
            node.kill(victims.pop())

    count = examples(10, 2000)
    for number in range(count):
        pid = await node.spawn(Counter, {})
        with littered(kill, number):
            node.send(watcher, ("link_pid", pid))
            node.send(watcher, ("monitor_pid", pid))
            victims.append(pid)
            await asyncio.sleep(0)
        if victims:
            node.kill(victims.pop())

    def told() -> tuple[int, int]:
        ends = heard.get("MessageExitPID", 0) + heard.get("MessageDownPID", 0)
        return heard.get("linked", 0) + heard.get("refused", 0), heard.get("linked", 0) - ends

    await eventually(lambda: told() == (2 * count, 0), "the end of all")
