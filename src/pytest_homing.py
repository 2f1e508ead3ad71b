"""The pytest plugin: fixtures for tests of programs that use Homing. pytest loads it where Homing is installed.

virtual_loop   an event loop on which waiting takes no time
fake_network   a fake network, in which all UDP sockets of the test are bound
homing_node    a running node, which is stopped after the test

A module of its own, outside of the package: pytest imports it at its start, and it must not import Homing, which a tool
that measures coverage would then miss. It imports Homing when a fixture is used.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import zlib
from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import homing
    from homing.testing import FakeNetwork, VirtualLoop

_MARK = "homing_crashes"


def pytest_configure(config: pytest.Config) -> None:
    """Adds the mark, and the fixture for tests that are coroutines, if pytest-asyncio runs these."""
    config.addinivalue_line("markers", f"{_MARK}: processes of homing_node may crash, and the test does not fail")
    if _has_asyncio(config):
        import pytest_asyncio

        holder = ModuleType("pytest_homing_asyncio")  # pytest looks for fixtures in modules
        holder.__dict__["node"] = pytest_asyncio.fixture(_node_of_coroutine, name="_homing_node")
        config.pluginmanager.register(holder, "homing-asyncio")


def _has_asyncio(config: pytest.Config) -> bool:
    """Returns True if pytest-asyncio runs tests that are coroutines."""
    plugin = sys.modules.get("pytest_asyncio.plugin")
    return plugin is not None and config.pluginmanager.is_registered(plugin)


@pytest.fixture
def virtual_loop() -> Iterator[VirtualLoop]:
    """A `homing.testing.VirtualLoop`: `virtual_loop.run_until_complete(main())`. After the test its tasks are cancelled
    and it is closed."""
    from homing.testing import VirtualLoop

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)  # noqa: S101 - for type checkers
        yield loop


@pytest.fixture
def fake_network(request: pytest.FixtureRequest) -> Iterator[FakeNetwork]:
    """A `homing.testing.FakeNetwork` without faults (`fake_network.change(loss=0.1)`), entered for the test. Its seed
    follows from the name of the test, so that each run is the same; the report of a failure shows it."""
    from homing.testing import FakeNetwork

    with FakeNetwork(seed=zlib.crc32(request.node.nodeid.encode())) as network:
        request.node.add_report_section("setup", "homing", repr(network))
        yield network


@pytest.fixture
def homing_node(request: pytest.FixtureRequest) -> Iterator[homing.Node]:
    """A node, `test@localhost`, which is stopped after the test. A process that has crashed fails the test, unless it
    has the mark `homing_crashes`.

    In an `async def` test, which needs pytest-asyncio, it runs on the loop of the test. In any other test it runs on
    `virtual_loop`, and the test awaits by that: `virtual_loop.run_until_complete(homing_node.spawn(Echo))`.
    """
    if inspect.iscoroutinefunction(request.function):
        if not _has_asyncio(request.config):
            pytest.fail("homing_node in an `async def` test needs pytest-asyncio; a plain test can use virtual_loop")
        node: homing.Node = request.getfixturevalue("_homing_node")
        yield node
        return
    loop: VirtualLoop = request.getfixturevalue("virtual_loop")
    nodes = _running_node(request)
    yield loop.run_until_complete(anext(nodes))
    loop.run_until_complete(_finish(nodes))


async def _node_of_coroutine(request: pytest.FixtureRequest) -> AsyncIterator[homing.Node]:
    async for node in _running_node(request):
        yield node


async def _running_node(request: pytest.FixtureRequest) -> AsyncIterator[homing.Node]:
    """Yields a node, and then stops it. Fails the test if a process has crashed."""
    from homing import gen, start_node

    async with start_node("test@localhost", gen.NodeOptions(handle_signals=False)) as node:
        yield node
    crashes = node.info().crashes
    if crashes and request.node.get_closest_marker(_MARK) is None:
        told = "a process has" if crashes == 1 else f"{crashes} processes have"
        pytest.fail(f"{told} crashed, see the log; if the test is about that: @pytest.mark.{_MARK}", pytrace=False)


async def _finish(nodes: AsyncIterator[homing.Node]) -> None:
    async for _ in nodes:
        pass
