"""The report of a program that `homing run --reload` watches: the files of its modules, and that it serves.

Both go to the watching program through a pipe, whose number is in an environment variable, one line of JSON each.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType

VARIABLE = "HOMING_REPORT"

MOST_FILES = 5000
"""Most files that are watched: to look at so many takes some 10 ms."""

_HOMING = Path(os.path.realpath(__file__)).parents[1]
_LIBRARIES = ("site-packages", "dist-packages")


class Report:
    """Writes the report; without a watching program, does nothing."""

    def __init__(self) -> None:
        text = os.environ.pop(VARIABLE, "")  # programs that this one starts must not write there
        self._descriptor = int(text) if text.isdecimal() else -1
        if self._descriptor >= 0:
            os.set_inheritable(self._descriptor, False)

    def loaded(self, target: str, error: BaseException | None = None) -> None:
        """Reports the files of the modules of the project, and those that `error`, raised by one of them, is from."""
        if self._descriptor < 0:
            return
        roots = project_roots(target)
        broken = [file for file in _files_of_error(error) if is_of_project(file, roots)]
        missing = [file for file in _missing_files(error, roots) if broken]
        files = [file for file in _files_of_modules() if is_of_project(file, roots)]
        found = dict.fromkeys([*broken, *missing, *files])
        self._write({"files": list(found)[:MOST_FILES], "broken": bool(broken)})

    def serving(self, target: str) -> None:
        """Reports that the program serves."""
        self.loaded(target)
        self._write({"serving": True})

    def _write(self, record: dict[str, object]) -> None:
        data = json.dumps(record).encode() + b"\n"
        try:
            while self._descriptor >= 0 and data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            self._descriptor = -1  # the watching program has ended


def project_roots(target: str) -> list[Path]:
    """Returns the directories of the project: the current one, and the one in which the target's package is."""
    roots = [Path.cwd()]
    file = _file_of(sys.modules.get(target.partition(":")[0].partition(".")[0]))
    if file:
        path = Path(os.path.realpath(file))
        roots.append(path.parent.parent if path.name == "__init__.py" else path.parent)
    return [Path(os.path.realpath(root)) for root in roots]


def is_of_project(file: str, roots: list[Path]) -> bool:
    """Returns True for a Python source in one of `roots` that is not installed there, as in a `.venv`."""
    path = Path(os.path.realpath(file))
    root = next((root for root in roots if path.is_relative_to(root)), None)
    if root is None or path.suffix != ".py" or path.is_relative_to(_HOMING):
        return False
    places = path.relative_to(root).parts[:-1]
    return not any(place in _LIBRARIES or place.startswith(".") for place in places)


def _files_of_modules() -> Iterator[str]:
    yield from filter(None, map(_file_of, list(sys.modules.values())))


def _file_of(module: object) -> str:
    with suppress(Exception):  # `sys.modules` may contain objects of any class
        file = getattr(module, "__file__", None)
        return file if type(file) is str else ""
    return ""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _files_of_error(error: BaseException | None) -> Iterator[str]:
    for each in _chain(error):
        if isinstance(each, SyntaxError) and each.filename:
            yield each.filename
        yield from _files_of_traceback(each.__traceback__)


def _missing_files(error: BaseException | None, roots: list[Path]) -> Iterator[str]:
    """Yields the files in which modules may be written that are missing."""
    for each in _chain(error):
        if isinstance(each, ModuleNotFoundError) and each.name:
            for place in (root.joinpath(*each.name.split(".")) for root in roots):
                yield from (f"{place}.py", f"{place}/__init__.py")


def _files_of_traceback(trace: TracebackType | None) -> Iterator[str]:
    while trace is not None:
        yield trace.tb_frame.f_code.co_filename
        trace = trace.tb_next
