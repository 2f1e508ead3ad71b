"""A run that tests other code than its name says fails: where modules come from is looked at, however deep they lie."""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from homing.datagram import why_portable

from .inner import pytest_in
from .proof import extensions, faults, loaded
from .runs import ROOT

NAMES = ["homing.node.mailbox.lane"]


def module(name: str, file: Path, *, compiled: bool = False) -> ModuleType:
    """A module as if it had been loaded from there."""
    made = ModuleType(name)
    loader = (ExtensionFileLoader if compiled else SourceFileLoader)(name, str(file))
    made.__spec__ = ModuleSpec(name, loader, origin=str(file))
    made.__file__ = str(file)
    return made


def found(code: str, source: Path, *modules: ModuleType) -> list[str]:
    return list(faults(code, {one.__name__: one for one in modules}, NAMES, source))


def shared_object(folder: Path, content: bytes = b"") -> Path:
    file = folder / "homing" / f"_compiled{EXTENSION_SUFFIXES[0]}"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    return file


def lane(folder: Path, content: bytes = b"") -> Path:
    """An extension of the lane alone, in a folder that is deep, as in builds before all were one shared object."""
    file = folder / "homing" / "node" / "mailbox" / f"lane{EXTENSION_SUFFIXES[0]}"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    return file


def test_a_run_of_what_it_names_has_nothing_against_it(tmp_path: Path) -> None:
    python = module("homing.node.mailbox.lane", tmp_path / "homing" / "node" / "mailbox" / "lane.py")
    assert found("interpreted", tmp_path, python) == []
    file = shared_object(tmp_path, b"__asan_init __ubsan_handle")
    compiled = [module(name, file, compiled=True) for name in ("homing._compiled", "homing.node.mailbox.lane")]
    assert found("compiled", tmp_path, *compiled) == []
    assert found("sanitized", tmp_path, *compiled) == []


def test_a_module_from_elsewhere_is_found(tmp_path: Path) -> None:
    stranger = module("homing.node.tree", Path("/usr/lib/homing/node/tree.py"))
    for code in ("compiled", "interpreted", "sanitized"):
        (text,) = found(code, tmp_path, stranger)
        assert text == f"homing.node.tree is /usr/lib/homing/node/tree.py, not below {tmp_path}"


def test_a_compiled_module_is_found_in_an_interpreted_run_and_so_is_one_that_only_lies_there(tmp_path: Path) -> None:
    file = lane(tmp_path)
    compiled = module("homing.node.mailbox.lane", file, compiled=True)
    lies_there = f"an extension lies in {tmp_path}: {file}"
    assert found("interpreted", tmp_path, compiled) == [f"homing.node.mailbox.lane is compiled: {file}", lies_there]
    assert found("interpreted", tmp_path) == [lies_there]


@pytest.mark.parametrize("code", ["compiled", "sanitized"])
def test_a_module_is_found_that_should_be_compiled_and_is_not(code: str, tmp_path: Path) -> None:
    file = tmp_path / "homing" / "node" / "mailbox" / "lane.py"
    python = module("homing.node.mailbox.lane", file)
    assert found(code, tmp_path, python) == [f"homing.node.mailbox.lane is not compiled: {file}"]


def test_an_extension_of_one_module_is_left_from_an_earlier_build_whether_it_is_loaded_or_not(tmp_path: Path) -> None:
    file = lane(tmp_path)
    lies_there = f"an extension of an earlier build, remove it: {file}"
    assert found("compiled", tmp_path) == [lies_there]
    compiled = module("homing.node.mailbox.lane", file, compiled=True)
    loaded_from_there = f"homing.node.mailbox.lane is not from the shared object of all: {file}"
    assert found("compiled", tmp_path, compiled) == [loaded_from_there, lies_there]


@pytest.mark.parametrize("symbols", [b"", b"__asan_init", b"__ubsan_handle"])
def test_an_extension_without_the_sanitizers_is_found(symbols: bytes, tmp_path: Path) -> None:
    file = shared_object(tmp_path, symbols)
    compiled = module("homing.node.mailbox.lane", file, compiled=True)
    assert found("sanitized", tmp_path, compiled) == [f"homing.node.mailbox.lane is not sanitized: {file}"]


def test_the_extensions_are_those_of_setup_py() -> None:
    assert "homing.datagram.backend.native" in extensions()
    for name in extensions():
        assert any((ROOT / "src" / name.replace(".", "/")).with_suffix(suffix).exists() for suffix in (".py", ".pyx"))


def test_what_is_loaded_is_looked_at() -> None:
    assert {"homing", "homing.datagram"} <= loaded().keys()


@pytest.mark.parametrize("name", ["interpreted", "sanitized"])
def test_a_run_fails_that_names_other_code_than_is_here(name: str) -> None:
    if why_portable():
        name = "compiled"
    code, output = pytest_in(ROOT, (), f"--run={name}", "--partial", "tests/gen/test_state.py")
    assert code == 1, output
    assert f"this is no {name} run" in output
    assert "passed" not in output


def test_what_was_loaded_from_elsewhere_by_the_last_test_fails_the_run_too(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    (tmp_path / "test_stray.py").write_text(
        "import sys, types\n"
        "def test_that_loads_what_it_should_not():\n"
        "    sys.modules['homing.stray'] = types.ModuleType('homing.stray')\n"
    )
    code, output = pytest_in(
        tmp_path, ("suite.runs", "suite.proof"), f"--run={'interpreted' if why_portable() else 'compiled'}"
    )
    assert code == 1, output
    assert "homing.stray is ., not below" in output
    assert "1 passed, 1 error" in output
