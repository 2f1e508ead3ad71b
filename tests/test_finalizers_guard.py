"""Wherever an object is made, the collector may run a finalizer, and that may do all that a program may: so what was
looked at before is looked at again, and what is walked over is a copy."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import homing

PACKAGE = Path(homing.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
NODE = sorted((PACKAGE / "node").rglob("*.py"))
UNCHECKED = {
    "datagram/policy/address_table.py",
    "datagram/policy/limiter.py",
    "datagram/policy/networks.py",
    "node/mailbox/lane.py",
}
"""Modules whose compiled form does not check indexes."""
ONLY_FOR_READING = {"self._log = ContextAdapter(META_LOGGER, extra)"}
"""May be made twice: it makes no difference which of them stays."""
ONCE = {
    "self.sender = Sender(process, self.endpoint, kind=KIND, takes='MessageUDP', others=self.former)",
    "self.reader = self._reader_of(self.endpoint, self.process.id)",
    "self._failure = ProcessTerminated(process.id, reason)",
    "self._task = self._core.loop.create_task(self._stop())",
}
"""Nothing leads to the object yet, a state that was set before keeps others out, or it may be either."""
HINT = re.compile(r"\.\w+ is None|= [\w.]+\.\w+ or |\.(values|items|keys)\(")
"""Whatever breaks one of the rules has this."""
MAKES_NONE = (ast.Name, ast.Constant, ast.Attribute, ast.Compare)


def name_of(source: Path) -> str:
    return source.relative_to(PACKAGE).as_posix()


def made_after_looking(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Where an attribute is looked at, and an object made for it that would replace what a finalizer has put there:
    `if x.a is None: x.a = set()`, `x.a = x.a or set()`."""
    for node in ast.walk(tree):
        match node:
            case ast.If(test=ast.Compare(left=ast.Attribute() as seen, ops=[ast.Is()]), body=steps):
                for step in steps:
                    match step:
                        case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value) if _sets(step, seen):
                            if not isinstance(value, MAKES_NONE):
                                yield step.lineno, ast.unparse(step)
            case ast.Assign(value=ast.BoolOp(values=[ast.Attribute() as seen, *others])) if _sets(node, seen):
                if not all(isinstance(other, MAKES_NONE) for other in others):
                    yield node.lineno, ast.unparse(node)


def _sets(step: ast.Assign | ast.AnnAssign, seen: ast.Attribute) -> bool:
    targets = step.targets if isinstance(step, ast.Assign) else [step.target]
    return any(ast.unparse(target) == ast.unparse(seen) for target in targets)


def walked_live(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Loops over a dictionary that others may change meanwhile."""
    for node in ast.walk(tree):
        match node:
            case ast.For(iter=ast.Call(func=ast.Attribute(attr="values" | "items" | "keys", value=ast.Attribute()))):
                yield node.lineno, ast.unparse(node.iter)


def found(sources: list[Path], rule: object) -> list[str]:
    assert callable(rule)
    return [
        f"{name_of(source)}:{line}: {text}"
        for source in sources
        if HINT.search(source.read_text())  # others need not be parsed
        for line, text in rule(ast.parse(source.read_text()))
        if text not in ONLY_FOR_READING | ONCE
    ]


def test_no_attribute_is_replaced_that_was_looked_at_before_its_new_value_was_made() -> None:
    assert found(SOURCES, made_after_looking) == []


def test_the_runtime_walks_over_copies_of_what_others_may_change() -> None:
    assert [line for line in found(NODE, walked_live) if "_before.items()" not in line] == []


@pytest.mark.parametrize(
    "text",
    [
        "def f(self):\n    if self.a is None:\n        self.a = set()\n",
        "def f(x):\n    if x.a is None:\n        x.a = x.a = []\n",
        "def f(self):\n    self.a = self.a or make()\n",
    ],
)
def test_the_guard_finds_what_it_is_for(text: str) -> None:
    assert len(list(made_after_looking(ast.parse(text)))) == 1


def test_who_does_without_checks_of_indexes_is_known() -> None:
    unchecked = {name_of(source) for source in SOURCES if "boundscheck=False" in source.read_text()}
    assert unchecked == UNCHECKED
    assert not [source for source in PACKAGE.rglob("*.pyx") if "boundscheck" in source.read_text()]


def test_no_object_is_taken_for_one_of_a_class_unseen() -> None:
    """`<Class?> thing` and a typed variable look; `<Class> thing` does not."""
    cast = re.compile(r"<([A-Z]\w+|str|bytes|list|dict|tuple|set)> *[\w(]")
    structures = {"Known", "Tuple", "PyObject", "Py_ssize_t", "Py_buffer"}
    casts = [
        f"{name_of(source)}: {found.group()}"
        for source in sorted(PACKAGE.rglob("*.pyx"))
        for found in cast.finditer(source.read_text())
        if found.group(1) not in structures
    ]
    assert casts == []
