"""The table of the specification: each sentence has tests, and the tests that it names exist."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

TESTS = Path(__file__).parent
TEXT = (TESTS.parent / "docs" / "specification.md").read_text()
ROWS = [line for line in TEXT.splitlines() if re.match(r"\| \d+ \|", line)]
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", TEXT)))


@functools.cache
def names_in(path: Path) -> set[str]:
    """The tests that a file defines."""
    found = set()
    for statement in ast.parse(path.read_text()).body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(statement.name)
        elif isinstance(statement, ast.Assign):
            found |= {target.id for target in statement.targets if isinstance(target, ast.Name)}
    return {name for name in found if name.lower().startswith("test")}


def test_a_test_that_the_specification_names_exists() -> None:
    assert NAMED
    assert [(path, name) for path, name in NAMED if name not in names_in(TESTS / path)] == []


def test_every_sentence_of_the_specification_is_quoted_and_has_a_test() -> None:
    assert [int(row.split("|")[1]) for row in ROWS] == list(range(1, 25))
    for row in ROWS:
        quoted, form, tests = row.split(" | ")[1:4]
        assert re.fullmatch(r'".+"', quoted), row
        assert len(form) > 5, row
        assert re.search(r"`[\w/]+\.py::test_\w+`", tests), row
