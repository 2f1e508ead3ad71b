"""Frames that no node of ours sends: they are counted, and what comes behind them is handled."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from homing import gen
from homing.cluster import wire
from homing.cluster.engine import MAIN, SIGNALS

from .nodes import Keeper, behavior_of, members, until, virtual

A, B = "a@localhost", "b@localhost"
HUGE = 2**64 - 1


def inject(a: Any, b: Any, *frames: Any, lane: int = MAIN) -> None:
    """Hands frames to `b` as the next batch of `a`."""
    link = b.cluster.links[A]
    number = link.inbound.numbers[lane] + 1
    a.cluster.links[B].outbox.lanes[lane].sent = number
    head = wire.header(link.outbox.peer_epoch, link.outbox.epoch, number, 0, len(frames))
    a.engine.network.inject(A, B, head + b"".join(map(wire.ENCODER.encode, frames)), lane)


@pytest.mark.parametrize(
    "frame",
    [
        [1, 1, 1, HUGE, 1],
        [1, "keeper", 1, 0, 1, HUGE],
        [1, "keeper", HUGE, 0, 1, -(2**63)],
        [2, "keeper", 1, HUGE, [1]],
        [4, HUGE, "keeper", 1, HUGE, 0, 1],
        [4, [A, HUGE, HUGE], "keeper", 1, -1, HUGE, 1],
        [4, -(2**63), "nobody", 1, 1, 0, 1],
        [5, HUGE, HUGE, 1],
        [14, HUGE, "keeper", HUGE, HUGE, 1],
        [18, -(2**63), "keeper", 1, 1, []],
        [30, 1, "keeper", False, 1, 1, HUGE, HUGE, HUGE],
    ],
    ids=lambda frame: f"{frame[0]}-{len(str(frame))}",
)
def test_numbers_beyond_all_limits_do_not_stop_the_frames_behind_them(frame: list[Any]) -> None:
    @virtual
    async def run() -> None:
        async with members("a", "b", inspect=True) as (a, b):
            inject(a, b, frame, wire.Send("keeper", 1, 0, wire.Raw(wire.ENCODER.encode("behind"))))
            await until(lambda: "behind" in b.messages, 1)
            a.keeper.send(b.pid, "next batch")
            await until(lambda: "next batch" in b.messages, 1)
            assert a.cluster.node(B).resets == 0

    run()


@virtual
async def test_a_hello_with_rows_of_another_form_raises_nothing() -> None:
    async with members("a", "b") as (a, b):
        strange = a.cluster.hello(a.cluster.links[B])
        fields = [getattr(strange, name) for name in strange.__struct_fields__]
        fields[4] += 1  # another epoch
        fields[9] = [5, None, "x", [1], [2, 3, 4], ["a", "b", "c"]]
        head = wire.header(fields[4], 0, 1, 0, 1)
        a.engine.network.inject(A, B, head + wire.ENCODER.encode([0, *fields]), SIGNALS)
        await asyncio.sleep(5)
        await until(lambda: a.cluster.links and b.cluster.links)


@virtual
async def test_a_node_cannot_send_an_exit_signal_in_the_name_of_another() -> None:
    class Traps(Keeper):
        trap_exit = True

    async with members("a", "b") as (a, b):
        pid = await b.node.spawn(Traps)
        parent = b.node.pid
        reason = b.cluster.types.error_out(gen.TerminateShutdown())
        inject(a, b, wire.Exit(pid.id, (B, parent.id, parent.creation), reason), lane=SIGNALS)
        await asyncio.sleep(1)
        assert pid in b.node._core.processes
        assert behavior_of(b.node, pid).got == []
        assert b.cluster.links[A].undelivered["refused"] == 1


@virtual
async def test_a_key_that_is_too_long_is_refused() -> None:
    async with members("a", "b") as (a, b):
        inject(a, b, wire.Important(1, "keeper", 1, 0, wire.Raw(wire.ENCODER.encode("x")), "k" * 100_000))
        await asyncio.sleep(1)
        assert not b.messages
        assert not b.cluster.important._seen
