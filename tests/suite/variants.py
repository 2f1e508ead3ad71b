"""Which tests run on both datagram backends, and on which event loops.

    pytestmark = [pytest.mark.backends, pytest.mark.loops]

`backends`: on the native and on the portable backend. `backends("native")`: on that one alone.
`loops`: an asynchronous test, on asyncio's loop and on uvloop.
`once`: in a module with these marks, a test that meets neither.

A test has `backends` if datagrams go through a backend in it, and `loops` if the loop has a part in what it shows: the
watching of a socket begins, rests or ends; there are timers, threads, or names to be resolved.

A test with both marks runs three times, not four: native on asyncio, portable on asyncio, native on uvloop. A backend
never meets the loop. What does is the watch of a socket's descriptor, which is the same for both; and the loops do not
know what reads the socket. So a fault of a backend shows on either loop, and one in how a loop watches with either
backend.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

from .runs import run_of

try:
    import uvloop
except ImportError:  # Windows
    uvloop = None  # type: ignore[assignment]
else:
    uvloop.new_event_loop().close()  # the first one in a program opens a pipe for signals, which stays

Factory = Callable[[], asyncio.AbstractEventLoop]


def marker_of(definition: pytest.Item, name: str) -> pytest.Mark | None:
    """The marker of that name, unless the test runs once."""
    return None if definition.get_closest_marker("once") else definition.get_closest_marker(name)


def backends_of(definition: pytest.Item, config: pytest.Config) -> list[str]:
    """The backends on which a test runs in this run; none: the one that serves by itself."""
    marker = marker_of(definition, "backends")
    if marker is None:
        return []
    return [name for name in run_of(config).backends if name in (marker.args or ("native", "portable"))]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if names := backends_of(metafunc.definition, metafunc.config):
        metafunc.parametrize("backend", names, indirect=True)


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Factory]:
    factories: dict[str, Factory] = {"asyncio": asyncio.new_event_loop}
    if uvloop is not None and marker_of(item, "loops") and "uvloop" in run_of(config).loops:
        factories["uvloop"] = uvloop.new_event_loop
    return factories


def loop_of(item: pytest.Item) -> str:
    """The loop on which a test runs, if it is asynchronous."""
    given = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return "uvloop" if uvloop is not None and any(one is uvloop.new_event_loop for one in given) else "asyncio"


def backend_of(item: pytest.Item) -> str:
    """The backend that a test was given; "" if none was."""
    return str(item.callspec.params.get("backend", "")) if hasattr(item, "callspec") else ""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the fourth of the two by two, and what needs a backend that this run has not."""
    items[:] = [item for item in items if not _is_left_out(item, config)]


def _is_left_out(item: pytest.Item, config: pytest.Config) -> bool:
    if marker_of(item, "backends") is None:
        return False
    if not backends_of(item, config):
        return True
    # where no native backend is, the portable one meets both loops
    fourth = backend_of(item) == "portable" and loop_of(item) == "uvloop"
    return fourth and "native" in backends_of(item, config)


@pytest.fixture(autouse=True)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The datagram backend that serves in this test: each in its turn, or "", the one that serves by itself."""
    chosen = str(getattr(request, "param", ""))
    if chosen:
        monkeypatch.setenv("HOMING_DATAGRAM", chosen)
    return chosen
