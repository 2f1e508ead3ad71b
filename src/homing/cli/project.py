"""Makes the files of a new project, for `homing new`.

`template` is a whole project named `sample-service`. Each of its files has ".in" behind its name, so that no tool takes
it for a part of this package. A new project is a copy with other names.
"""

from __future__ import annotations

import functools
import keyword
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path

from .. import __version__
from ..gen import HomingError

TEMPLATE = Path(__file__).parent / "template"

LONGEST = 40
"""Characters of a name. Kubernetes adds up to 17 to it for a pod, whose name may have 63 (RFC 1123)."""

EXAMPLE = "give letters, digits and hyphens, beginning with a letter"

_NAME = re.compile(r"[A-Za-z](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_FOLDERS = {"deploy", "tests"}
"""Folders of a project, which its package stands beside."""
_IMPORTED = {"homing", "pytest"}
"""Modules that a project imports."""


_installed = functools.cache(packages_distributions)


class ProjectError(HomingError):
    """The project cannot be made. The text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Names:
    """The names of a project.

    project: of its directory, distribution, image and units, normalized as in PEP 503: "my-service".
    package: to import: "my_service".
    """

    project: str
    package: str


def names_of(text: str) -> Names:
    """Returns the names of a project that its user calls `text`. Raises `ProjectError`."""
    if not _NAME.fullmatch(text):
        raise ProjectError(f"{text!r} is not a name of a project; {_hint(text)}")
    project = re.sub(r"[-_.]+", "-", text).lower()
    if len(project) > LONGEST:
        raise ProjectError(f"{text!r} has {len(project)} characters; give {LONGEST} at most")
    package = project.replace("-", "_")
    if taken := _taken(package):
        raise ProjectError(
            f"{text!r} is not possible: {package!r} is {taken}; give another name, such as {project}-udp"
        )
    return Names(project, package)


def _hint(text: str) -> str:
    """Returns what to do about a text that is not a name."""
    path = Path(text)
    if path.name != text and _NAME.fullmatch(path.name):
        return f"give the name alone, and its place apart: {path.name} --directory {path.parent}"
    like = re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-0123456789").lower()[:LONGEST].rstrip("-")
    return f"{EXAMPLE}: {'my-service' if not like or _taken(like.replace('-', '_')) else like}"


def _taken(package: str) -> str:
    """Returns whose name it is already; "" if nobody's."""
    if keyword.iskeyword(package):
        return "a keyword of Python"
    if package in sys.stdlib_module_names:
        return "a module of Python"
    if package in _FOLDERS:
        return "another folder of the project"
    if package in _IMPORTED:
        return "a module that the project imports"
    if owners := _installed().get(package):
        return f"a module of {owners[0]}, which is installed here"
    return ""


def make_project(names: Names, parent: Path) -> tuple[Path, int]:
    """Makes the project in a new directory in `parent`, all of its files or nothing.

    Returns the path of the directory, and the number of files. Raises `ProjectError`; `OSError`.
    """
    directory = parent / names.project
    if os.path.lexists(directory) and (not directory.is_dir() or any(directory.iterdir())):
        raise ProjectError(f"{directory} exists; remove it, or give another name, or another place by --directory")
    if parent.exists() and not parent.is_dir():
        raise ProjectError(f"{parent} is not a directory; give another by --directory")
    parent.mkdir(parents=True, exist_ok=True)
    templates = sorted(TEMPLATE.rglob("*.in"))
    with tempfile.TemporaryDirectory(prefix=f".{names.project}-", dir=parent) as building:
        unfinished = Path(building, "project")
        for template in templates:
            path = unfinished / _renamed(str(template.relative_to(TEMPLATE).with_suffix("")), names)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_renamed(template.read_text(encoding="utf-8"), names), encoding="utf-8")
        unfinished.rename(directory)  # fails if another program has made it meanwhile, and it is not empty
    return directory, len(templates)


def _renamed(text: str, names: Names) -> str:
    text = text.replace("sample-service", names.project).replace("sample_service", names.package)
    return text.replace("HOMING_VERSION", __version__.partition("+")[0])  # no requirement has a local version
