"""The layers: a module imports only from its own layer and those below it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import homing

PACKAGE = Path(homing.__file__).parent
ALLOWED = {
    "gen": {"gen"},
    "datagram": {"gen", "datagram"},
    "node": {"gen", "datagram", "node"},
    "act": {"gen", "datagram", "node", "act"},
    "meta": {"gen", "datagram", "node", "act", "meta"},
    "testing": {"gen", "datagram", "node", "act", "meta", "testing"},
    "cli": {"gen", "datagram", "node", "act", "meta", "cli", ""},
}
"""For each layer, those it may import from. "" is the package itself."""


def imported_layers(source: str, package: list[str]) -> set[str]:
    """The layers of `homing` that a module in `package` (say ["homing", "node"]) imports from."""
    found = set()
    for statement in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            base = package[: len(package) - statement.level + 1] if statement.level else []
            module = [*base, *(statement.module.split(".") if statement.module else [])]
            names = [".".join([*module, alias.name]) for alias in statement.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "homing":
                layer = parts[1] if len(parts) > 1 else ""
                found.add(layer if layer in ALLOWED else "")
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*/**/*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_its_own_layer_and_those_below(path: Path) -> None:
    parts = path.relative_to(PACKAGE).parts
    layers = imported_layers(path.read_text(), ["homing", *parts[:-1]])
    assert layers <= ALLOWED[parts[0]]


@pytest.mark.parametrize(
    "path",
    sorted([*PACKAGE.glob("*/*.pyx"), *PACKAGE.glob("*/*.pxd")]),
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_an_extension_imports_only_from_its_own_layer_and_those_below(path: Path) -> None:
    above = re.findall(r"^\s*from \.\.(\w*)|^\s*c?import homing\.?(\w*)", path.read_text(), re.MULTILINE)
    assert {layer for pair in above for layer in pair if layer} <= ALLOWED[path.parent.name]


@pytest.mark.parametrize(
    ("source", "layer"),
    [
        ("from ..act import Actor", "act"),
        ("from .. import act", "act"),
        ("import homing.meta.udp", "meta"),
        ("from homing import run", ""),
        ("def f():\n    from ..meta import MessageUDP", "meta"),
    ],
)
def test_an_upward_import_is_found_however_it_is_written(source: str, layer: str) -> None:
    assert layer in imported_layers(source, ["homing", "node"])
    assert layer not in ALLOWED["node"]


def test_the_runtime_imports_nothing_but_the_standard_library() -> None:
    import sys

    for path in PACKAGE.glob("**/*.py"):
        if path.relative_to(PACKAGE).parts[0] == "cli":
            continue
        for statement in ast.walk(ast.parse(path.read_text())):
            if isinstance(statement, ast.Import):
                roots = {alias.name.split(".")[0] for alias in statement.names}
            elif isinstance(statement, ast.ImportFrom) and not statement.level:
                roots = {(statement.module or "").split(".")[0]}
            else:
                continue
            assert roots - {"homing", "uvloop"} <= sys.stdlib_module_names, path


def test_nothing_is_unpickled_evaluated_or_imported_by_name() -> None:
    """What comes from a network meets no function that could run it."""
    for path in PACKAGE.glob("**/*.py"):
        for statement in ast.walk(ast.parse(path.read_text())):
            if isinstance(statement, ast.Import):
                names = {alias.name.split(".")[0] for alias in statement.names}
            elif isinstance(statement, ast.ImportFrom):
                names = {(statement.module or "").split(".")[0]} if not statement.level else set()
            elif isinstance(statement, ast.Call) and isinstance(statement.func, ast.Name):
                names = {statement.func.id}
            else:
                continue
            forbidden = {
                "pickle",
                "marshal",
                "shelve",
                "dill",
                "eval",
                "exec",
                "compile",
                "__import__",
                "import_module",
            }
            assert not names & forbidden, path
