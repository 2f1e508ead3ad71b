"""The table of UDP features: each of the rows says how to use it and names tests that exist."""

from __future__ import annotations

import re

from .test_specification import TESTS, names_in

TEXT = (TESTS.parent / "docs" / "udp-features.md").read_text()
ROWS = [line for line in TEXT.splitlines() if re.match(r"\| \d+ \|", line)]
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", TEXT)))


def test_a_test_that_the_table_names_exists() -> None:
    assert NAMED
    assert [(path, name) for path, name in NAMED if name not in names_in(TESTS / path)] == []


def test_every_row_says_how_to_use_it_and_has_a_test() -> None:
    assert sorted(int(row.split("|")[1]) for row in ROWS) == list(range(1, len(ROWS) + 1))
    for row in ROWS:
        _, _, use, tests, _ = row.strip("| ").split(" | ")
        assert len(use) > 5, row
        assert re.search(r"`[\w/]+\.py::test_\w+`", tests), row
        assert "@" not in tests, row


def rows_of(name: str) -> dict[str, list[str]]:
    """A page's rows that begin with the number of a feature, by that number: a name, and a cell for each system."""
    lines = [line.strip("| ").split("|") for line in (TESTS.parent / name).read_text().splitlines()]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines if cells[0].strip().isdecimal()}


def test_the_comparison_has_every_row_under_the_same_name() -> None:
    names = {cells[0]: cells[1] for cells in (row.strip("| ").split(" | ") for row in ROWS)}
    assert {number: cells[0] for number, cells in rows_of("docs/comparison.md").items()} == names


def test_the_readme_compares_as_the_comparison_does() -> None:
    readme, whole = rows_of("README.md"), rows_of("docs/comparison.md")
    assert len(readme) > 10
    assert {number: cells[1:] for number, cells in readme.items()} == {number: whole[number][1:] for number in readme}
