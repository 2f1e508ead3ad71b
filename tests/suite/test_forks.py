"""Forks run each test once, side by side, and whatever happens to them is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from .forks import blocks_of
from .inner import pytest_in

PLUGINS = ("suite.isolation", "suite.forks")


def run(folder: Path, text: str, *arguments: str) -> tuple[int, str]:
    """Runs a file of tests in two forks. Returns the exit code and the output."""
    (folder / "test_some.py").write_text(text)
    return pytest_in(folder, PLUGINS, "--forks=2", *arguments)


def test_each_test_runs_once_and_its_outcome_and_output_are_those_of_any_run(tmp_path: Path) -> None:
    text = """
import os, pathlib, pytest
@pytest.mark.parametrize("n", range(40))
def test_many(n):
    with open("ran", "a") as file:
        file.write(f"{n} {os.getpid()}\\n")
def test_wrong():
    print("what it has printed")
    assert False
def test_left_out():
    pytest.skip("for a reason")
"""
    code, output = run(tmp_path, text)
    assert code == 1
    assert "1 failed, 40 passed, 1 skipped" in output
    assert "what it has printed" in output
    ran = [line.split() for line in (tmp_path / "ran").read_text().splitlines()]
    assert sorted(int(number) for number, _ in ran) == list(range(40))
    assert len({pid for _, pid in ran}) <= 2


def test_a_fork_that_crashes_fails_its_test_and_the_others_run(tmp_path: Path) -> None:
    text = """
import os
def test_before(): pass
def test_crash(): os.kill(os.getpid(), 9)
def test_after(): pass
def test_last(): pass
"""
    code, output = run(tmp_path, text)
    assert code == 1
    assert "1 failed, 3 passed" in output
    assert "crashed in this test: -9" in output


def test_after_the_first_failure_no_further_block_is_begun(tmp_path: Path) -> None:
    text = """
import pytest, time
@pytest.mark.parametrize("n", range(400))
def test_wrong(n):
    time.sleep(0.01)
    assert False
"""
    code, output = run(tmp_path, text, "-x")
    assert code == 1
    assert "stopping after " in output
    assert int(output.rpartition(" failed")[0].rpartition(" ")[2]) < 40


def test_a_fixture_of_the_session_that_fails_to_end_fails_the_run(tmp_path: Path) -> None:
    text = """
import pytest
@pytest.fixture(scope="session", autouse=True)
def whole():
    yield
    raise LookupError("at the end")
def test_right(): pass
"""
    code, output = run(tmp_path, text)
    assert code == 1
    assert "LookupError: at the end" in output


def test_tests_that_share_a_fixture_of_their_module_stay_together(tmp_path: Path) -> None:
    text = """
import os, pathlib, pytest
@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with open("made", "a") as file:
        file.write("x")
    return tmp_path_factory.mktemp("shared")
@pytest.mark.parametrize("n", range(20))
def test_it(n, shared):
    assert shared.is_dir()
"""
    code, output = run(tmp_path, text)
    assert code == 0, output
    assert (tmp_path / "made").read_text() == "x"


def test_a_run_without_tests_says_so(tmp_path: Path) -> None:
    code, output = run(tmp_path, "")
    assert code == pytest.ExitCode.NO_TESTS_COLLECTED, output


def test_blocks_hold_neighbours_of_one_file(request: pytest.FixtureRequest) -> None:
    """All tests are in one of them."""
    items = request.session.items
    blocks = blocks_of(items, 4)
    assert [index for start, end in blocks for index in range(start, end)] == list(range(len(items)))
    assert all(len({item.path for item in items[start:end]}) == 1 for start, end in blocks)
