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
from homing import act, datagram, gen, meta, testing

from .griffe_fields import split
from .pages import DOCS

DIRECTIVE = re.compile(r"^::: ([\w.]+)\.(\w+)$", re.MULTILINE)
MODULES = [homing, gen, gen.errors, datagram.errors, act, act.requests, act.errors, meta, testing]


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


# --- what the docstrings say ------------------------------------------------------------------------------


def things() -> list[Any]:
    """Each thing that the reference documents."""
    modules = {module.__name__: module for module in MODULES}
    return [pytest.param(getattr(modules[where], name), id=f"{where}.{name}") for where, name in sorted(NAMES)]


def fields(kind: type) -> list[str]:
    """The names of what an object of a class is made of, those of its bases not included."""
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind) if field.name in vars(kind).get("__annotations__", {})]
    if issubclass(kind, enum.Enum):
        return list(kind.__members__)
    return list(getattr(kind, "_fields", ()))


CLASSES = [parameter for parameter in things() if inspect.isclass(parameter.values[0])]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_field_of_a_class_is_explained(kind: type) -> None:
    _, entries = split(inspect.getdoc(kind) or "")
    explained = {name for names in entries for name in names.split(", ")}
    assert [name for name in fields(kind) if name not in explained] == []


@pytest.mark.parametrize("kind", [parameter for parameter in CLASSES if fields(parameter.values[0])])
def test_every_explanation_is_of_a_field_that_is_there(kind: type) -> None:
    _, entries = split(inspect.cleandoc(vars(kind)["__doc__"]))
    assert {name for names in entries for name in names.split(", ")} - public(kind) - set(fields(kind)) == set()


@pytest.mark.parametrize("thing", things())
def test_every_public_thing_and_each_of_its_methods_has_a_docstring(thing: Any) -> None:
    if inspect.isclass(thing):
        assert thing.__doc__
        methods = [name for name in public(thing) if name in vars(thing) and callable(getattr(thing, name))]
        assert [name for name in methods if not inspect.getdoc(getattr(thing, name))] == []
    elif inspect.isroutine(thing):
        assert thing.__doc__
