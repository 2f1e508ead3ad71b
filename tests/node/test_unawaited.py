"""A call that was not awaited is told at once, with what to write instead."""

from __future__ import annotations

import subprocess
import sys

import pytest

import homing
from homing import act, gen

from ..support import DEADLINE, Probe

PROGRAM = """
import homing
from homing import act, gen, meta

class Forgetful(act.Actor):
    def init(self):
        self.call("store", 1)
        self.spawn(act.Actor)
        meta.listen_udp(self, host="127.0.0.1")

async def main(node):
    await node.spawn(Forgetful)
    node.spawn(act.Actor)

homing.run(main)
"""


def test_the_log_names_each_call_that_was_not_awaited_and_what_to_write() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == 0, done.stderr
    told = [line.partition("so it did nothing; ")[2] for line in done.stderr.splitlines() if "did nothing" in line]
    assert told == [
        f"write `await {call}(...)`, in an `async def`"
        for call in ("self.call", "self.spawn", "meta.listen_udp", "node.spawn")
    ]


async def test_a_message_to_a_spawn_that_was_not_awaited_says_so(probe: Probe) -> None:
    def send(actor: act.Actor) -> None:
        child = actor.spawn(act.Actor)
        with pytest.raises(gen.BadOption, match=r"write `await self\.spawn\(\.\.\.\)`"):
            actor.send(child, 1)  # type: ignore[arg-type]
        child.close()

    await probe.do(send)


async def test_outside_of_homing_run_python_warns_with_the_name_of_the_call(node: homing.Node) -> None:
    with pytest.warns(RuntimeWarning, match=r"coroutine 'Node\.call' was never awaited"):
        node.call("store", 1)  # type: ignore[unused-coroutine]
