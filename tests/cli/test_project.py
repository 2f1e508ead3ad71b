"""The files of a new project: all or nothing, under names that are possible everywhere."""

from __future__ import annotations

import errno
import keyword
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.cli.project import LONGEST, TEMPLATE, Names, ProjectError, make_project, names_of

NAMES = Names("fine-service", "fine_service")


@pytest.mark.parametrize(
    ("text", "project", "package"),
    [
        ("counter", "counter", "counter"),
        ("My.Service", "my-service", "my_service"),
        ("my__service", "my-service", "my_service"),
        ("a1", "a1", "a1"),
        ("a" * LONGEST, "a" * LONGEST, "a" * LONGEST),
    ],
)
def test_a_name_is_normalized_as_in_pep_503_and_can_be_imported(text: str, project: str, package: str) -> None:
    assert names_of(text) == Names(project, package)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "give letters, digits and hyphens, beginning with a letter: my-service"),
        ("my service!", ": my-service"),
        ("1st", ": st"),
        ("1abc", ": my-service"),
        ("-x", ": x"),
        ("x-", ": x"),
        ("zähler", ": z-hler"),
        ("x\n", ": x"),
        ("/srv/counter", "give the name alone, and its place apart: counter --directory /srv"),
        ("..", ": my-service"),
        ("class", "'class' is a keyword of Python; give another name, such as class-udp"),
        ("JSON", "'json' is a module of Python"),
        ("tests", "another folder of the project"),
        ("homing", "a module that the project imports"),
        ("typer", "a module of typer, which is installed here"),
        ("a" * (LONGEST + 1), f"has {LONGEST + 1} characters; give {LONGEST} at most"),
    ],
)
def test_a_name_that_is_not_possible_is_refused_with_one_that_is(text: str, says: str) -> None:
    with pytest.raises(ProjectError) as refused:
        names_of(text)
    assert repr(text) in str(refused.value)
    assert says in str(refused.value)


@given(st.text(max_size=60) | st.from_regex(r"[A-Za-z._-]{1,45}", fullmatch=True))
def test_each_name_is_refused_or_is_one_for_python_and_for_a_host(text: str) -> None:
    try:
        names = names_of(text)
    except ProjectError:
        return
    assert re.fullmatch(r"[a-z]([a-z0-9-]{,61}[a-z0-9])?", names.project)  # RFC 1035, as services of Kubernetes
    assert names.package.isidentifier()
    assert not keyword.iskeyword(names.package)
    assert names.package not in sys.stdlib_module_names
    assert names_of(names.project) == names


def test_all_files_are_there_and_speak_of_the_new_project_only(tmp_path: Path) -> None:
    directory, count = make_project(NAMES, tmp_path)
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert len(files) == count == len(list(TEMPLATE.rglob("*.in")))
    for path in files:
        told = f"{path.relative_to(directory)} {path.read_text()}"
        assert not re.search("sample[-_ ]?service|HOMING_VERSION", told, re.IGNORECASE), path
        assert path.suffix != ".in"


def test_a_place_that_does_not_exist_is_made(tmp_path: Path) -> None:
    directory, _ = make_project(NAMES, tmp_path / "some" / "where")
    assert directory == tmp_path / "some" / "where" / "fine-service"
    assert (directory / "fine_service" / "app.py").is_file()


def test_an_empty_directory_is_filled(tmp_path: Path) -> None:
    (tmp_path / "fine-service").mkdir()
    make_project(NAMES, tmp_path)
    assert (tmp_path / "fine-service" / "README.md").is_file()


@pytest.mark.parametrize("kind", ["directory", "file", "broken link"])
def test_nothing_that_exists_is_overwritten(tmp_path: Path, kind: str) -> None:
    there = tmp_path / "fine-service"
    if kind == "directory":
        there.mkdir()
        (there / "mine").write_text("mine")
    elif kind == "file":
        there.write_text("mine")
    else:
        there.symlink_to(tmp_path / "nowhere")
    before = [path.name for path in tmp_path.rglob("*")]
    with pytest.raises(ProjectError, match=r"fine-service exists; remove it, or give another name"):
        make_project(NAMES, tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == before


def test_a_place_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ProjectError, match="file is not a directory; give another by --directory"):
        make_project(NAMES, tmp_path / "file")


@pytest.mark.parametrize("written", [0, 1, 10])
def test_a_disk_that_becomes_full_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int) -> None:
    write, left = Path.write_text, [written]

    def full(path: Path, *args: Any, **options: Any) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        left[0] -= 1
        return write(path, *args, **options)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        make_project(NAMES, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_project_that_another_program_makes_at_the_same_time_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def late(path: Path, target: Path) -> Path:
        target.mkdir()
        (target / "theirs").write_text("theirs")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", late)
    with pytest.raises(OSError, match="fine-service"):
        make_project(NAMES, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["fine-service"]
    assert [path.name for path in (tmp_path / "fine-service").iterdir()] == ["theirs"]
