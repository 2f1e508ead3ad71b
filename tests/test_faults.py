"""The table of the faults: each case has a row and tests, or says why there is none; the tests that it names exist."""

from __future__ import annotations

import os
import re
import sys

import pytest

from .faults.figures import FAULTS, cases_of_tests
from .faults.networks import can_be_left
from .meta.servers import networks_can_be_made
from .test_specification import TESTS, names_in

NEED = "HOMING_NEED_NETWORKS"
"""Set where the tests in networks of their own are not to be skipped for want of a tool."""
ROWS = [line for line in FAULTS.read_text().splitlines() if re.match(r"\| \d+ \|", line)]


def test_every_case_has_a_row() -> None:
    assert [int(row.split("|")[1]) for row in ROWS] == list(range(1, len(ROWS) + 1))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_a_case_has_tests_or_a_reason_why_it_has_none(row: str) -> None:
    _, what, promise, how, held = row.strip("| ").split(" | ")
    assert min(len(what), len(promise)) > 5
    if held.startswith("none yet: "):
        assert (how, "`tests/" in held, len(held) > 20) == ("-", False, True)
    else:
        assert len(how) > 5
        assert re.fullmatch(r"(`[\w/]+\.py::\w+` ?)+", held)


def test_a_test_that_the_table_names_exists() -> None:
    for test in cases_of_tests():
        path, _, name = test.partition("::")
        assert name in names_in(TESTS / path), test


def test_a_test_of_a_case_stands_in_the_table() -> None:
    named = {test.partition("::")[2] for test in cases_of_tests()}
    for path in TESTS.rglob("test_*.py"):
        assert {name for name in names_in(path) if re.match(r"test_cases?_\d", name)} <= named, path


@pytest.mark.skipif(not os.environ.get(NEED), reason=f"{NEED} is not set: who develops may do without some tools")
@pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")
def test_where_the_kernel_lets_tests_have_networks_of_their_own_the_tools_are_there() -> None:
    if not can_be_left():
        pytest.skip("this user may not make network namespaces")
    assert networks_can_be_made(), "all tests in namespaces would be skipped: install iproute2 (ip and tc)"
