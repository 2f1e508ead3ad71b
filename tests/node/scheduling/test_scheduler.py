"""Promise 6: no process, however busy, starves another, a timer or a socket. Seen by order, never by a clock."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import homing
from homing import act, gen

from ...support import eventually
from ..actors import Doer, Keeper

MANY = 100_000


class Counter(act.Actor):
    """Counts what it gets."""

    def init(self) -> None:
        self.count = 0
        COUNTERS[self.pid] = self

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.count += 1


class AsyncCounter(Counter):
    """Counts in a handler that is asynchronous and never suspends."""

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.count += 1


class Loops(Counter):
    """Sends itself a message for each that it gets, until it is told to stop."""

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.count += 1
        if message != "stop":
            self.send(self.pid, message)
        else:
            raise gen.TerminateNormal


class AsyncLoops(Loops):
    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        super().handle_message(sender, message)


COUNTERS: dict[gen.PID, Counter] = {}


@asynccontextmanager
async def node_of(**options: Any) -> AsyncIterator[homing.Node]:
    async with homing.start_node("busy@localhost", gen.NodeOptions(handle_signals=False, **options)) as node:
        yield node


@pytest.mark.parametrize("behavior", [Counter, AsyncCounter])
async def test_a_hundred_thousand_waiting_messages_keep_no_other_process_waiting(behavior: type[Counter]) -> None:
    async with node_of() as node:
        busy = await node.spawn(behavior)
        other = await node.spawn(Doer)
        for _ in range(MANY):
            node.send(busy, "x")
        counted = await node.call(other, lambda actor: COUNTERS[busy].count)
        assert counted <= 2 * 256
        await eventually(lambda: COUNTERS[busy].count == MANY)


async def test_a_turn_ends_after_turn_messages_and_the_next_in_the_queue_has_its_turn() -> None:
    async with node_of(turn_messages=10, turn_seconds=60, slice_seconds=60) as node:
        kept: list[Any] = []
        pids = [await node.spawn(Keeper, kept) for _ in range(3)]
        for pid in pids:
            for _ in range(25):
                node.send(pid, pid)
        await eventually(lambda: len(kept) == 75)
    first, second, third = pids
    assert kept == [*[first] * 10, *[second] * 10, *[third] * 10] * 2 + [*[first] * 5, *[second] * 5, *[third] * 5]


@pytest.mark.parametrize("behavior", [Loops, AsyncLoops])
async def test_a_process_that_sends_to_itself_for_ever_starves_no_timer_and_no_socket(behavior: type[Loops]) -> None:
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair()
    got: list[bytes] = []
    with near, far:
        near.setblocking(False)
        loop.add_reader(near, lambda: got.append(near.recv(100)))
        async with node_of() as node:
            fired: list[Any] = []
            pid = await node.spawn(behavior)
            other = await node.spawn(Keeper, fired)
            for number in range(1000):
                node.send(pid, number)
            await eventually(lambda: COUNTERS[pid].count > 1000)
            far.send(b"datagram")
            doer = await node.spawn(Doer)
            await node.call(doer, lambda actor: actor.send_after(other, "fired", 0.001))
            await eventually(lambda: got and fired)
            node.send(pid, "stop", gen.MessagePriority.HIGH)
            await eventually(lambda: pid not in node.processes())
        loop.remove_reader(near)
    assert (got, fired) == ([b"datagram"], ["fired"])


async def test_two_processes_that_keep_each_other_busy_starve_no_third() -> None:
    class Partner(Loops):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            self.count += 1
            if sender != self.pid:
                self.send(sender if message == "ball" else message, "ball")

    async with node_of(stop_timeout=0.1) as node:
        first, second = await node.spawn(Partner), await node.spawn(Partner)
        node.send(first, second)
        await eventually(lambda: COUNTERS[second].count > 100)
        assert await node.call(await node.spawn(Doer), lambda actor: "had its turn") == "had its turn"


@pytest.mark.parametrize("quick", [0, 1, 7, 200])
async def test_slow_handlers_end_their_turn_by_time_also_after_many_quick_ones(quick: int) -> None:
    """At most 8 messages are handled between two readings of the clock."""
    async with node_of(turn_seconds=0.001, slice_seconds=60) as node:
        slow = 0

        class Slow(act.Actor):
            def handle_message(self, sender: gen.PID, message: Any) -> None:
                nonlocal slow
                if message == "slow":
                    slow += 1
                    time.sleep(0.002)

        pid, other = await node.spawn(Slow), await node.spawn(Doer)
        for number in range(256):
            node.send(pid, "quick" if number < quick else "slow")
        assert await node.call(other, lambda actor: slow) <= 8
        node.kill(pid)


async def test_the_loop_is_polled_when_a_slice_is_over_by_time() -> None:
    async with node_of(turn_seconds=0.001, slice_seconds=0.002) as node:
        notes: list[Any] = []
        pids = [await node.spawn(Doer) for _ in range(5)]
        for pid in pids:
            node.send(pid, lambda actor: (time.sleep(0.003), notes.append("turn")))
        asyncio.get_running_loop().call_soon(notes.append, "loop")
        await eventually(lambda: len(notes) == 6)
    assert notes == ["turn", "loop", "turn", "turn", "turn", "turn"]


@pytest.mark.parametrize("messages", [1000, 10_000])
async def test_who_becomes_runnable_during_a_slice_runs_before_the_loop_is_polled_again(messages: int) -> None:
    async with node_of(turn_seconds=60, slice_seconds=60) as node:
        polls, left = 0, messages
        done = asyncio.Event()

        def poll() -> None:
            nonlocal polls
            polls += 1
            if not done.is_set():
                asyncio.get_running_loop().call_soon(poll)

        class Partner(act.Actor):
            def handle_message(self, sender: gen.PID, message: Any) -> None:
                nonlocal left
                left -= 1
                if left > 0:
                    self.send(message if sender == node.pid else sender, "ball")
                else:
                    done.set()

        first, second = await node.spawn(Partner), await node.spawn(Partner)
        poll()
        node.send(first, second)
        await done.wait()
        assert polls <= 3


async def test_an_asynchronous_handler_that_waits_gives_its_place_to_others() -> None:
    async with node_of(turn_seconds=60, slice_seconds=60) as node:
        gate, kept = asyncio.Event(), []
        waiting, quick = await node.spawn(Doer), await node.spawn(Keeper, kept)
        node.send(waiting, lambda actor: gate.wait())
        for number in range(1000):
            node.send(quick, number)
        await eventually(lambda: len(kept) == 1000)
        assert node.process_info(waiting).state is gen.ProcessState.RUNNING
        gate.set()


async def test_further_messages_of_a_turn_run_in_the_task_of_the_first_asynchronous_handler() -> None:
    async with node_of(turn_seconds=60) as node:
        tasks: list[Any] = []

        async def note(actor: Doer) -> None:
            await asyncio.sleep(0)
            tasks.append(id(asyncio.current_task()))

        pid = await node.spawn(Doer)
        for _ in range(10):
            node.send(pid, note)
        await eventually(lambda: len(tasks) == 10)
        assert len(set(tasks)) == 1


async def test_running_time_is_the_time_in_which_it_ran_not_that_in_which_it_waited() -> None:
    async with node_of() as node:
        pid = await node.spawn(Doer)

        async def work(actor: Doer) -> None:
            time.sleep(0.01)  # noqa: ASYNC251
            await asyncio.sleep(0.05)

        charged = []
        for _ in range(5):  # a machine that is busy may hold it while it runs, but not each time
            before = node.process_info(pid).running_time
            await node.call(pid, work)
            charged.append(node.process_info(pid).running_time - before)
        assert 0.01 <= min(charged) < 0.05
