"""The marks of backends and loops: which variants of a test there are, in each run."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from homing.datagram import why_portable

from .inner import pytest_in
from .runs import RUNS, Run, run_of
from .variants import backend_of, loop_of

needs_native = pytest.mark.skipif(bool(why_portable()), reason="needs the extensions, which are not built here")
TEST = """
import pytest
pytestmark = [pytest.mark.backends, pytest.mark.loops]
async def test_both(): pass
def test_no_loop(): pass
@pytest.mark.once
async def test_once(): pass
@pytest.mark.backends("native")
async def test_native(): pass
@pytest.mark.backends("portable")
def test_portable(): pass
"""


@needs_native
@pytest.mark.parametrize(
    ("run", "both", "no_loop", "native", "portable"),
    [
        (
            "compiled",
            ["native-homing", "portable-asyncio", "native-uvloop"],
            ["native", "portable"],
            ["native-homing", "native-uvloop"],
            ["portable"],
        ),
        ("interpreted", ["portable"], ["portable"], [], ["portable"]),
        ("sanitized", ["native"], ["native"], ["native"], []),
    ],
)
def test_a_test_runs_where_its_marks_say_and_this_run_can(
    run: str, both: list[str], no_loop: list[str], native: list[str], portable: list[str], tmp_path: Path
) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\nasyncio_mode = auto\n")
    (tmp_path / "test_marks.py").write_text(TEST)
    _, output = pytest_in(tmp_path, ("suite.runs", "suite.variants"), f"--run={run}", "--collect-only", "-q")
    wanted = {"both": both, "no_loop": no_loop, "once": [""], "native": native, "portable": portable}
    found: dict[str, list[set[str]]] = {name: [] for name in wanted}
    for name, variant in re.findall(r"::test_(\w+)(?:\[(.+)\])?$", output, re.MULTILINE):
        found[name].append(set(variant.split("-")))  # in an order that depends on that of the plugins
    assert found == {name: [set(variant.split("-")) for variant in variants] for name, variants in wanted.items()}


@needs_native
@pytest.mark.backends
@pytest.mark.loops
async def test_a_test_has_the_backend_and_the_loop_that_it_was_given(
    request: pytest.FixtureRequest, backend: str
) -> None:
    assert backend == backend_of(request.node)
    assert bool(why_portable()) == (backend == "portable")
    assert type(asyncio.get_running_loop()).__module__.split(".")[0] == loop_of(request.node)


def test_without_a_name_a_run_is_on_all_that_is_there(pytestconfig: pytest.Config) -> None:
    if pytestconfig.getoption("run"):
        assert run_of(pytestconfig) is RUNS[pytestconfig.getoption("run")]
    else:
        assert run_of(pytestconfig).backends in (Run("").backends, ("portable",))
