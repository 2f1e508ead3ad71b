"""The examples in docstrings run, and print what stands below them."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import homing

PACKAGE = Path(homing.__file__).parent
MODULES = [
    ".".join(["homing", *path.relative_to(PACKAGE).with_suffix("").parts])
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text()
]


def test_the_short_forms_have_an_example() -> None:
    assert {"homing.meta.short", "homing.gen.typed"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module_print_what_stands_below_them(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0
    assert result.failed == 0
