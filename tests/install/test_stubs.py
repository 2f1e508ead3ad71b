"""What the stubs tell the type checker is what the compiled modules have."""

from __future__ import annotations

import ast
import importlib
import inspect
import socket
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import homing

PACKAGE = Path(homing.__file__).parent
STUBS = sorted(PACKAGE.rglob("*.pyi"))


def compiled(stub: Path) -> ModuleType:
    """The module that a stub tells of."""
    name = ".".join(["homing", *stub.relative_to(PACKAGE).with_suffix("").parts])
    try:
        return importlib.import_module(name)
    except ImportError as error:
        pytest.skip(f"it was not built with this installation: {error}")


def told(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """The names that a stub defines, without what it imports."""
    found: dict[str, ast.stmt] = {}
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            found[statement.name] = statement
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            found[statement.target.id] = statement
    return found


def public(names: Any) -> set[str]:
    return {name for name in names if not name.startswith("_")}


def parameters_told(function: ast.FunctionDef) -> list[tuple[str, bool]]:
    """Names of the parameters, and which have a default."""
    arguments = [*function.args.posonlyargs, *function.args.args]
    first = len(arguments) - len(function.args.defaults)
    return [(argument.arg, index >= first) for index, argument in enumerate(arguments)]


def parameters_of(function: Any) -> list[tuple[str, bool]]:
    signature = inspect.signature(function)
    return [(one.name, one.default is not one.empty) for one in signature.parameters.values()]


def is_property(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.AnnAssign) or (
        isinstance(statement, ast.FunctionDef)
        and any(isinstance(one, ast.Name) and one.id == "property" for one in statement.decorator_list)
    )


def differences(stub: dict[str, ast.stmt], thing: Any, has: set[str]) -> list[str]:
    """Where a stub and what it tells of (a module or a class) disagree."""
    found = [f"the stub lacks {name}" for name in sorted(has - public(stub))]
    for name in sorted(public(stub)):
        statement = stub[name]
        if name not in has:
            found.append(f"there is no {name}")
        elif isinstance(statement, ast.ClassDef):
            inner = getattr(thing, name)
            found += [f"{name}: {text}" for text in differences(told(statement.body), inner, members(inner))]
        elif is_property(statement) is callable(getattr(thing, name)):
            found.append(f"{name} is a function in one of them only")
        elif isinstance(statement, ast.FunctionDef) and not is_property(statement):
            same = parameters_told(statement) == parameters_of(getattr(thing, name))
            found += [] if same else [f"{name} has other parameters"]
    return found


def is_untold(base: type) -> bool:
    """True if Python cannot read the source of a class, and there is no stub of it."""
    path = PACKAGE.joinpath(*base.__module__.split(".")[1:])
    return path.with_suffix(".pyx").exists() and not path.with_suffix(".pyi").exists()


def members(kind: type) -> set[str]:
    """The public names that the stub of a class has to tell: its own, and those of bases that nothing else tells."""
    return {name for one in (kind, *filter(is_untold, kind.__mro__[1:])) for name in public(vars(one))}


def has(module: ModuleType) -> set[str]:
    """The public names that a module defines."""
    return {
        name
        for name in public(vars(module))
        if not isinstance(vars(module)[name], ModuleType)
        and getattr(vars(module)[name], "__module__", module.__name__) == module.__name__
    }


@pytest.mark.parametrize("stub", STUBS, ids=lambda stub: stub.stem)
def test_a_stub_tells_every_public_name_with_its_parameters_and_no_other(stub: Path) -> None:
    module = compiled(stub)
    assert module.__file__ is not None
    assert module.__file__.endswith(".so")
    assert differences(told(ast.parse(stub.read_text()).body), module, has(module)) == []


def test_every_module_that_python_cannot_read_and_python_or_a_stub_imports_has_a_stub() -> None:
    imported = {
        (path.parent / f"{statement.module}.pyx")
        for path in (*PACKAGE.rglob("*.py"), *STUBS)
        for statement in ast.walk(ast.parse(path.read_text()))
        if isinstance(statement, ast.ImportFrom) and statement.level == 1 and statement.module
    }
    generated = PACKAGE / "_compiled.pyi"  # its source is written by setup.py
    assert {path.with_suffix(".pyi") for path in imported if path.exists()} | {generated} == set(STUBS)


def test_the_constructor_takes_what_its_stub_says() -> None:
    (stub,) = (path for path in STUBS if path.stem == "native")
    backend = told(ast.parse(stub.read_text()).body)["NativeBackend"]
    assert isinstance(backend, ast.ClassDef)
    constructor = told(backend.body)["__init__"]
    assert isinstance(constructor, ast.FunctionDef)
    names = [name for name, _ in parameters_told(constructor)]
    assert names[0] == "self"
    module: Any = compiled(stub)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        values = {"sock": sock, "buffer_size": 100, "gro": True, "gso": True, "info": False}
        module.NativeBackend(**{name: values[name] for name in names[1:]}).close()
        for left_out in values:
            with pytest.raises(TypeError):
                module.NativeBackend(**{name: value for name, value in values.items() if name != left_out})


SAMPLE = """
def probe() -> str: ...
class Box:
    size: int
    def put(self, data: bytes, limit: int = 1) -> None: ...
"""


class Box:
    size = 1

    def put(self, data: bytes, limit: int = 1) -> None: ...


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        ("probe", "prove", "there is no prove"),
        ("probe", "prove", "the stub lacks probe"),
        ("probe() -> str", "probe(a: int) -> str", "probe has other parameters"),
        ("size: int", "length: int", "Box: there is no length"),
        ("size: int", "def size(self) -> int: ...", "Box: size is a function in one of them only"),
        ("limit: int = 1", "limit: int", "Box: put has other parameters"),
        ("data: bytes", "octets: bytes", "Box: put has other parameters"),
    ],
)
def test_a_difference_between_a_stub_and_its_module_is_found(old: str, new: str, difference: str) -> None:
    module: Any = ModuleType("sample")
    module.Box, module.probe = Box, lambda: ""
    names = {"Box", "probe"}
    assert differences(told(ast.parse(SAMPLE).body), module, names) == []
    assert difference in differences(told(ast.parse(SAMPLE.replace(old, new)).body), module, names)
