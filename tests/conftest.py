"""Fixtures: a node that is stopped after each test, and the proof that the test left nothing behind."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import homing
from homing import gen
from homing.node.logs import Complaints

from .support import Probe, UDPPeer, eventually, examples

pytest_plugins = [
    f"{__package__}.{name}"
    for name in (
        "suite.isolation",
        "suite.forks",
        "suite.runs",
        "suite.second_try",
        "suite.variants",
        "suite.proof",
        "suite.counting",
        "suite.littering",
        "faults.figures",
    )
]


# A machine may be busy: no time decides a test.
settings.register_profile(
    "suite", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=examples(100, 100)
)
settings.load_profile("suite")

if hasattr(signal, "SIGHUP"):  # nohup(1) has it ignored, also in programs that tests start
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell has it ignored in what it runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collects no garbage meanwhile: of the hundreds of thousands of objects that are made, next to none is any."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was imported stays: no collection of garbage has to look at it again."""
    gc.collect()
    gc.freeze()


MOMENT = 2.0
"""Seconds that other threads of the test run (its workers' own, the examples' database) may have a file open."""


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def described() -> list[str]:
    """What the open descriptors are."""
    return sorted(os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink())


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Every test closes what it opened: descriptors after it are those before it.

    This is asked after every test, so that none can forget it: it costs a listing of /proc. Garbage is collected only
    where something is left, which may hang on a cycle; a socket that garbage closes warns, which is an error.
    """
    if sys.platform != "linux":
        yield
        return
    before = open_descriptors()
    yield
    if open_descriptors() > before:
        gc.collect()
        give_up = time.monotonic() + MOMENT
        while open_descriptors() > before and time.monotonic() < give_up:
            time.sleep(0.01)
        assert open_descriptors() <= before, f"the test left descriptors open: {described()}"


@pytest.fixture(autouse=True)
def all_that_is_logged_can_be_shown() -> Iterator[None]:
    """No log handler raises over a record of the runtime's. A test whose own handlers do sets the number back."""
    before = Complaints.total
    yield
    assert Complaints.total == before, "a log handler raised: see standard error"


@pytest.fixture
async def node() -> AsyncIterator[homing.Node]:
    """A running node. After the test it stops, and no process, meta-process or task of it is left."""
    # No watchdog, which a busy machine could rouse; and slices that are not over before what was just sent is handled.
    options = gen.NodeOptions(
        handle_signals=False, stop_timeout=2.0, slow_callback_seconds=None, turn_seconds=0.02, slice_seconds=0.05
    )
    async with homing.start_node("test@localhost", options) as running:
        yield running
        await running.stop(0.4)  # many a test leaves a process behind that waits for ever
    info = running.info()
    assert (info.state, info.processes, info.metas) == ("stopped", 0, 0)
    assert info.open_calls == 0
    await eventually(lambda: asyncio.all_tasks() == {asyncio.current_task()}, "the end of all tasks")


@pytest.fixture
async def probe(node: homing.Node) -> Probe:
    """A process that keeps what it gets, for the test to await."""
    return await Probe.start(node)


@pytest.fixture
async def peer() -> AsyncIterator[UDPPeer]:
    """A real UDP socket on 127.0.0.1."""
    with UDPPeer() as socket:
        yield socket
