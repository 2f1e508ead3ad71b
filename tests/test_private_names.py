"""A module uses no private attribute of another module's objects: those give it a method for what it needs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import homing

PACKAGE = Path(homing.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))

INTERNAL = {"_lease", "_process", "_runtime_hooks"}
"""Names that are hidden from users only, who see these objects: a datagram's pooled buffer, an actor's process, a
behavior's hooks."""

LIBRARY = {
    *("_asdict", "_asyncio_future_blocking", "_callbacks", "_current_frames", "_exit", "_fields", "_get_running_loop"),
    "_log",
    *("_replace", "_set_running_loop"),
}
"""Names of the standard library's."""


PYOPENSSL = {"_context", "_reverse_mapping"}
"""Names of pyOpenSSL's that `meta.dtls.psk` needs, which looks whether they are there."""


ATTRIBUTE = re.compile(r"\.\s*(_\w+)")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in LIBRARY | INTERNAL | PYOPENSSL


def own_names(tree: ast.Module) -> set[str]:
    """The private names that a module's classes and functions define."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
            found |= {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
            found |= {one.attr for target in targets for one in ast.walk(target) if _is_of_self(one)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)  # of `__slots__`
    return found


def _is_of_self(node: ast.AST) -> bool:
    if not isinstance(node, ast.Attribute):
        return False
    value = node.value
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        return value.func.id == "super"
    return isinstance(value, ast.Name) and value.id in ("self", "cls")


def foreign_names(source: str, there: frozenset[str] = frozenset()) -> set[str]:
    """The private names that a source uses of objects other than `self`, and does not define. there: known ones."""
    if not any(is_private(name) and name not in there for name in ATTRIBUTE.findall(source)):
        return set()  # it need not be parsed
    tree = ast.parse(source)
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and is_private(node.attr) and not _is_of_self(node)
    }
    return used - own_names(tree) - there


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def test_a_module_uses_no_private_attribute_of_another() -> None:
    assert {str(path): found for path in SOURCES if (found := foreign_names(path.read_text()))} == {}


@pytest.mark.parametrize(
    "source",
    ["server._endpoint.close()", "self.server._hold(True)", "async def f(x):\n    return x._y", "f()._z = 1"],
)
def test_a_foreign_private_attribute_is_found(source: str) -> None:
    assert foreign_names(source)


@pytest.mark.parametrize(
    "source",
    [
        "self._endpoint.close()",
        "class A:\n    def __eq__(self, other):\n        return self._x == other._x\n    _x = 1",
        "class A:\n    __slots__ = ('_x',)\ndef f(a):\n    a._x",
        "super()._close()",
        "point._replace(x=1)",
        "x.__class__",
    ],
)
def test_what_a_module_defines_itself_it_may_use(source: str) -> None:
    assert not foreign_names(source)


TESTS = Path(__file__).parent
WORDS = {
    word
    for path in PACKAGE.rglob("*")
    if path.suffix in (".py", ".pyx", ".pxd")
    for word in re.findall(r"\b_\w+", path.read_text())
}
OTHERS = {
    *("_basetemp", "_initrequest", "_scheduled", "_setupstate", "_tmp_path_factory", "_transport"),
    "_value2member_map_",
}
"""Private names of asyncio, enum and pytest that tests use."""


def test_a_private_name_that_a_test_uses_is_there() -> None:
    """A test that replaces an attribute which has another name by now would test nothing."""
    there = frozenset(WORDS | OTHERS)
    tests = sorted(TESTS.rglob("*.py"))
    assert {str(path): found for path in tests if (found := foreign_names(path.read_text(), there))} == {}
