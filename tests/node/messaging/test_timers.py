"""Timers: once and again, cancelled, in phase, and gone with their owner. No test waits for a time to pass."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import homing
from homing import act, gen

from ...support import DEADLINE, Probe, eventually
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
    node.send(pid, lambda actor: None)
    cancel = await probe.do(lambda actor: actor.send_every(pid, lambda other: seen.append(1), 0.001))
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


# --- no more than one tick waits ------------------------------------------------------------------------------


class Slow(act.Actor):
    """Keeps what it gets, and is busy with the first message until the test opens the gate."""

    def init(self, kept: list[Any], gate: asyncio.Event) -> None:
        self.kept = kept
        self.gate = gate

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.kept.append(message)
        await self.gate.wait()


async def slow(node: homing.Node, where: str, kept: list[Any], gate: asyncio.Event) -> Any:
    """Where ticks are sent to: what they wait in is busy."""

    class Workers(act.Pool):
        def init(self) -> act.PoolOptions:
            route: Any = (lambda sender, message: "key") if where == "keyed pool" else "round_robin"
            return act.PoolOptions(worker=Slow, worker_args=(kept, gate), pool_size=1, route=route)

    class Routes(act.Router):
        def init(self) -> act.RouterOptions:
            own = act.RouteSpec(name="own", behavior=Slow, args=(kept, gate))
            target = act.RouteSpec(name="target", target="slow")
            return act.RouterOptions(routes=(own, target))

        def route_message(self, sender: gen.PID, message: Any) -> Any:
            return "own" if where == "router" else "target"

    if where in ("pool", "keyed pool"):
        return await node.spawn(Workers)
    if where == "split":

        class Split(Slow):
            split_handle = True

            async def handle_message_name(self, name: str, sender: gen.PID, message: Any) -> None:
                assert name == "slow"
                await self.handle_message(sender, message)

        await node.spawn(Split, kept, gate, name="slow")
        return "slow"
    pid = await node.spawn(Slow, kept, gate, name="slow")
    return await node.spawn(Routes) if where in ("router", "router target") else pid


WHERE = ["process", "split", "pool", "keyed pool", "router", "router target"]


@pytest.mark.parametrize("where", WHERE)
async def test_however_long_a_handler_takes_one_tick_of_a_timer_waits(
    node: homing.Node, probe: Probe, where: str
) -> None:
    kept: list[Any] = []
    gate = asyncio.Event()
    to = await slow(node, where, kept, gate)
    cancel = await probe.do(lambda actor: actor.send_every(to, "tick", 0.001))
    await eventually(lambda: node.info().timer_skips >= 20)
    assert sum(node.process_info(pid).mailbox.main for pid in node.processes()) == 1
    assert kept == ["tick"]
    assert cancel() is True
    gate.set()
    node.send(to, "end")
    await eventually(lambda: "end" in kept)
    assert kept == ["tick", "end"], "a tick came after its timer was cancelled"
    assert cancel() is False


@pytest.mark.parametrize("where", WHERE)
async def test_a_period_goes_on_once_its_tick_has_been_handled(node: homing.Node, probe: Probe, where: str) -> None:
    kept: list[Any] = []
    gate = asyncio.Event()
    to = await slow(node, where, kept, gate)
    cancel = await probe.do(lambda actor: actor.send_every(to, "tick", 0.001))
    await eventually(lambda: node.info().timer_skips >= 3)
    gate.set()
    await eventually(lambda: len(kept) >= 5)
    assert cancel() is True


@pytest.mark.parametrize("where", WHERE)
async def test_a_message_that_waits_is_taken_back_and_one_that_was_handled_is_not(
    node: homing.Node, probe: Probe, where: str
) -> None:
    kept: list[Any] = []
    gate = asyncio.Event()
    to = await slow(node, where, kept, gate)
    node.send(to, "first")
    await eventually(lambda: kept == ["first"])

    def start(actor: act.Actor) -> Any:
        return actor.send_after(to, "never", 0), actor.send_after(to, "second", 0)

    never, second = await probe.do(start)
    await eventually(lambda: sum(node.process_info(pid).mailbox.main for pid in node.processes()) == 2)
    assert never() is True
    assert never() is False
    gate.set()
    await eventually(lambda: len(kept) == 2)
    assert kept == ["first", "second"]
    assert second() is False


async def test_a_tick_that_was_dropped_does_not_stop_its_timer(node: homing.Node, probe: Probe) -> None:
    kept: list[Any] = []
    gate = asyncio.Event()
    await slow(node, "process", kept, gate)
    await probe.do(lambda actor: actor.send_every("slow", "tick", 0.001))
    await eventually(lambda: node.info().timer_skips >= 3)
    node.kill(node._core.registry.names["slow"].id)
    await eventually(lambda: node.info().names == 0)
    kept.clear()
    await slow(node, "process", kept, gate)
    await eventually(lambda: kept == ["tick"])


async def test_a_tick_that_was_taken_back_is_no_loss_and_gives_way(node: homing.Node, probe: Probe) -> None:
    kept: list[Any] = []
    gate = asyncio.Event()
    options = gen.ProcessOptions(mailbox_size=1, overflow="drop_oldest")
    pid = await node.spawn(Slow, kept, gate, options=options)
    node.send(pid, "first")
    await eventually(lambda: kept == ["first"])
    cancel = await probe.do(lambda actor: actor.send_after(pid, "never", 0))
    await eventually(lambda: node.process_info(pid).mailbox.main == 1)
    assert cancel() is True
    node.send(pid, "second")
    assert node.process_info(pid).dropped_oldest == 0
    cancel = await probe.do(lambda actor: actor.send_after(pid, "newest", 0))
    await eventually(lambda: node.process_info(pid).dropped_oldest == 1)
    assert cancel() is True
    node.kill(pid)
    gate.set()
    await eventually(lambda: node.processes() == [probe.pid])
    assert (kept, node.info().discarded) == (["first"], 0)


async def test_what_a_timer_has_sent_goes_to_a_successor_and_to_dead_letters_as_any_message(
    node: homing.Node, probe: Probe
) -> None:
    gate = asyncio.Event()

    class Fatal(Slow):
        async def handle_message(self, sender: gen.PID, message: Any) -> None:
            await gate.wait()
            raise ValueError(message)

    options = gen.ProcessOptions(dead_letters=probe.pid, preserve_mailbox=True)
    pid = await node.spawn(Fatal, [], gate, options=options)
    timing = await node.spawn(Doer)
    await node.call(timing, lambda actor: actor.send_every(pid, "tick", 0.001))
    await eventually(lambda: node.info().timer_skips >= 3)
    node.kill(timing)  # what its timer has sent before is still handled
    gate.set()
    letters = [await probe.get() for _ in range(2)]
    assert [(letter.sender, letter.message, letter.in_hand) for letter in letters] == [
        (timing, "tick", True),
        (timing, "tick", False),
    ]


async def test_on_a_thread_one_tick_waits_and_a_cancelled_one_is_not_handled(node: homing.Node, probe: Probe) -> None:
    kept: list[Any] = []
    gate = threading.Event()

    class Blocks(act.Actor):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            kept.append(message)
            if message == "tick":
                gate.wait(DEADLINE)

    pid = await node.spawn(Blocks, options=gen.ProcessOptions(thread=True))
    cancel = await probe.do(lambda actor: actor.send_every(pid, "tick", 0.001))
    await eventually(lambda: node.info().timer_skips >= 10)
    assert kept == ["tick"]
    assert cancel() is True
    gate.set()
    node.send(pid, "end")
    await eventually(lambda: "end" in kept)
    assert kept == ["tick", "end"]


async def test_a_meta_process_gets_one_tick_at_a_time(node: homing.Node, probe: Probe) -> None:
    gate, got = asyncio.Event(), []

    class Busy(Meta):
        async def handle_message(self, sender: gen.PID, message: Any) -> None:
            got.append(message)
            await gate.wait()

    alias = await probe.do(lambda actor: actor.spawn_meta(Busy()))
    cancel = await probe.do(lambda actor: actor.send_every(alias, "tick", 0.001))
    await eventually(lambda: node.info().timer_skips >= 10)
    assert node.meta_info(alias).mailbox.main == 1
    assert cancel() is True
    gate.set()
    node.send(alias, "end")
    await eventually(lambda: "end" in got)
    assert got == ["tick", "end"]
