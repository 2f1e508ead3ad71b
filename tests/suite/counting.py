"""What a run executes, counted: nothing passes by being deselected.

A run that has a name (see `runs`) is compared with its floors: `tests/floors.toml` says how many test functions each
area has to execute, and how many on each backend and loop. An area is a folder below tests/. A function counts if one
of its variants was executed, whatever came of it. A function that was skipped does not count, unless the reason is a
tool or a right that this machine really lacks.

A part of a run leaves its record in build/runs/; the last part adds it to its own.
"""

from __future__ import annotations

import json
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .excuses import is_excused
from .variants import backend_of, loop_of

FLOORS = Path("tests", "floors.toml")
RECORDS = Path("build", "runs")
TOP = "top"
"""The area of the files that lie in tests/ itself."""


class Record:
    """Functions executed, with the variants of each, and skipped; cases; seconds. Goes from part to part as JSON."""

    def __init__(self) -> None:
        self.executed: dict[str, set[str]] = {}
        self.skipped: dict[str, str] = {}
        self.cases = 0
        self.seconds = 0.0

    def add(self, report: pytest.TestReport) -> None:
        """Counts a report of a test."""
        function = report.nodeid.partition("[")[0]
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.skipped[function] = reason.removeprefix("Skipped: ")
        elif report.when == "call":
            self.cases += 1
            variants = [str(value) for name, value in report.user_properties if name == "variant"]
            self.executed.setdefault(function, set()).update(variants)

    def counts(self) -> dict[str, int]:
        """Functions executed by area, then by variant."""
        found: dict[str, int] = {}
        for function, variants in sorted(self.executed.items()):
            for name in (area_of(function), *sorted(f"on {variant}" for variant in variants)):
                found[name] = found.get(name, 0) + 1
        return dict(sorted(found.items(), key=lambda pair: (pair[0].startswith("on "), pair[0])))

    def allowances(self) -> dict[str, int]:
        """Functions by area that this machine has not what they need for."""
        found: dict[str, int] = {}
        for function, reason in self.not_executed():
            if is_excused(reason):
                found[area_of(function)] = found.get(area_of(function), 0) + 1
        return found

    def not_executed(self) -> list[tuple[str, str]]:
        """Functions of which each variant was skipped, and why."""
        return sorted((function, why) for function, why in self.skipped.items() if function not in self.executed)

    def dump(self) -> dict[str, Any]:
        executed = {function: sorted(variants) for function, variants in self.executed.items()}
        return {"executed": executed, "skipped": self.skipped, "cases": self.cases, "seconds": self.seconds}

    def load(self, stored: dict[str, Any]) -> None:
        """Adds what an earlier part has counted."""
        for function, variants in stored["executed"].items():
            self.executed.setdefault(function, set()).update(variants)
        self.skipped = {**stored["skipped"], **self.skipped}
        self.cases += stored["cases"]
        self.seconds += stored["seconds"]


def area_of(function: str) -> str:
    """The area of a test: the first folder below tests/."""
    parts = function.partition("::")[0].split("/")
    return parts[1] if len(parts) > 2 else TOP


def with_allowances(counts: dict[str, int], allowances: dict[str, int]) -> dict[str, int]:
    """What a machine would execute that lacks nothing."""
    names = sorted({*counts, *allowances}, key=lambda name: (name.startswith("on "), name))
    return {name: counts.get(name, 0) + allowances.get(name, 0) for name in names}


def shortfalls(floors: dict[str, int], counts: dict[str, int], allowances: dict[str, int]) -> Iterator[str]:
    """Where a run executed less than its floors."""
    lacking = sum(allowances.values())
    for name, floor in floors.items():
        # a variant's functions can be of any area
        allowed = lacking if name.startswith("on ") else allowances.get(name, 0)
        if counts.get(name, 0) + allowed < floor:
            yield f"{name}: {counts.get(name, 0)} functions executed, at least {floor} expected"
    for name in counts.keys() - floors.keys():
        yield f"{name}: has no floor"


def merged(floors: dict[str, dict[str, int]], run: str, found: dict[str, int]) -> str:
    """The text of the file of floors, once the floors of `run` are those found."""
    tables = {**floors, run: found}
    lines = ["# Test functions that each run executes, at least. `PYTEST_ADDOPTS=--set-floors make test` counts them."]
    for name, table in sorted(tables.items()):
        lines += ["", f"[{name}]", *(f"{json.dumps(area) if ' ' in area else area} = {n}" for area, n in table.items())]
    return "\n".join(lines) + "\n"


class Counting:
    """Counts where the reports of all workers arrive, and compares at the end of a run that has a name."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.run: str = config.getoption("run") or ""
        self.part: str = config.getoption("part")
        self.floors = config.rootpath / FLOORS
        self.stored = config.rootpath / RECORDS / f"{self.run}.json"
        self.record = Record()
        self.begun = time.monotonic()
        self.wrong: list[str] = []
        if self.part == "parallel":
            self.stored.unlink(missing_ok=True)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.record.add(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.record.seconds = time.monotonic() - self.begun
        if self.part == "parallel":
            self.stored.parent.mkdir(parents=True, exist_ok=True)
            self.stored.write_text(json.dumps(self.record.dump()))
            return
        if self.part == "serial" and self.stored.exists():
            self.record.load(json.loads(self.stored.read_text()))
        if self.is_compared():
            self.compare()
            if self.wrong:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
            elif session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:  # no test of this run is serial
                session.exitstatus = pytest.ExitCode.OK

    def is_compared(self) -> bool:
        """True at the end of a whole run with a name; floors are those of Linux, where all tests can run."""
        return bool(self.run) and not self.config.getoption("partial") and sys.platform == "linux"

    def compare(self) -> None:
        floors = tomllib.loads(self.floors.read_text()) if self.floors.exists() else {}
        counts, allowances = self.record.counts(), self.record.allowances()
        if self.config.getoption("set_floors"):
            self.floors.write_text(merged(floors, self.run, with_allowances(counts, allowances)))
        else:
            self.wrong = list(shortfalls(floors.get(self.run, {}), counts, allowances))

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        counts = self.record.counts()
        if self.part == "parallel":
            return
        terminalreporter.section(f"functions executed{f' in the {self.run} run' if self.run else ''}")
        areas = {name: count for name, count in counts.items() if not name.startswith("on ")}
        terminalreporter.write_line(", ".join(f"{name} {count}" for name, count in counts.items()))
        terminalreporter.write_line(
            f"{sum(areas.values())} functions in {self.record.cases} cases, {self.record.seconds:.0f} s"
        )
        for function, reason in self.record.not_executed():
            terminalreporter.write_line(f"not executed: {function}: {reason}", yellow=True)
        for line in self.wrong:
            terminalreporter.write_line(f"too few: {line}; see {FLOORS}", red=True)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Counting(config), "suite-counting")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Has the report of a test tell its variant, also from a worker."""
    for variant in (backend_of(item), loop_of(item)):
        if variant in ("native", "portable", "asyncio", "uvloop"):  # all the rest is on Homing's loop
            item.user_properties.append(("variant", variant))
