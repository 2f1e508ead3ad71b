"""Each package opens with its map: its docstring names every module and sub-package that it has, and no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import homing

PACKAGE = Path(homing.__file__).parent
MAPS = sorted(PACKAGE.rglob("__init__.py"))


def entries(docstring: str) -> list[str]:
    """The names that a map explains. Each begins a line, two spaces before its explanation, or stands behind a
    semicolon, a colon before its explanation; an explanation may go on in lines that are indented."""
    lines = re.sub(r"\n +", " ", docstring)
    found = re.findall(r"^(\w+(?:, \w+)*)  +\S|; (\w+(?:, \w+)*): ", lines, re.MULTILINE)
    return [name for pair in found for name in "".join(pair).split(", ")]


def contents(package: Path) -> set[str]:
    """The modules and sub-packages of a package."""
    modules = {path.stem for path in package.iterdir() if path.suffix in (".py", ".pyx", ".pxd")}
    packages = {path.parent.name for path in package.glob("*/__init__.py")}
    return (modules | packages) - {"__init__", "__main__"}


@pytest.mark.parametrize("path", MAPS, ids=lambda path: str(path.parent.relative_to(PACKAGE.parent)))
def test_a_package_maps_all_that_it_has_and_nothing_else(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring is not None
    named = entries(docstring)
    assert sorted(named) == sorted(contents(path.parent))
