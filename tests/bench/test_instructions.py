"""Instructions are counted, and compared with ceilings. How many they are is no test's business."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench.instructions import __main__ as command
from bench.instructions import ceilings, counting
from bench.instructions.catalog import PROGRAMS

from bench import native

COUNTED = ("lone-echo", "receive-joined", "client-call", "send")
"""One program for each way to make its load; `make instructions` counts all of them."""

WAITING = """
import select, sys, time
with select.epoll() as epoll:
    before = time.monotonic_ns()
    epoll.poll(float(sys.argv[1]))
    print(-(-(time.monotonic_ns() - before) // 1000))
"""
"""Prints how many microseconds a wait for events takes by the clock of counted programs."""


@pytest.fixture
def valgrind() -> None:
    if reason := counting.unable():
        pytest.skip(reason)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, float]:
    """The counts that the command finds, which a test may change; the ceilings are 1,000 for each program."""
    found = dict.fromkeys(PROGRAMS, 1000.0)
    monkeypatch.setattr(counting, "unable", lambda: "")
    monkeypatch.setattr(counting, "left_out", lambda program: "")
    monkeypatch.setattr(
        counting, "count", lambda name, folder=None, shift=0: found[name] - shift * found.get("less by shift", 0.0)
    )
    monkeypatch.setattr(ceilings, "FILE", tmp_path / "ceilings.toml")
    ceilings.save(found)
    return found


@pytest.mark.usefixtures("valgrind")
@pytest.mark.parametrize("name", COUNTED)
def test_programs_are_counted(name: str, tmp_path: Path) -> None:
    assert counting.count(name, PROGRAMS[name].step, str(tmp_path)) > 0
    assert (tmp_path / f"{name}.2").exists()


@pytest.mark.usefixtures("valgrind")
@pytest.mark.parametrize(("seconds", "microseconds"), [(0, 0), (0.001, 50)])
def test_time_passes_by_looks_at_the_clock_and_while_a_program_waits_for_events(
    seconds: float, microseconds: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WAITING, str(seconds)],
        env={**os.environ, "LD_PRELOAD": native.library("mark") or ""},
        stdout=subprocess.PIPE,
        check=True,
    )
    assert microseconds < int(done.stdout) < microseconds + 10


def test_a_count_of_its_ceiling_passes(counts: dict[str, float]) -> None:
    assert command.main([]) == 0


def test_a_count_over_its_ceiling_fails_with_a_line(
    counts: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    counts["send"] = 1031
    assert command.main([]) == 1
    assert "send is over its ceiling: 1,000 instructions before, 1,031 now (+3.1%)" in capsys.readouterr().out


def test_a_count_over_its_ceiling_in_one_layout_of_memory_only_passes(counts: dict[str, float]) -> None:
    counts.update({"send": 1031, "less by shift": 1})
    assert command.main(["--only", "send"]) == 0


def test_a_count_slightly_over_its_ceiling_passes(counts: dict[str, float]) -> None:
    counts["send"] = 1029
    assert command.main([]) == 0


def test_a_count_far_below_its_ceiling_asks_for_a_lower_one(
    counts: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    counts["call"] = 940
    assert command.main([]) == 0
    assert "call is far below its ceiling" in capsys.readouterr().out


def test_ceilings_are_set_for_the_chosen_programs_alone(counts: dict[str, float]) -> None:
    counts.update(send=2000.4, call=3000)
    assert command.main(["--set-ceilings", "--only", "send"]) == 0
    assert (ceilings.load()["send"], ceilings.load()["call"]) == (2000, 1000)


def test_a_count_for_comparison_has_no_ceiling(counts: dict[str, float]) -> None:
    assert set(ceilings.load()) == {name for name, program in PROGRAMS.items() if program.judged}


@pytest.mark.parametrize("changed", ["section", "built"])
def test_counts_of_another_interpreter_are_not_judged(
    counts: dict[str, float], changed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ceilings, changed, lambda: "another")
    counts["send"] = 1e6
    assert command.main([]) == 0
    assert "not judged" in capsys.readouterr().out


def test_a_program_that_fails_is_told_and_fails_the_check(
    counts: dict[str, float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(name: str, folder: str | None = None) -> float:
        raise subprocess.TimeoutExpired("valgrind", 120)

    monkeypatch.setattr(counting, "count", fail)
    assert command.main(["--only", "send"]) == 1
    assert "send FAILED" in capsys.readouterr().out


def test_without_valgrind_it_says_so_with_a_status_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(counting.shutil, "which", lambda program: None)
    assert command.main([]) == command.UNABLE == 3
    assert "valgrind is not installed" in capsys.readouterr().out


def test_the_committed_ceilings_name_programs_that_there_are() -> None:
    judged = {name for name, program in PROGRAMS.items() if program.judged}
    for section in ceilings.sections().values():
        assert set(section) - {"built"} == judged


def test_a_program_that_does_not_exist_is_refused() -> None:
    done = subprocess.run([sys.executable, "-m", "bench.instructions", "--only", "nothing"], check=False)
    assert done.returncode == 2


def test_with_judged_only_programs_with_a_ceiling_are_counted(
    counts: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--judged"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [name for name, program in PROGRAMS.items() if program.judged]
