"""Messages whose arrival is reported, and those that may be sent again."""

from __future__ import annotations

import asyncio

import pytest

from homing import gen

from .nodes import members, until, virtual


@virtual
async def test_an_important_message_lies_in_the_mailbox_when_sending_it_returns() -> None:
    async with members("a", "b") as (a, b):
        await a.keeper.send_important(b.pid, "here")
        assert b.messages == ["here"]


@virtual
async def test_an_important_message_raises_what_a_local_send_would() -> None:
    async with members("a", "b") as (a, b):
        with pytest.raises(gen.NameUnknown):
            await a.keeper.send_important(gen.ProcessID("nobody", "b@localhost"), "lost")
        b.node.kill(b.pid)
        with pytest.raises(gen.ProcessTerminated):
            await a.keeper.send_important(b.pid, "lost")


@virtual
async def test_an_important_message_fails_when_the_node_goes_down_or_its_time_is_over() -> None:
    async with members("a", "b") as (a, b):
        a.engine.network.freeze("b@localhost")
        with pytest.raises(gen.CallTimeout):
            await a.keeper.send_important(b.pid, "in vain", timeout=1.0)
        with pytest.raises(gen.NodeDown):
            await a.keeper.send_important(b.pid, "in vain", timeout=5.0)


@virtual
async def test_a_message_that_is_sent_again_is_delivered_once() -> None:
    async with members("a", "b") as (a, b):
        for _ in range(3):
            await a.keeper.send_important(b.pid, gen.Once("order-1", "pay"))
        await a.keeper.send_important(b.pid, gen.Once("order-2", "pay more"))
        assert b.messages == ["pay", "pay more"]


@virtual
async def test_keys_are_forgotten_after_their_time() -> None:
    async with members("a", "b") as (a, b):
        for number in range(100):
            await a.keeper.send_important(b.pid, gen.Once(f"key {number}", number))
        await asyncio.sleep(61)
        await a.keeper.send_important(b.pid, gen.Once("another", 1))
        seen = b.cluster.important._seen
        assert list(seen["a@localhost"]) == ["another"]
        await asyncio.sleep(61)
        await a.cluster.leave()
        await until(lambda: not seen)
