"""An end in which an allocation fails, at each place in turn: whoever is to be told is told."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

import homing
from homing import act, gen

from ...support import Probe

pytestmark = pytest.mark.skipif(importlib.util.find_spec("_testcapi") is None, reason="Python has no _testcapi")

PLACES = range(60)
"""Allocations that fail: an end takes fewer."""


@contextmanager
def failing(number: int) -> Iterator[None]:
    """Lets one allocation fail, the one of that number from here on."""
    nomemory = importlib.import_module("_testcapi")
    nomemory.set_nomemory(number, number + 1)
    try:
        yield
    except (MemoryError, SystemError):
        pass  # CPython 3.11 makes a SystemError of an exception for whose traceback there is no memory
    finally:
        nomemory.remove_mem_hooks()


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
