"""The runs of the suite: which code each of them tests, and on which backends and loops.

The Makefile names a run by `--run`. Without a name pytest does as a developer needs it: any tests, on whatever code is
there, on all backends and loops that it has.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from homing.datagram import why_portable

ROOT = Path(__file__).parents[2]
LOOPS = ("homing", "asyncio", "uvloop") if find_spec("uvloop") else ("homing", "asyncio")
"""Homing's own loop, asyncio's with its own selector, and uvloop."""


@dataclass(frozen=True)
class Run:
    """One run: the name of the code that it tests, its datagram backends, and its event loops."""

    code: str
    backends: tuple[str, ...] = ("native", "portable")
    loops: tuple[str, ...] = LOOPS


RUNS = {
    "compiled": Run("compiled"),
    # without the extensions there is no native backend, Homing's loop has asyncio's selector, and uvloop has met the
    # watching of sockets in the compiled run
    "interpreted": Run("interpreted", ("portable",), ("homing",)),
    # the portable backend has no memory of its own that could be spoilt, and uvloop none of ours
    "sanitized": Run("sanitized", ("native",), ("homing",)),
    "programs": Run("compiled"),
    "slow": Run("compiled"),
}
PARTS = ("whole", "parallel", "serial")
"""A run may have two parts: one on all processors, and then the tests marked `serial`, which nothing may disturb."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("suite")
    group.addoption("--run", choices=list(RUNS), help="the run that this is: see tests/suite/runs.py")
    group.addoption(
        "--part", choices=PARTS, default="whole", help="all of its tests, those marked serial, or the others"
    )
    group.addoption("--partial", action="store_true", help="do not compare what the run executes with its floors")
    group.addoption("--set-floors", action="store_true", help="write what the run executes as its floors")


def run_of(config: pytest.Config) -> Run:
    """Returns the run that this is; without a name, one on everything that is there."""
    name = config.getoption("run")
    if name is not None:
        return RUNS[name]
    return Run("", ("portable",) if _lacks_native() else ("native", "portable"))


def _lacks_native() -> bool:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HOMING_DATAGRAM", raising=False)
        return bool(why_portable())


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The serial part imports only files with tests of its own."""
    if config.getoption("part") != "serial" or not collection_path.name.startswith("test_"):
        return None
    return "mark.serial" not in collection_path.read_text() or None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keeps the tests of this part."""
    part = config.getoption("part")
    if part == "whole":
        return
    serial = [item for item in items if item.get_closest_marker("serial")]
    others = [item for item in items if not item.get_closest_marker("serial")]
    kept, left = (serial, others) if part == "serial" else (others, serial)
    config.hook.pytest_deselected(items=left)
    items[:] = kept
