"""Timers: once and again, cancelled, in phase, and gone with their owner. No test waits for a time to pass."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen

from ...support import Probe, eventually
from ..actors import Doer, Meta


async def test_a_message_sent_after_comes_once_from_its_sender(node: homing.Node, probe: Probe) -> None:
    pid = await node.spawn(Doer)
    cancel = await node.call(pid, lambda actor: actor.send_after(probe.pid, "late", 0.001))
    assert await probe.next() == ("message", pid, "late")
    assert cancel() is False
    assert node.process_info(pid).messages_out == 1


async def test_timers_fire_in_the_order_of_their_times(node: homing.Node, probe: Probe) -> None:
    def start(actor: act.Actor) -> None:
        for seconds in (0.02, 0.0, 0.01):
            actor.send_after(probe.pid, seconds, seconds)

    await probe.do(start)
    assert [await probe.get() for _ in range(3)] == [0.0, 0.01, 0.02]


async def test_a_cancelled_timer_never_fires_and_says_whether_it_was_still_to(node: homing.Node, probe: Probe) -> None:
    def start(actor: act.Actor) -> tuple[bool, bool]:
        cancel = actor.send_after(actor.pid, "never", 0)
        actor.send_after(actor.pid, "second", 0)
        return cancel(), cancel()

    assert await probe.do(start) == (True, False)
    assert await probe.get() == "second"
    assert probe.waiting() == []


async def test_a_period_goes_on_until_it_is_cancelled(node: homing.Node, probe: Probe) -> None:
    cancel = await probe.do(lambda actor: actor.send_every(actor.pid, "tick", 0.001))
    assert [await probe.get() for _ in range(5)] == ["tick"] * 5
    assert cancel() is True
    assert cancel() is False
    await probe.do(lambda actor: None)  # what was sent before the cancellation has come by now
    probe.waiting()
    await probe.do(lambda actor: actor.send_after(actor.pid, "end", 0.005))
    assert await probe.get() == "end"


async def test_timers_end_with_their_owner(node: homing.Node, probe: Probe) -> None:
    pid = await node.spawn(Doer)
    await node.call(pid, lambda actor: actor.send_every(probe.pid, "tick", 0.001))
    await node.call(pid, lambda actor: actor.send_after(probe.pid, "after", 0.002))
    node.kill(pid)
    await probe.do(lambda actor: None)
    probe.waiting()
    await probe.do(lambda actor: actor.send_after(actor.pid, "end", 0.01))
    assert await probe.get() == "end"
    assert node.info().timer_failures == 0


async def test_a_period_ends_with_its_receiver_and_is_counted(node: homing.Node, probe: Probe) -> None:
    pid = await node.spawn(Doer)
    cancel = await probe.do(lambda actor: actor.send_every(pid, lambda other: None, 0.001))
    node.kill(pid)
    await eventually(lambda: node.info().timer_failures == 1)
    assert cancel() is False


async def test_a_period_to_a_name_goes_on_while_nobody_has_it(node: homing.Node, probe: Probe) -> None:
    cancel = await probe.do(lambda actor: actor.send_every("later", "tick", 0.001))
    await eventually(lambda: node.info().timer_failures >= 2)
    node.register_name("later", probe.pid)
    assert await probe.get() == "tick"
    assert cancel() is True


async def test_a_timer_that_finds_a_full_mailbox_is_counted_and_goes_on(node: homing.Node, probe: Probe) -> None:
    gate = asyncio.Event()
    pid = await node.spawn(Doer, options=gen.ProcessOptions(mailbox_size=1))
    node.send(pid, lambda actor: gate.wait())
    await eventually(lambda: node.process_info(pid).mailbox.main == 0)
    seen: list[Any] = []
    cancel = await probe.do(lambda actor: actor.send_every(pid, seen.append, 0.001))
    await eventually(lambda: node.info().timer_failures >= 2)
    gate.set()
    await eventually(lambda: len(seen) >= 2)
    assert cancel() is True


@pytest.mark.parametrize("way", ["send_after", "send_every"])
@pytest.mark.parametrize(("to", "seconds"), [("x", -1), ("x", "1"), ("x", float("inf")), (None, 1), ([], 1), (7, 1)])
async def test_a_timer_that_cannot_work_is_refused_at_once(
    node: homing.Node, probe: Probe, way: str, to: Any, seconds: Any
) -> None:
    def start(actor: act.Actor) -> str:
        with pytest.raises(gen.BadOption) as caught:
            getattr(actor, way)(to, "x", seconds)
        return caught.value.option

    assert await probe.do(start) == ("to" if seconds == 1 else "seconds")


async def test_a_period_of_no_time_is_refused_but_a_delay_of_none_is_not(node: homing.Node, probe: Probe) -> None:
    def start(actor: act.Actor) -> None:
        with pytest.raises(gen.BadOption, match="seconds"):
            actor.send_every(actor.pid, "x", 0)
        actor.send_after(actor.pid, "soon", 0)

    await probe.do(start)
    assert await probe.get() == "soon"


async def test_a_meta_process_has_timers_that_end_with_it_and_come_from_its_alias(
    node: homing.Node, probe: Probe
) -> None:
    source = Meta()
    parent = await node.spawn(Doer)
    alias = await node.call(parent, lambda actor: actor.spawn_meta(source))
    source.process.send_every(probe.pid, "tick", 0.001)
    assert await probe.next() == ("message", alias, "tick")
    await node.call(parent, lambda actor: actor.send_exit_meta(alias, gen.TerminateNormal))
    await eventually(lambda: node.info().metas == 0)
    with pytest.raises(gen.NotAllowed):
        source.process.send_after(probe.pid, "never", 0)
    await probe.do(lambda actor: None)
    probe.waiting()
    await probe.do(lambda actor: actor.send_after(actor.pid, "end", 0.005))
    assert await probe.get() == "end"
