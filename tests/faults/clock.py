"""A program that sets its wall clock forward and back, and tells what timers and the limit of restarts make of it.

FAKETIME_NO_CACHE=1 DONT_FAKE_MONOTONIC=1 faketime -f +0d python -m tests.faults.clock
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Any

import homing
from homing import act, gen


class Timed(act.Actor):
    """Keeps how late each timer fires, in seconds of the monotonic clock."""

    def init(self, late: dict[str, float]) -> None:
        self.late = late

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        match message:
            case ("set", name, seconds):
                self.send_after(self.pid, (name, time.monotonic() + seconds), seconds)
            case (name, due):
                self.late[name] = time.monotonic() - due


class Mortal(act.Actor):
    def handle_message(self, sender: gen.PID, message: Any) -> None:
        raise RuntimeError("as asked")


class Strict(act.Supervisor):
    def init(self) -> act.SupervisorSpec:
        return act.SupervisorSpec(children=(act.ChildSpec(name="mortal", behavior=Mortal),), intensity=2, period=3600.0)


def set_wall_clock(days: str) -> None:
    if "FAKETIME" in os.environ:
        os.environ["FAKETIME"] = days


async def crash(node: homing.Node) -> None:
    """Crashes the child, and waits until that is over."""
    before = node.process_info("mortal").pid
    node.send("mortal", "die")
    while before in node.processes():
        await asyncio.sleep(0)


async def main(node: homing.Node) -> None:
    late: dict[str, float] = {}
    timed = await node.spawn(Timed, late)
    supervisor = await node.spawn(Strict)
    begin = time.time()
    for days in ("+30d", "-1d", "+0d"):
        node.send(timed, ("set", f"an hour before {days}", 3600.0))
        node.send(timed, ("set", days, 0.05))
        set_wall_clock(days)
        print("moved", round((time.time() - begin) / 86400), flush=True)
        await crash(node)
        while days not in late:
            await asyncio.sleep(0.001)
    print("fired", *sorted(late), flush=True)
    print("early", sum(seconds < -0.001 for seconds in late.values()), flush=True)
    print("late", f"{max(late.values()) * 1000:.1f}", flush=True)
    print("supervisor", "alive" if supervisor in node.processes() else "gone", flush=True)


if __name__ == "__main__":
    sys.exit(homing.run(main))
