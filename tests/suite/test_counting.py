"""A run that executes less than its floors fails, and says where; whatever it is that was left out, and why."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from . import counting
from .counting import Record, area_of, merged, shortfalls, with_allowances
from .inner import pytest_in
from .runs import ROOT, RUNS

TESTS = {
    "one/test_one.py": "def test_a(): pass\ndef test_b(): pass",
    "two/deeper/test_two.py": "import pytest\ndef test_c(): pass\n@pytest.mark.serial\ndef test_d(): pass",
    "test_top.py": "import pytest\n@pytest.mark.parametrize('n', [1, 2])\ndef test_e(n): pass",
}
FLOORS = "[compiled]\none = 2\ntwo = 2\ntop = 1\n"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A suite of five functions, with its floors."""
    for name, text in TESTS.items():
        file = tmp_path / "tests" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / counting.FLOORS).write_text(FLOORS)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\nmarkers = serial\n")
    return tmp_path


def run(suite: Path, *arguments: str) -> tuple[int, str]:
    """Runs the small suite. Returns the exit code and the output."""
    return pytest_in(
        suite, ("suite.isolation", "suite.forks", "suite.runs", "suite.variants", "suite.counting"), "tests", *arguments
    )


def test_a_run_that_executes_its_floors_passes_and_prints_functions_by_area(small: Path) -> None:
    code, output = run(small, "--run=compiled")
    assert code == 0, output
    assert "one 2, top 1, two 2\n5 functions in 6 cases" in output


@pytest.mark.parametrize("others", ["-n2", "--forks=2"])
def test_the_parts_of_a_run_are_added_also_with_workers_that_run_side_by_side(small: Path, others: str) -> None:
    code, output = run(small, "--run=compiled", "--part=parallel", others)
    assert code == 0, output
    assert "5 passed" in output
    code, output = run(small, "--run=compiled", "--part=serial")
    assert code == 0, output
    assert "one 2, top 1, two 2\n5 functions in 6 cases" in output
    assert "1 passed" in output


def test_a_part_alone_is_less_than_the_floors(small: Path) -> None:
    code, output = run(small, "--run=compiled", "--part=serial")
    assert code == 1, output
    assert "too few: one: 0 functions executed, at least 2 expected" in output


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["-k", "not test_one"], "too few: one: 0 functions executed, at least 2 expected"),
        (["--ignore", "tests/two"], "too few: two: 0 functions executed, at least 2 expected"),
    ],
)
def test_a_run_with_fewer_tests_fails(small: Path, arguments: list[str], text: str) -> None:
    code, output = run(small, "--run=compiled", *arguments)
    assert code == 1, output
    assert text in output


def test_who_develops_may_run_any_tests(small: Path) -> None:
    for arguments in (["-k", "test_one"], ["--run=compiled", "--partial", "-k", "test_one"]):
        code, output = run(small, *arguments)
        assert code == 0, output
        assert "2 passed" in output


def test_a_run_can_write_its_floors_and_leaves_those_of_others(small: Path) -> None:
    (small / counting.FLOORS).write_text("[slow]\none = 7\n")
    assert run(small, "--run=compiled", "--set-floors")[0] == 0
    text = (small / counting.FLOORS).read_text()
    assert text.endswith("\n[compiled]\none = 2\ntop = 1\ntwo = 2\n\n[slow]\none = 7\n")
    assert run(small, "--run=compiled")[0] == 0


# --- what counts --------------------------------------------------------------------------------------------


def report(function: str, when: str = "call", reason: str = "", **more: object) -> pytest.TestReport:
    """The report of a test that passed, or was skipped for a reason."""
    outcome = "skipped" if reason else "passed"
    where = ("file", 1, f"Skipped: {reason}") if reason else None
    made = pytest.TestReport(f"tests/{function}", ("file", 1, "name"), {}, outcome, where, when)  # type: ignore[arg-type]
    made.__dict__.update(more)
    return made


def recorded(*reports: pytest.TestReport) -> Record:
    record = Record()
    for one in reports:
        record.add(one)
    return record


