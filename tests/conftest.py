"""Fixtures: a node that is stopped after each test, and the proof that the test left nothing behind."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator, Iterator
from itertools import count

import pytest

import homing
from homing import gen
from homing.datagram import why_portable

from .faults.figures import pytest_terminal_summary as pytest_terminal_summary
from .support import Probe, UDPPeer, eventually


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was imported stays: the collection of garbage after each test then looks at what the test made only."""
    gc.collect()
    gc.freeze()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


_collected = count(1)


def collect() -> None:
    """Collects what the test has left; now and then, what stays (pytest's own records) is not looked at any more."""
    gc.collect()
    if next(_collected) % 20 == 0:
        gc.freeze()


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Every test closes what it opened: descriptors after it are those before it."""
    if sys.platform != "linux":
        yield
        return
    before = open_descriptors()
    yield
    collect()
    assert open_descriptors() <= before, "the test left descriptors open"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test of the datagram path runs on both backends."""
    if metafunc.definition.path.relative_to(metafunc.config.rootpath / "tests").parts[0] in (
        "datagram",
        "meta",
        "faults",
    ):
        metafunc.parametrize("backend", ["native", "portable"], indirect=True)


@pytest.fixture(autouse=True)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The datagram backend that serves in this test: each in its turn, or the one that serves by itself."""
    chosen = getattr(request, "param", None)
    if chosen is None:
        return ""
    monkeypatch.delenv("HOMING_DATAGRAM", raising=False)
    if chosen == "native" and why_portable():
        pytest.skip(why_portable())
    monkeypatch.setenv("HOMING_DATAGRAM", chosen)
    return str(chosen)


@pytest.fixture
async def node() -> AsyncIterator[homing.Node]:
    """A running node. After the test it stops, and no process, meta-process or task of it is left."""
    # no watchdog, which a busy machine could rouse
    options = gen.NodeOptions(handle_signals=False, stop_timeout=2.0, slow_callback_seconds=None)
    async with homing.start_node("test@localhost", options) as running:
        yield running
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
