"""The table of UDP features: each of the 42 rows says how to use it and names tests that exist."""

from __future__ import annotations

import re

from .test_specification import TESTS, names_in

TEXT = (TESTS.parent / "docs" / "udp-features.md").read_text()
ROWS = [line for line in TEXT.splitlines() if re.match(r"\| \d+ \|", line)]
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", TEXT)))
DTLS = 36


def test_a_test_that_the_table_names_exists() -> None:
    assert NAMED
    assert [(path, name) for path, name in NAMED if name not in names_in(TESTS / path)] == []


def test_every_row_says_how_to_use_it_and_has_a_test() -> None:
    assert sorted(int(row.split("|")[1]) for row in ROWS) == list(range(1, 43))
    for row in ROWS:
        number, _, use, tests, _ = row.strip("| ").split(" | ")
        assert len(use) > 5, row
        assert (re.search(r"`[\w/]+\.py::test_\w+`", tests) is not None) == (int(number) != DTLS), row
        assert "@" not in tests, row
