"""What the tests of the faults report: a figure for each case, shown as a table after the run.

    figure(5, "replies that arrived", "31 of 32")

The table stands at the end of pytest's output, with the cases whose tests were skipped and why; the same is in
`build/faults.json`. docs/faults.md tells which test holds which case.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FAULTS = ROOT / "docs" / "faults.md"
RESULT = Path("build", "faults.json")

_fresh: list[tuple[int, str, str]] = []
"""What the test that runs now has reported."""
_figures: dict[tuple[int, str, str], str] = {}
"""All figures, where the reports of all workers arrive: case, promise and test, with what was found."""


def figure(case: int, promise: str, value: object) -> None:
    """Reports what the test that runs now has found of a case. Of what it reports twice, the last is kept."""
    _fresh.append((case, promise, str(value)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Figures travel in the report of their test, which also comes from other programs than this one."""
    item.user_properties.extend(("figure", list(found)) for found in _fresh)
    _fresh.clear()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "teardown":
        for name, found in report.user_properties:
            if name == "figure":
                case, promise, value = found  # type: ignore[misc]
                _figures[case, promise, report.nodeid] = value


def cases_of_tests() -> dict[str, int]:
    """The case of each test that docs/faults.md names, by "file::test"; the first, if it holds several."""
    rows = [line for line in FAULTS.read_text().splitlines() if re.match(r"\| \d+ \|", line)]
    found: dict[str, int] = {}
    for row in rows:
        for test in re.findall(r"`([\w/]+\.py::\w+)`", row):
            found.setdefault(test, int(row.split("|")[1]))
    return found


def variant(test: str) -> str:
    """What a test was parametrized with: "native-asyncio"."""
    return test.partition("[")[2].rstrip("]")


def table() -> Iterator[tuple[str, str, str]]:
    """The rows of all figures; variants of one test that found the same share a row."""
    for case, promise in sorted({key[:2] for key in _figures}):
        found = {test: value for (*key, test), value in _figures.items() if key == [case, promise]}
        for value in dict.fromkeys(found.values()):
            variants = sorted({variant(test) for test in found if found[test] == value} - {""})
            several = variants and len(set(found.values())) > 1
            yield str(case), promise, f"{value} ({', '.join(variants)})" if several else value


def reason(report: pytest.TestReport) -> str:
    """Why a test was skipped, or is expected to fail."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else getattr(report, "wasxfail", "")
    return text.removeprefix("Skipped: ")


def unshown(reporter: Any) -> Iterator[tuple[int, str, str]]:
    """The tests of cases that show nothing in this run, in no variant: case, test and the reason."""
    cases = cases_of_tests()
    passed = {plain(report) for report in reporter.stats.get("passed", [])}
    seen: set[tuple[int, str, str]] = set()
    for outcome in ("skipped", "xfailed"):
        for report in reporter.stats.get(outcome, []):
            test = plain(report)
            if test in cases and test not in passed:
                seen.add((cases[test], test, f"{outcome}: {reason(report)}"))
    yield from sorted(seen)


def plain(report: pytest.TestReport) -> str:
    """The name of a test as docs/faults.md has it, without its variant."""
    return report.nodeid.removeprefix("tests/").partition("[")[0]


def write(result: Path, missing: list[tuple[int, str, str]]) -> None:
    result.parent.mkdir(exist_ok=True)
    figures = [
        {"case": case, "promise": promise, "test": test, "figure": value}
        for (case, promise, test), value in sorted(_figures.items())
    ]
    absent = [{"case": case, "test": test, "reason": why} for case, test, why in missing]
    result.write_text(json.dumps({"figures": figures, "not shown": absent}, indent=1) + "\n")


def add_those_of_the_first_part(result: Path) -> Iterator[tuple[int, str, str]]:
    """Adds the figures that the parallel part of this run has found. Returns the tests that showed nothing in it."""
    if result.exists():
        stored = json.loads(result.read_text())
        for found in stored["figures"]:
            _figures.setdefault((found["case"], found["promise"], found["test"]), found["figure"])
        for absent in stored["not shown"]:
            yield absent["case"], absent["test"], absent["reason"]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    missing, result = set(unshown(terminalreporter)), config.rootpath / RESULT
    if config.getoption("part") == "serial":
        missing.update(add_those_of_the_first_part(result))
    first = config.getoption("part") == "parallel"
    if first or _figures or missing:
        write(result, sorted(missing))
    if first or not (_figures or missing):
        return
    terminalreporter.section("faults: what the cases show")
    for case, promise, value in table():
        terminalreporter.write_line(f"{case:>3}  {promise}: {value}")
    for case, test, why in sorted(missing):
        terminalreporter.write_line(f"{case:>3}  {test} {why}", yellow=True)