def test_a_function_counts_once_and_in_each_of_its_variants() -> None:
    record = recorded(
        report("a/test_x.py::test_1[native]", user_properties=[("variant", "native")]),
        report("a/b/test_y.py::test_2[native-1]", user_properties=[("variant", "native")]),
        report("a/b/test_y.py::test_2[portable-1]", user_properties=[("variant", "portable")]),
        report("test_z.py::test_3"),
        report("test_z.py::test_3", when="teardown"),
    )
    assert record.counts() == {"a": 2, "top": 1, "on native": 2, "on portable": 1}
    assert record.cases == 4


def test_a_skipped_function_does_not_count_but_one_does_of_which_another_variant_was_executed() -> None:
    record = recorded(
        report("a/test_x.py::test_1", reason="no time"),
        report("a/test_x.py::test_2[1]", reason="no time"),
        report("a/test_x.py::test_2[2]"),
    )
    assert (record.counts(), record.allowances()) == ({"a": 1}, {})


def test_a_tool_that_is_missing_excuses_a_function_and_one_that_is_there_does_not() -> None:
    record = recorded(
        report("a/test_x.py::test_1", "setup", reason="surely-no-such-tool is not installed"),
        report("a/test_x.py::test_2", "setup", reason="sh is not installed"),
    )
    assert (record.counts(), record.allowances()) == ({}, {"a": 1})


def test_a_test_that_is_expected_to_fail_was_executed() -> None:
    assert recorded(report("a/test_x.py::test_1", reason="a fault", wasxfail="a fault")).counts() == {"a": 1}


def test_what_a_part_has_counted_comes_through_its_file() -> None:
    first = recorded(
        report("a/test_x.py::test_1", user_properties=[("variant", "native")]),
        report("a/test_x.py::test_2", "setup", reason="surely-no-such-tool is not installed"),
    )
    record = recorded(report("a/test_x.py::test_1", user_properties=[("variant", "portable")]))
    record.load(json.loads(json.dumps(first.dump())))
    assert record.counts() == {"a": 1, "on native": 1, "on portable": 1}
    assert (record.allowances(), record.cases) == ({"a": 1}, 2)


@pytest.mark.parametrize(
    ("floors", "counts", "allowances", "wrong"),
    [
        ({"a": 2}, {"a": 2}, {}, []),
        ({"a": 2}, {"a": 3}, {}, []),
        ({"a": 2}, {"a": 1}, {"a": 1}, []),
        ({"a": 2}, {"a": 1}, {"b": 1}, ["a: 1 functions executed, at least 2 expected"]),
        ({"a": 2}, {}, {}, ["a: 0 functions executed, at least 2 expected"]),
        ({"on native": 2}, {"on native": 1}, {"a": 1}, []),
        ({"on native": 2}, {"on native": 1}, {}, ["on native: 1 functions executed, at least 2 expected"]),
        ({}, {"a": 1}, {}, ["a: has no floor"]),
    ],
)
def test_less_than_a_floor_is_found(
    floors: dict[str, int], counts: dict[str, int], allowances: dict[str, int], wrong: list[str]
) -> None:
    assert list(shortfalls(floors, counts, allowances)) == wrong


def test_every_run_has_floors() -> None:
    floors = tomllib.loads((ROOT / counting.FLOORS).read_text())
    assert floors.keys() == RUNS.keys()
    assert all(min(table.values()) > 0 for table in floors.values())


def test_floors_are_those_of_a_machine_that_lacks_nothing() -> None:
    assert with_allowances({"a": 1, "on native": 1}, {"a": 1, "b": 2}) == {"a": 2, "b": 2, "on native": 1}
    assert merged({"z": {"a": 1}}, "b", {"on native": 3}).endswith('\n[b]\n"on native" = 3\n\n[z]\na = 1\n')


@pytest.mark.parametrize(
    ("function", "area"),
    [
        ("tests/node/test_x.py::test_1", "node"),
        ("tests/node/mailbox/test_x.py::test_1", "node"),
        ("tests/test_x.py::test_1", "top"),
        ("tests/test_x.py::test_1/2", "top"),
    ],
)
def test_an_area_is_a_folder_below_tests(function: str, area: str) -> None:
    assert area_of(function) == area
