"""Messages with one key are handled one after the other: `ProcessOptions.concurrency_key`."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import homing
from homing import act, gen, meta
from homing.testing import FakeNetwork, run_virtual

from ...support import Probe, eventually, examples
from ..actors import QUIET
from .test_concurrent import Worker, behavior, beside


class Keyed(act.Actor):
    """Handles (key, number, seconds)."""

    spans: list[tuple[Any, int, float, float]]

    async def handle_message(self, sender: Any, message: Any) -> None:
        key, number, seconds = message
        begin = asyncio.get_running_loop().time()
        if seconds:
            await asyncio.sleep(seconds)
        self.spans.append((key, number, begin, asyncio.get_running_loop().time()))


def model(messages: list[tuple[int | None, float, float]], concurrency: int) -> list[float]:
    """Returns when each message ends: it begins when a place is free, the one before of its key has ended, and those
    before it that could begin have begun."""
    ends: list[float] = [0.0] * len(messages)
    waiting: list[int] = []
    running: dict[int, float] = {}
    arrivals = [(at, number) for number, (_, _, at) in enumerate(messages)]
    now = 0.0
    while arrivals or waiting or running:
        while arrivals and arrivals[0][0] <= now:
            waiting.append(arrivals.pop(0)[1])
        for number in tuple(waiting):
            key = messages[number][0]
            earlier = [other for other in waiting if other < number and messages[other][0] == key]
            busy = key is not None and any(messages[other][0] == key for other in running)
            if len(running) < concurrency and not busy and not (key is not None and earlier):
                waiting.remove(number)
                running[number] = ends[number] = now + messages[number][1]
        now = min([*running.values(), *(at for at, _ in arrivals[:1])])
        running = {number: end for number, end in running.items() if end > now}
    return ends


@pytest.mark.thorough
@settings(max_examples=examples(100, 3000), suppress_health_check=list(HealthCheck))
@given(
    messages=st.lists(
        st.tuples(st.sampled_from([None, 0, 1, 2]), st.integers(1, 9), st.integers(0, 3)), min_size=1, max_size=30
    ),
    concurrency=st.integers(2, 6),
)
def test_it_ends_each_message_when_the_model_does_and_keeps_the_order_of_each_key(
    messages: list[tuple[int | None, int, int]], concurrency: int
) -> None:
    at = 0.0
    plan: list[tuple[int | None, float, float]] = []
    for number, (key, seconds, pause) in enumerate(messages):
        at += pause
        plan.append((key, seconds + (number + 1) / 1024, at + number / 65536))  # no two at the same time

    async def live() -> list[tuple[Any, int, float, float]]:
        spans: list[tuple[Any, int, float, float]] = []
        async with homing.start_node("keys@localhost", QUIET) as node:
            kind = type("Own", (Keyed,), {"spans": spans})
            options = beside(concurrency, concurrency_key=lambda message: message[0])
            pid = await node.spawn(kind, options=options)
            loop = asyncio.get_running_loop()
            start = loop.time()
            for number, (key, seconds, arrival) in enumerate(plan):
                if arrival > loop.time() - start:
                    await asyncio.sleep(arrival - (loop.time() - start))
                node.send(pid, (key, number, seconds))
            await eventually_virtual(lambda: len(spans) == len(plan))
            assert not node._core.processes[pid].order._taken
        return [(key, number, begin - start, end - start) for key, number, begin, end in spans]

    spans = run_virtual(live)
    expected = model(plan, concurrency)
    assert {number: end for _, number, _, end in spans} == pytest.approx(dict(enumerate(expected)))
    by_key: dict[Any, list[Any]] = defaultdict(list)
    for key, number, begin, end in spans:
        if key is not None:
            by_key[key].append((number, begin, end))
    for handled in by_key.values():
        assert [number for number, _, _ in handled] == sorted(number for number, _, _ in handled)
        assert all(later[1] >= earlier[2] for earlier, later in pairwise(handled))


async def eventually_virtual(condition: Any) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(1)
    raise AssertionError("did not come true")


async def test_a_slow_key_does_not_delay_the_others(node: homing.Node) -> None:
    pid = await node.spawn(Worker, options=beside(2, concurrency_key=lambda request: request[1][0]))
    slow = [asyncio.ensure_future(node.call(pid, (60, ("slow", number)), timeout=99)) for number in range(50)]
    await asyncio.sleep(0)
    for number in range(10):
        assert await node.call(pid, (0, ("quick", number))) == ("quick", number)
    info = node.process_info(pid)
    assert (info.in_flight, info.mailbox.main) == (1, 49)
    node.kill(pid)
    assert {type(each) for each in await asyncio.gather(*slow, return_exceptions=True)} == {gen.ProcessTerminated}


class Odd:
    """A key whose comparison raises."""

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not comparable")


async def test_a_key_whose_comparison_raises_equals_no_other(node: homing.Node) -> None:
    pid = await node.spawn(Worker, options=beside(5, concurrency_key=lambda request: Odd()))
    assert await asyncio.gather(*(node.call(pid, (0.001, tag)) for tag in range(9))) == list(range(9))


@pytest.mark.parametrize("key", [lambda message: 1 // 0, lambda message: []])
async def test_a_key_function_that_raises_is_a_crash_with_its_message(
    node: homing.Node, probe: Probe, key: Any
) -> None:
    kept: list[Any] = []
    await node.spawn(Keep, kept, name="kept")
    pid = await node.spawn(Worker, options=beside(5, concurrency_key=key, dead_letters="kept"))
    await probe.do(lambda actor: actor.monitor_pid(pid))
    node.send(pid, "message")
    assert isinstance((await probe.get()).reason, (ZeroDivisionError, TypeError))
    await eventually(lambda: kept)
    assert (kept[0].message, kept[0].in_hand) == ("message", True)


class Keep(act.Actor):
    def init(self, kept: list[Any]) -> None:
        self.kept = kept

    def handle_message(self, sender: Any, message: Any) -> None:
        self.kept.append(message)


@pytest.mark.parametrize("batches", [False, True])
async def test_datagrams_of_one_source_stay_in_order(node: homing.Node, batches: bool) -> None:
    network = FakeNetwork(seed=1)
    handled: dict[Any, list[int]] = defaultdict(list)

    class Server(act.Actor):
        async def init(self) -> None:
            self.udp = await self.spawn_meta(
                meta.create_udp_server(meta.UDPServerOptions(host="10.0.0.1", port=1, receive_buffer=1 << 20))
            )

        async def handle_message(self, sender: Any, message: Any) -> None:
            await self.note([message])

        async def note(self, messages: list[Any]) -> None:
            for message in messages:
                await asyncio.sleep(0.001 * (message.data[0] % 3))
                handled[message.addr].append(message.data[0])

    async def handle_datagrams(self: Any, batch: Any) -> None:
        await self.note(list(batch))

    kind = type("Batches", (Server,), {"handle_datagrams": handle_datagrams}) if batches else Server
    with network:
        await node.spawn(kind, options=beside(50, concurrency_key="source"))
        peers = [network.socket("10.0.0.2", port) for port in range(5000, 5008)]
        for number in range(40):
            for peer in peers:
                peer.send(bytes([number]), ("10.0.0.1", 1))
            await asyncio.sleep(0)
        await eventually(lambda: sum(map(len, handled.values())) == 320)
    assert all(numbers == list(range(40)) for numbers in handled.values())
    assert len(handled) == 8


async def test_messages_of_one_sender_stay_in_order_with_source(node: homing.Node) -> None:
    pid = await node.spawn(Worker, options=beside(50, concurrency_key="source"))
    calls = [node.call(pid, (0.0005 * (tag % 3), tag)) for tag in range(20)]
    await asyncio.gather(*calls)
    assert behavior(node, pid).ended == list(range(20))


async def test_a_held_process_continues_with_what_waits_for_its_keys(node: homing.Node) -> None:
    pid = await node.spawn(Worker, options=beside(3, concurrency_key=lambda message: 1))
    gate = asyncio.Event()
    seen: list[int] = []

    async def wait(actor: Any) -> None:
        await gate.wait()

    node.send(pid, wait)
    node.send(pid, lambda actor: seen.append(1))
    await eventually(lambda: node.process_info(pid).in_flight == 1)
    process = node._core.processes[pid]
    process.pause()
    gate.set()
    await eventually(lambda: node.process_info(pid).in_flight == 0)
    await asyncio.sleep(0.001)
    assert seen == []
    process.resume()
    await eventually(lambda: seen)


async def test_with_drop_oldest_the_oldest_that_waits_for_its_key_is_dropped(node: homing.Node) -> None:
    handled: list[Any] = []
    gate = asyncio.Event()

    class Slow(act.Actor):
        async def handle_message(self, sender: Any, message: Any) -> None:
            await gate.wait()
            handled.append(message)

    options = beside(4, concurrency_key=lambda message: 1, mailbox_size=5, overflow="drop_oldest")
    pid = await node.spawn(Slow, options=options)
    for number in range(9):
        node.send(pid, number)
        await asyncio.sleep(0)
    gate.set()
    await eventually(lambda: len(handled) == 5)
    assert handled == [0, 5, 6, 7, 8]
    assert node.process_info(pid).dropped_oldest == 4


def of_label(message: Any) -> Any:
    return None if callable(message) else message[0]


@pytest.mark.parametrize(("key", "ended"), [("source", [0, 1, 2]), (of_label, [0, 1, 2]), (None, [2, 1, 0])])
async def test_a_response_has_the_key_of_its_callee_or_of_its_label(
    node: homing.Node, key: Any, ended: list[int]
) -> None:
    class Asker(Worker):
        async def handle_response(self, label: Any, answer: Any) -> None:
            for _ in range(3 - label[1]):
                await asyncio.sleep(0.002)
            self.ended.append(label[1])

    def ask(actor: Any) -> None:
        for number in range(3):
            actor.send_request(callee, (0, number), ("same", number))

    callee = await node.spawn(Worker)
    pid = await node.spawn(Asker, options=beside(50, concurrency_key=key))
    node.send(pid, ask)
    await eventually(lambda: len(behavior(node, pid).ended) == 3)
    assert behavior(node, pid).ended == ended
