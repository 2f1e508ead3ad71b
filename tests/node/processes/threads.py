"""What the tests of processes on threads of their own share."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import homing
from homing import gen

from ...support import DEADLINE, eventually

THREAD = gen.ProcessOptions(thread=True)


class Block:
    """Holds up the thread of a callback until the test lets it go on."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.released = threading.Event()

    def __call__(self, actor: Any = None) -> None:
        """For `Doer`: blocks its thread."""
        self.reached.set()
        if not self.released.wait(2 * DEADLINE):
            raise AssertionError("the test did not release the callback")

    async def entered(self) -> None:
        """Waits until a callback is held up."""
        await eventually(self.reached.is_set, "the callback")


def threads_of(pid: gen.PID) -> list[threading.Thread]:
    """The threads that are named after a process."""
    return [thread for thread in threading.enumerate() if thread.name == f"homing {pid}"]


async def no_thread(pid: gen.PID) -> None:
    await eventually(lambda: not threads_of(pid), "the end of the thread")


async def ended(node: homing.Node, pid: gen.PID) -> None:
    await eventually(lambda: pid not in node.processes(), "the end of the process")


async def bounded(pending: Any) -> Any:
    """Awaits something that is to come soon."""
    async with asyncio.timeout(DEADLINE):
        return await pending
