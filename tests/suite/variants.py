"""Which tests run on both datagram backends, and on which event loops.

    pytestmark = [pytest.mark.backends, pytest.mark.loops]

`backends`: on the native and on the portable backend. `backends("native")`: on that one alone.
`loops`: an asynchronous test, on Homing's loop and on others.
`once`: in a module with these marks, a test that meets neither.

A test has `backends` if datagrams go through a backend in it, and `loops` if the loop has a part in what it shows: the
watching of a socket begins, rests or ends; there are timers, threads, or names to be resolved. Any other test runs on
Homing's loop, `homing.new_event_loop`.

A test with both marks runs three times, not six: native on Homing's loop, native on uvloop, portable on asyncio's loop
with its own selector. A backend never meets the loop. What does is the watch of a socket's descriptor, which is the
same for both; and the loops do not know what reads the socket. So a fault of a backend shows on either loop, and one in
how a loop watches with either backend. A test with `loops` alone runs on Homing's loop and on uvloop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

import homing

from .runs import run_of

try:
    import uvloop
except ImportError:  # Windows
    uvloop = None  # type: ignore[assignment]
else:
    uvloop.new_event_loop().close()  # the first one in a program opens a pipe for signals, which stays

Factory = Callable[[], asyncio.AbstractEventLoop]
FACTORIES: dict[str, Factory] = {"homing": homing.new_event_loop, "asyncio": asyncio.SelectorEventLoop}
if uvloop is not None:
    FACTORIES["uvloop"] = uvloop.new_event_loop


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
    if not marker_of(item, "loops"):
        return {"homing": homing.new_event_loop}
    return {name: factory for name, factory in FACTORIES.items() if name in run_of(config).loops}


def loop_of(item: pytest.Item) -> str:
    """The loop that a test was given; "" if none was: it is synchronous, or on Homing's."""
    given = list(item.callspec.params.values()) if hasattr(item, "callspec") else []
    return next((name for name, factory in FACTORIES.items() if any(one is factory for one in given)), "")


def backend_of(item: pytest.Item) -> str:
    """The backend that a test was given; "" if none was."""
    return str(item.callspec.params.get("backend", "")) if hasattr(item, "callspec") else ""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out three of the six, and what needs a backend that this run has not."""
    items[:] = [item for item in items if not _is_left_out(item, config)]


def _is_left_out(item: pytest.Item, config: pytest.Config) -> bool:
    backends = backends_of(item, config)
    if marker_of(item, "backends") is not None and not backends:
        return True
    loop = loop_of(item)
    if not loop or not marker_of(item, "loops"):
        return False
    # where no native backend is, the portable one meets the other loops
    return (loop == "asyncio") != (backend_of(item) == "portable" and "native" in backends)


@pytest.fixture(autouse=True)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The datagram backend that serves in this test: each in its turn, or "", the one that serves by itself."""
    chosen = str(getattr(request, "param", ""))
    if chosen:
        monkeypatch.setenv("HOMING_DATAGRAM", chosen)
    return chosen
