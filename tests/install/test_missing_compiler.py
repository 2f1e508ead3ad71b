"""Where the extensions cannot be built the install goes on, says what is lost, and what is left serves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

import pytest

from homing.datagram import VARIABLE

ROOT = Path(__file__).parents[2]
BUILT_FROM = ["setup.py", "pyproject.toml", "README.md", "LICENSE"]
TRANSLATED = ROOT / "build" / "cython"
"""The C sources of the package, if it was built here."""

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere nothing is built"),
    pytest.mark.skipif(
        not (find_spec("Cython") and find_spec("setuptools")),
        reason="builds with the tools that are here",
    ),
]

FAILS_LATER = """#!/bin/sh
for argument; do
  case $argument in *waiter.c) exit 1;; esac
  if [ "$before" = -o ]; then echo >"$argument"; fi
  before=$argument
done
"""
"""A compiler that makes a file of each source, at no cost, and breaks down at the last."""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what the package is built from."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("*.so", "*.egg-info", "__pycache__"))
    for name in BUILT_FROM:
        shutil.copy2(ROOT / name, tmp_path)
    if TRANSLATED.exists():  # all with their times: what has not changed since is not translated again
        shutil.copytree(TRANSLATED, tmp_path / "build" / "cython")
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def environment(**more: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name not in (VARIABLE, "HOMING_EXTENSIONS", "CC")}
    return {**own, **more}


def build(tree: Path, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Builds with a compiler that does not work."""
    return subprocess.run(
        [sys.executable, *(command or ("setup.py", "build_ext", "--inplace"))],
        cwd=tree,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def extensions(tree: Path) -> list[Path]:
    return list(tree.rglob("*.so"))


def check_that_it_serves(source: Path, tests: Path) -> None:
    """What is there now serves on the portable backend, and says once why."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.install.echo"],
        cwd=tests,
        env=environment(PYTHONPATH=str(source)),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert '"echoed": [true, true]' in done.stdout
    assert '"backend": "portable"' in done.stdout
    assert done.stderr.count("portable datagram backend") == 1
    assert "was not built with this installation" in done.stderr


def test_without_a_compiler_the_build_goes_on_says_what_is_lost_and_the_portable_backend_serves(tree: Path) -> None:
    done = build(tree, CC="/nonexistent/cc")
    assert done.returncode == 0, done.stderr
    assert "the extensions were not built" in done.stderr
    assert "portable datagram backend" in done.stderr
    assert "/nonexistent/cc" in done.stderr
    assert extensions(tree) == []
    check_that_it_serves(tree / "src", tree)


def test_a_compiler_that_breaks_down_in_the_middle_leaves_no_extension(tree: Path) -> None:
    compiler = tree / "compiler"
    compiler.write_text(FAILS_LATER)
    compiler.chmod(0o755)
    done = build(tree, CC=str(compiler))
    assert done.returncode == 0, done.stderr
    assert "homing: compiled" in done.stderr
    assert "the extensions were not built" in done.stderr
    assert extensions(tree) == []


def test_an_extension_of_an_earlier_build_does_not_stay_where_the_next_build_fails(tree: Path) -> None:
    """It may not fit to what the sources are now."""
    stale = tree / "src" / "homing" / "datagram" / "backend" / f"native{EXTENSION_SUFFIXES[0]}"
    stale.write_bytes(b"no longer true")
    assert build(tree, CC="/nonexistent/cc").returncode == 0
    assert not stale.exists()


def test_who_wants_no_extensions_gets_none_and_needs_no_compiler(tree: Path) -> None:
    done = build(tree, CC="/nonexistent/cc", HOMING_EXTENSIONS="0")
    assert done.returncode == 0, done.stderr
    assert "not built" not in done.stderr
    assert extensions(tree) == []


def test_pip_installs_it_without_a_compiler(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    target = tmp_path_factory.mktemp("installed")
    arguments = ["--no-build-isolation", "--no-deps", "--no-index", "--verbose", "--target", str(target), "."]
    done = build(tree, "-m", "pip", "install", *arguments, CC="/nonexistent/cc")
    assert done.returncode == 0, done.stderr
    assert "the extensions were not built" in done.stdout + done.stderr
    assert (target / "homing" / "datagram" / "backend" / "portable.py").exists()
    assert list(target.rglob("*.so")) == []
    check_that_it_serves(target, tree)
