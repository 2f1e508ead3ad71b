"""The reference, which is made from the docstrings, names what there is; and the docstrings explain it."""

from __future__ import annotations

import ast
import dataclasses
import enum
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import homing
from homing import act, cluster, datagram, gen, meta, observe, testing
from homing.observe import otel, records, traces

from .griffe_fields import split
from .pages import DOCS

DIRECTIVE = re.compile(r"^::: ([\w.]+)\.(\w+)$", re.MULTILINE)
MODULES = [
    *(homing, gen, gen.errors, datagram.errors, act, act.requests, act.errors, meta, observe, traces),
    *(otel, records, testing, cluster),
]


def documented() -> list[tuple[str, str]]:
    """The module and the name of each thing that the reference documents."""
    return [found for path in (DOCS / "reference").glob("*.md") for found in DIRECTIVE.findall(path.read_text())]


NAMES = documented()


def public(thing: object) -> set[str]:
    """The public attributes of a class or module."""
    return {name for name in dir(thing) if not name.startswith("_")}


def exported(module: Any) -> set[str]:
    """What a module lists; else what a package's `__init__` imports under its own name (`from .x import Y as Y`)."""
    if hasattr(module, "__all__"):
        return set(module.__all__)
    if "__dir__" in vars(module):
        return public(module)
    tree = ast.parse(Path(module.__file__).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {alias.name for node in imports for alias in node.names if alias.asname == alias.name}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_reference_has_all_public_names_of_a_module_and_no_others(module: Any) -> None:
    names = {name for name in exported(module) if not inspect.ismodule(getattr(module, name))}
    assert sorted(name for where, name in NAMES if where == module.__name__) == sorted(names)


def test_the_reference_documents_no_other_modules() -> None:
    assert {where for where, _ in NAMES} == {module.__name__ for module in MODULES}


def test_a_session_of_an_interpreter_is_shown_as_code() -> None:
    text, entries = split("Adds.\n\na: a number.\n\n>>> for a in [2]:\n...     a + 1\n3\n\nSee >>> elsewhere.")
    assert text == "Adds.\n\n\n```pycon\n>>> for a in [2]:\n...     a + 1\n3\n```\n\nSee >>> elsewhere."
    assert entries == {"a": "a number."}


# --- what the docstrings say ------------------------------------------------------------------------------


def things() -> dict[str, Any]:
    """Each thing that the reference documents, by its name."""
    modules = {module.__name__: module for module in MODULES}
    return {f"{where}.{name}": getattr(modules[where], name) for where, name in NAMES}


THINGS = things()
CLASSES = {name: thing for name, thing in THINGS.items() if inspect.isclass(thing)}


def fields(kind: type) -> list[str]:
    """The names of what an object of a class is made of, those of its bases not included."""
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind) if field.name in vars(kind).get("__annotations__", {})]
    if issubclass(kind, enum.Enum):
        return list(kind.__members__)
    return list(getattr(kind, "_fields", ()))


def explained(kind: type) -> set[str]:
    """The names that a class's docstring explains."""
    _, entries = split(inspect.cleandoc(vars(kind)["__doc__"]))
    return {name for names in entries for name in names.split(", ")}


def undocumented(thing: Any) -> list[str]:
    """The methods of a class, in its own body, that have no docstring; and "itself" if a class or function has none."""
    names = vars(thing) if inspect.isclass(thing) else ()
    methods = [name for name in names if not name.startswith("_") and callable(getattr(thing, name))]
    missing = [name for name in methods if not inspect.getdoc(getattr(thing, name))]
    return [
        *missing,
        *(["itself"] if (inspect.isclass(thing) or inspect.isroutine(thing)) and not thing.__doc__ else []),
    ]


def test_every_field_of_a_class_is_explained() -> None:
    missing = {name: set(fields(kind)) - explained(kind) for name, kind in CLASSES.items()}
    assert {name: found for name, found in missing.items() if found} == {}


def test_every_explanation_is_of_a_field_that_is_there() -> None:
    made_of = {name: kind for name, kind in CLASSES.items() if fields(kind)}
    unknown = {name: explained(kind) - public(kind) - set(fields(kind)) for name, kind in made_of.items()}
    assert {name: found for name, found in unknown.items() if found} == {}


def test_every_public_thing_and_each_of_its_methods_has_a_docstring() -> None:
    missing = {name: undocumented(thing) for name, thing in THINGS.items()}
    assert {name: found for name, found in missing.items() if found} == {}


def test_what_is_not_documented_is_found() -> None:
    class Bare:
        def method(self) -> None: ...

    assert undocumented(Bare) == ["method", "itself"]
    assert split("Text.\n\na, b: what they are,\n    and more.\nc: this") == (
        "Text.",
        {"a, b": "what they are, and more.", "c": "this"},
    )
