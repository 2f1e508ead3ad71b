"""What is shown of the program's objects, in errors and in the log, goes through `gen.foreign`, which never raises."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import homing

PACKAGE = Path(homing.__file__).parent
LAYERS = ("gen", "datagram", "node", "act", "meta")
SOURCES = sorted(path for layer in LAYERS for path in (PACKAGE / layer).rglob("*.py"))

TEXTS = {
    *("name", "host", "path", "option", "why", "dependency", "repr", "value", "known", "text", "fallback"),
    *("address", "network_namespace", "get", "protocol", "node"),
}
"""Names of what is a text of Python's own wherever it is shown, because it was checked or the system gave it."""

ALLOWED = {
    # parts of an expression, which is shown by safe_repr as a whole
    "datagram/policy/conditions.py": {"self.left", "self.right", "part", "self.part"},
    "datagram/policy/expressions.py": {"self", "self.left", "self.right"},
    "gen/foreign.py": {"repr(value)", "value[:limit]"},
    "datagram/message.py": {"value"},
    "meta/udp/lifecycle.py": {"state.value", "self.state.value"},
}
"""By module, what may be shown there as it is."""


def shown(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """All that a source shows by `!r`, `%r` or `repr`, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FormattedValue) and node.conversion == ord("r"):
            yield node.lineno, ast.unparse(node.value)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search(r"%r", node.value):
            yield node.lineno, "%r"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "repr":
            yield node.lineno, ast.unparse(node)


def is_text(expression: str) -> bool:
    """True for a name, or an attribute, of `TEXTS`."""
    last = re.sub(r"^repr\((.*)\)$", r"\1", expression)
    return re.sub(r"\(.*\)$", "", last).rpartition(".")[2] in TEXTS - {"value"}


def unguarded(name: str, tree: ast.AST) -> list[tuple[int, str]]:
    """What a module shows of objects that may be the program's."""
    allowed = ALLOWED.get(name, set())
    return [(line, what) for line, what in shown(tree) if what not in allowed and not is_text(what)]


def test_no_module_shows_what_may_be_the_programs_but_by_safe_repr() -> None:
    for path in SOURCES:
        assert unguarded(path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text())) == [], path


def test_tracebacks_are_logged_in_one_place_and_dropped_in_one() -> None:
    for path in SOURCES:
        source = path.read_text()
        assert ".__traceback__ = " not in source, path
        if path.parent.name != "logs":
            assert "exc_info" not in source, path
            assert ".exception(" not in source, path


def test_the_guard_finds_what_it_is_to_find() -> None:
    source = "f'{error!r}'; log.info('%r', x); repr(self.value); f'{self.name!r}'; f'{hello.get(1)!r}'"
    assert sorted(what for _, what in unguarded("x.py", ast.parse(source))) == ["%r", "error", "repr(self.value)"]
