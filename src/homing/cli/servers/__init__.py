"""The servers of `homing demo NAME`: the modules of `examples/servers`.

A wheel has a copy of them in this folder (setup.py); in a source tree, and in an editable install of one, they are
imported from `examples/servers`.
"""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from types import ModuleType

_SOURCES = Path(__file__).parents[4] / "examples" / "servers"
if (_SOURCES.parents[1] / "src" / "homing") == Path(__file__).parents[2] and _SOURCES.is_dir():
    __path__.append(str(_SOURCES))


def names() -> list[str]:
    """Returns the names of the servers, sorted."""
    return sorted(_files())


def summary(name: str) -> str:
    """Returns the first line of a server's docstring. Imports nothing: the server's libraries may be missing."""
    text = ast.get_docstring(ast.parse(_files()[name].read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def load(name: str) -> ModuleType:
    """Returns the module of a server. Raises `ModuleNotFoundError` if one of its libraries is missing."""
    return importlib.import_module(f"{__name__}.{name}")


def _files() -> dict[str, Path]:
    return {path.stem: path for folder in __path__ for path in Path(folder).glob("[!_]*.py")}
