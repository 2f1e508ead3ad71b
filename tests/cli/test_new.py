"""`homing new`: a project whose tests pass."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import homing

from .made import NAME, homing_new, made
from .nodes import environment


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("made"))


def tool(project: Path, *command: str) -> str:
    """Runs a tool in the project, without options for this run. Returns its output."""
    variables = environment(project) | {"PYTEST_ADDOPTS": ""}
    done = subprocess.run(command, cwd=project, env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_says_what_it_has_made_and_what_comes_next(tmp_path: Path) -> None:
    done = homing_new("Fine_Service", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.startswith(f"Made {NAME} with ")
    assert f"  cd {NAME}\n" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_the_path_that_it_says_can_be_pasted(tmp_path: Path) -> None:
    done = homing_new(NAME, "--directory", "my work", cwd=tmp_path)
    assert f"  cd 'my work/{NAME}'\n" in done.stdout
    assert (tmp_path / "my work" / NAME / "README.md").is_file()


@pytest.mark.parametrize("arguments", [("a b",), ("class",), (NAME, "--directory", "file")])
def test_what_is_wrong_is_said_in_one_line_with_exit_code_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "file").write_text("")
    done = homing_new(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("homing new: ")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_place_where_nothing_can_be_made_is_named_with_exit_code_1(tmp_path: Path) -> None:
    done = homing_new(NAME, "--directory", "/proc/homing", cwd=tmp_path)
    assert done.returncode == 1
    assert "/proc/homing" in done.stderr
    assert done.stderr.count("\n") == 1


def test_its_tests_pass(project: Path) -> None:
    printed = tool(project, sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:asyncio")
    assert " passed" in printed
    assert "warning" not in printed


def test_a_fault_in_its_service_fails_its_tests(project: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(project, tmp_path / NAME)
    protocol = copy / "fine_service" / "protocol.py"
    protocol.write_text(protocol.read_text().replace("{total}", "{total + 1}"))
    with pytest.raises(AssertionError, match="3 failed"):
        tool(
            copy, sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", "tests/test_app.py", "tests/test_counter.py"
        )


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "--isolated", "--select", "E,F,I,N,UP,B,PT,RUF", "--line-length", "120", "."),
        ("ruff", "format", "--isolated", "--check", "--line-length", "120", "."),
        ("mypy", "--strict", "."),
    ],
    ids=" ".join,
)
def test_its_sources_are_clean(project: Path, command: tuple[str, ...]) -> None:
    tool(project, sys.executable, "-m", *command)


def test_its_options_are_valid(project: Path) -> None:
    assert "app.toml is valid" in tool(project, sys.executable, "-m", "homing", "config", "check", "app.toml")


def test_its_distribution_has_its_package_and_nothing_else(project: Path, tmp_path: Path) -> None:
    pytest.importorskip("setuptools")
    copy = shutil.copytree(project, tmp_path / NAME)
    tool(copy, sys.executable, "-c", "from setuptools.build_meta import build_wheel; build_wheel('dist')")
    (wheel,) = (copy / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        modules = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata,) = (archive.read(name).decode() for name in archive.namelist() if name.endswith("/METADATA"))
    assert modules == {f"fine_service/{path.name}" for path in (project / "fine_service").glob("*.py")}
    assert f"Name: {NAME}\n" in metadata
    assert f"Requires-Dist: homing[cli,fast,http]>={homing.__version__.partition('+')[0]}\n" in metadata
