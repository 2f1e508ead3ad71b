"""The figures of the faults reach the table whichever program has found them, and in whichever part of a run."""

from __future__ import annotations

import json
from pathlib import Path

from .inner import pytest_in

TESTS = """
import pytest
from tests.faults.figures import figure

@pytest.mark.parametrize("n", [1, 2])
def test_many(n):
    figure(5, "replies that arrived", f"{n} of 2")

@pytest.mark.serial
def test_alone():
    figure(7, "datagrams that were lost", 0)
"""


def test_the_figures_of_all_workers_and_of_both_parts_stand_in_one_table(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\nmarkers = serial\n")
    (tmp_path / "test_figures.py").write_text(TESTS)
    plugins = ("suite.isolation", "suite.forks", "suite.runs", "faults.figures")
    code, output = pytest_in(tmp_path, plugins, "--run=compiled", "--part=parallel", "--forks=2")
    assert (code, "what the cases show" in output) == (0, False), output
    code, output = pytest_in(tmp_path, plugins, "--run=compiled", "--part=serial")
    assert code == 0, output
    for line in (
        "5  replies that arrived: 1 of 2 (1)",
        "5  replies that arrived: 2 of 2 (2)",
        "7  datagrams that were lost: 0",
    ):
        assert f"  {line}\n" in output
    written = json.loads((tmp_path / "build" / "faults.json").read_text())
    assert [(one["case"], one["figure"]) for one in written["figures"]] == [(5, "1 of 2"), (5, "2 of 2"), (7, "0")]


def test_without_parts_a_run_has_no_figures_of_another(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\nmarkers = serial\n")
    (tmp_path / "test_figures.py").write_text(TESTS)
    for chosen, lines in (("many", 2), ("alone", 1)):
        code, output = pytest_in(tmp_path, ("suite.runs", "faults.figures"), "-k", chosen)
        assert code == 0, output
        written = json.loads((tmp_path / "build" / "faults.json").read_text())
        assert len(written["figures"]) == lines
