"""A test that fails gets one more try with `--second-try`, is listed then, and fails if it fails twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from .inner import pytest_in

PLUGINS = ("suite.isolation", "suite.forks", "suite.second_try")

ONCE = """
import pathlib, pytest

@pytest.fixture
def place(tmp_path_factory):
    return pathlib.Path(__file__).with_suffix(".seen")

def test_wrong_at_first(place):
    seen = place.exists()
    place.touch()
    assert seen, "not seen before"

def test_right():
    pass
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "test_once.py").write_text(ONCE)
    return tmp_path


@pytest.mark.parametrize("workers", [(), ("-n", "1"), ("--forks", "1")], ids=["one program", "a worker", "a fork"])
def test_a_test_that_fails_once_passes_and_its_failure_is_listed(folder: Path, workers: tuple[str, ...]) -> None:
    code, output = pytest_in(folder, PLUGINS, "--second-try", *workers)
    assert code == 0, output
    assert "2 passed, 1 again" in output
    assert "failed, and got a second try" in output
    assert "not seen before" in output


def test_without_the_option_it_fails(folder: Path) -> None:
    code, output = pytest_in(folder, PLUGINS)
    assert code == 1
    assert "1 failed, 1 passed" in output


def test_a_test_that_fails_twice_fails(tmp_path: Path) -> None:
    (tmp_path / "test_wrong.py").write_text("def test_wrong():\n    assert False\n")
    code, output = pytest_in(tmp_path, PLUGINS, "--second-try")
    assert code == 1
    assert "1 failed, 1 again" in output


def test_few_tests_get_a_second_try(tmp_path: Path) -> None:
    (tmp_path / "test_wrong.py").write_text("".join(f"def test_{n}():\n    assert False\n" for n in range(5)))
    code, output = pytest_in(tmp_path, PLUGINS, "--second-try")
    assert code == 1
    assert "5 failed, 3 again" in output
