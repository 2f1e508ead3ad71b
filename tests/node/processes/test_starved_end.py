"""An end in which an allocation fails, at each place in turn: whoever is to be told is told."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import homing
from homing import act, gen

from ...starving import failing, needs_starving
from ...support import Probe, eventually

pytestmark = needs_starving

PLACES = range(60)
"""Allocations that fail: an end takes fewer."""


class Plain(act.Actor):
    """Owns nothing."""


async def test_who_monitors_a_process_is_told_of_its_end_whatever_allocation_fails_in_it(
    node: homing.Node, probe: Probe
) -> None:
    for number in PLACES:
        pid = await node.spawn(Plain)
        await probe.do(lambda actor, pid=pid: actor.monitor(pid))
        with failing(number):
            node.kill(pid)
        with suppress(gen.ProcessTerminated):
            node.kill(pid)  # nothing has happened if it raised at once
        told = await probe.get()
        assert isinstance(told, gen.MessageDownPID), number
        assert told.pid == pid


class Beside(act.Actor):
    """Waits for ever with each message, unless that is a number: then it crashes."""

    async def handle_message(self, sender: gen.PID, message: object) -> None:
        await asyncio.sleep(0 if isinstance(message, int) else 60)
        if isinstance(message, int):
            raise ValueError(message)


async def test_a_process_whose_callbacks_run_side_by_side_ends_whatever_allocation_fails_in_its_crash(
    node: homing.Node, probe: Probe
) -> None:
    for number in PLACES:
        pid = await node.spawn(Beside, options=gen.ProcessOptions(concurrency=4, concurrency_key=str))
        await probe.do(lambda actor, pid=pid: actor.monitor(pid))
        for message in ("a", "b", "b", "b"):
            node.send(pid, message)
        await eventually(lambda pid=pid: node.process_info(pid).in_flight == 2)
        with failing(number):
            node.send(pid, number)
            node._core.scheduler._run_now()
        with suppress(gen.ProcessTerminated):
            node.send(pid, number)
        told = await probe.get()
        assert isinstance(told, gen.MessageDownPID), number
        assert told.pid == pid
