"""All compiled modules come from one shared object, and without it everything runs interpreted."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import subprocess
import sys
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader
from pathlib import Path

import pytest

import homing
from homing import finder
from homing.node.mailbox.lane import COMPILED

from .suite.proof import extensions

PACKAGE = Path(homing.__file__).parent
OBJECT = f"_compiled{EXTENSION_SUFFIXES[0]}"
needs_compiled = pytest.mark.skipif(not COMPILED, reason="the extensions are not built here")
NOT_COMPILED = ["homing", "homing.node", "homing.node.node", "homing.node.mailbox", "homing.node.lane", "lane", "json"]

TELL = """
import sys
from homing import finder
from homing.datagram import why_portable
from homing.node.mailbox import lane
print(lane.COMPILED, lane.__file__)
print(finder.why_interpreted())
print(why_portable())
"""


def ours() -> list[finder.CompiledModules]:
    return [one for one in sys.meta_path if isinstance(one, finder.CompiledModules)]


def copied(to: Path) -> Path:
    """A copy of the package without the shared object."""
    shutil.copytree(PACKAGE, to / "homing", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    return to / "homing"


def run(program: str, *paths: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Runs a program that imports the package from the first of the paths that has it."""
    paths_set = f"import sys; sys.path[:0] = {[str(path) for path in paths]}\n"
    command = [sys.executable, "-c", paths_set + program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == code, done.stderr
    return done


@needs_compiled
@pytest.mark.parametrize("name", extensions())
def test_every_compiled_module_comes_from_the_one_object(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__name__ == name
    assert module.__spec__ is not None
    assert isinstance(module.__spec__.loader, ExtensionFileLoader)
    assert Path(module.__file__ or "") == Path(module.__spec__.origin or "") == PACKAGE / OBJECT
    assert importlib.util.find_spec(name) == module.__spec__


@needs_compiled
def test_the_object_names_the_modules_that_setup_py_names() -> None:
    assert importlib.import_module("homing._compiled").MODULES.split() == extensions()


@needs_compiled
@pytest.mark.parametrize("name", NOT_COMPILED)
def test_the_finder_finds_no_other_module(name: str) -> None:
    (found,) = ours()
    assert found.find_spec(name) is None


@needs_compiled
def test_the_finder_says_what_it_finds_and_where() -> None:
    assert repr(ours()[0]) == f"<{len(extensions())} compiled modules in {PACKAGE / OBJECT}>"


def test_installing_the_finder_again_changes_nothing() -> None:
    before = [repr(one) for one in sys.meta_path]
    finder.install()
    assert [repr(one) for one in sys.meta_path] == before
    assert len(ours()) == COMPILED


@needs_compiled
def test_without_a_reason_modules_are_compiled() -> None:
    assert finder.why_interpreted() == ""


def test_without_the_object_all_modules_are_imported_from_their_sources(tmp_path: Path) -> None:
    package = copied(tmp_path)
    program = """
for name in {names}:
    if importlib.util.find_spec(name):
        assert importlib.import_module(name).__file__.endswith(".py")
assert not [one for one in sys.meta_path if type(one).__module__ == "homing.finder"]
"""
    done = run(TELL + "import importlib.util" + program.format(names=extensions()), tmp_path)
    told, why, portable = done.stdout.splitlines()
    assert told == f"False {package / 'node' / 'mailbox' / 'lane.py'}"
    assert why == "No module named 'homing._compiled'"
    assert "was not built with this installation" in portable


@needs_compiled
def test_a_package_that_was_moved_takes_its_object_along(tmp_path: Path) -> None:
    package = copied(tmp_path)
    (package / OBJECT).symlink_to(PACKAGE / OBJECT)
    assert run(TELL, tmp_path).stdout.splitlines()[:2] == [f"True {package / OBJECT}", ""]


def test_a_package_in_a_zip_runs_interpreted(tmp_path: Path) -> None:
    copied(tmp_path)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in (tmp_path / "homing").rglob("*.py"):
            archive.write(path, path.relative_to(tmp_path))
        archive.writestr(f"homing/{OBJECT}", b"which no system loads from a zip")
    told = run(TELL, tmp_path / "all.zip").stdout.splitlines()[0]
    assert told == f"False {tmp_path / 'all.zip' / 'homing' / 'node' / 'mailbox' / 'lane.py'}"


def test_an_object_that_does_not_load_is_named_with_the_remedy_and_everything_runs_interpreted(tmp_path: Path) -> None:
    package = copied(tmp_path)
    (package / OBJECT).write_bytes(b"no object at all")
    done = run(TELL, tmp_path)
    assert done.stderr.startswith("<string>:")  # the line that imports it
    assert "RuntimeWarning: homing runs interpreted" in done.stderr
    assert f"the extensions do not load: {package / OBJECT}" in done.stderr
    assert "Install homing again with this Python" in done.stderr
    told, why, portable = done.stdout.splitlines()
    assert told.startswith("False ")
    assert why in portable


def test_an_object_for_another_python_is_named_and_everything_runs_interpreted(tmp_path: Path) -> None:
    package = copied(tmp_path)
    (package / "_compiled.cpython-39-sparc-solaris.so").write_bytes(b"for another one")
    done = run(TELL, tmp_path)
    assert done.stderr == ""
    told, why, portable = done.stdout.splitlines()
    assert told.startswith("False ")
    assert why == "the extensions here are for another Python: _compiled.cpython-39-sparc-solaris.so"
    assert why in portable


@needs_compiled
def test_modules_of_two_copies_of_the_package_in_one_program_are_not_mixed(tmp_path: Path) -> None:
    copied(tmp_path / "other")
    again = f"""
for name in [name for name in sys.modules if name.partition(".")[0] == "homing"]:
    del sys.modules[name]
sys.path.insert(0, {str(tmp_path / "other")!r})
"""
    told = run(TELL + again + TELL, PACKAGE.parent).stdout.splitlines()
    assert told[0].startswith("True ")
    assert told[3] == f"False {tmp_path / 'other' / 'homing' / 'node' / 'mailbox' / 'lane.py'}"
