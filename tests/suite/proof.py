"""The proof that a run tests the code that it names: compiled, interpreted or sanitized.

It is looked at before the first test of each program that runs tests, and again after the last one: what was loaded
from elsewhere in between is found too.
"""

from __future__ import annotations

import ast
import functools
import importlib
import sys
from collections.abc import Iterator
from importlib.machinery import ExtensionFileLoader
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from .runs import ROOT, run_of

SOURCES = {
    "compiled": ROOT / "src",
    "interpreted": ROOT / "build" / "interpreted",
    "sanitized": ROOT / "build" / "sanitized" / "src",
}
"""Where the package of each code lies."""
OBJECT = "homing._compiled"
"""The shared object that holds all compiled modules."""
SANITIZERS = (b"__asan_", b"__ubsan_")
"""Symbols that a shared object needs which was built with the sanitizers."""


def extensions(setup: Path = ROOT / "setup.py") -> list[str]:
    """The modules that are compiled, as setup.py names them."""
    for statement in ast.parse(setup.read_text()).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "EXTENSIONS":
            return list(ast.literal_eval(statement.value))
    raise LookupError(f"{setup} names no EXTENSIONS")


def loaded() -> dict[str, ModuleType]:
    """All modules of the package that are loaded now. Those of `homing demo NAME` are of examples/servers."""
    found = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "homing"}
    return {name: module for name, module in found.items() if not name.startswith("homing.cli.servers.")}


def faults(code: str, modules: dict[str, ModuleType], names: list[str], source: Path) -> Iterator[str]:
    """What contradicts that `modules` are the package of this code, with the extensions `names`, in `source`."""
    sanitized = functools.cache(_is_sanitized)
    for name, module in sorted(modules.items()):
        file = Path(getattr(module, "__file__", None) or "")
        compiled = isinstance(module.__spec__ and module.__spec__.loader, ExtensionFileLoader)
        if not file.is_relative_to(source):
            yield f"{name} is {file}, not below {source}"
        elif code == "interpreted" and compiled:
            yield f"{name} is compiled: {file}"
        elif code != "interpreted" and compiled != (name in (*names, OBJECT)):
            yield f"{name} is {'compiled' if compiled else 'not compiled'}: {file}"
        elif compiled and not _is_object(file, source):
            yield f"{name} is not from the shared object of all: {file}"
        elif code == "sanitized" and compiled and not sanitized(file):
            yield f"{name} is not sanitized: {file}"
    for path in sorted(source.glob("homing/**/*.so")):
        if code == "interpreted":
            yield f"an extension lies in {source}: {path}"
        elif not _is_object(path, source):
            yield f"an extension of an earlier build, remove it: {path}"


def _is_object(path: Path, source: Path) -> bool:
    return ".".join([*path.relative_to(source).parent.parts, path.name.partition(".")[0]]) == OBJECT


def _is_sanitized(file: Path) -> bool:
    content = file.read_bytes()
    return all(symbol in content for symbol in SANITIZERS)


def check(code: str) -> None:
    """Raises `AssertionError`, with all that is wrong, if the package that is loaded is not of this code."""
    names = extensions()
    for name in names:
        if find_spec(name) is not None:  # interpreted, there is nothing to import of a .pyx
            importlib.import_module(name)
        elif code != "interpreted":
            raise AssertionError(f"this is no {code} run: there is no {name}")
    wrong = list(faults(code, loaded(), names, SOURCES[code]))
    assert not wrong, f"this is no {code} run:\n" + "\n".join(wrong)


@pytest.fixture(scope="session", autouse=True)
def _code_is_what_the_run_names(request: pytest.FixtureRequest) -> Iterator[None]:
    code = run_of(request.config).code
    if code:
        check(code)
    yield
    if code:
        check(code)
