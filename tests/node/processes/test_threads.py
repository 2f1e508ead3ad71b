"""Sending from other threads."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import homing
from homing import gen

from ...support import Probe, eventually
from ..actors import QUIET, Doer


async def test_messages_of_each_thread_arrive_in_its_order(node: homing.Node, probe: Probe) -> None:
    def send(thread: int) -> None:
        for number in range(500):
            node.send_threadsafe(probe.pid, (thread, number))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    got = [await probe.get() for _ in range(2000)]
    for thread in threads:
        thread.join()
    for index in range(4):
        assert [number for thread, number in got if thread == index] == list(range(500))


async def test_what_comes_from_a_thread_comes_from_the_node(node: homing.Node, probe: Probe) -> None:
    await asyncio.to_thread(node.send_threadsafe, probe.pid, "hello")
    assert await probe.next() == ("message", node.pid, "hello")


async def test_what_a_thread_sent_to_nobody_is_counted_and_logged_once(
    node: homing.Node, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    def send() -> None:
        for number in range(10):
            node.send_threadsafe("nobody", number)
        node.send_threadsafe(probe.pid, "last")

    await asyncio.to_thread(send)
    assert await probe.get() == "last"
    assert node.info().threadsafe_failures == 10
    assert ["nobody" in record.getMessage() for record in caplog.records] == [True]


async def test_a_full_mailbox_is_counted_too(node: homing.Node) -> None:
    pid = await node.spawn(Doer, options=gen.ProcessOptions(mailbox_size=2))
    for _ in range(5):
        node.send_threadsafe(pid, lambda actor: None)
    await eventually(lambda: node.process_info(pid).messages_in == 2)
    assert node.info().threadsafe_failures == 3


async def test_sending_from_a_thread_to_a_stopped_node_raises() -> None:
    async with homing.start_node("threads@localhost", QUIET) as node:
        pid = await node.spawn(Doer)
    with pytest.raises(gen.NodeTerminated, match="threads@localhost"):
        await asyncio.to_thread(node.send_threadsafe, pid, "late")


def test_sending_to_a_node_whose_loop_was_closed_raises_each_time() -> None:
    kept: list[Any] = []

    async def main() -> None:
        kept.append(await homing.start_node("closed@localhost", QUIET))

    asyncio.run(main())
    for _ in range(3):
        with pytest.raises(gen.NodeTerminated):
            kept[0].send_threadsafe("anybody", "late")


async def test_a_thread_may_send_while_the_node_stops_and_loses_nothing_it_was_not_told_of() -> None:
    got: list[Any] = []
    accepted: list[int] = []
    async with homing.start_node("threads@localhost", QUIET) as node:
        pid = await node.spawn(Doer)

        def send() -> None:
            number = 0
            try:
                while True:
                    number += 1
                    node.send_threadsafe(pid, lambda actor: got.append(1))
                    accepted.append(number)
            except gen.NodeTerminated:
                return

        thread = threading.Thread(target=send)
        thread.start()
        await eventually(lambda: len(got) > 100)
        await node.stop()
        await asyncio.to_thread(thread.join)
        info = node.info()
        await eventually(
            lambda: len(got) + node.info().threadsafe_failures + node.info().discarded == len(accepted),
            "every message accounted for",
        )
    assert info.state == "stopped"
