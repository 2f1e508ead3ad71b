"""The programs in C: the load generator, and servers to compare with. Compiled when they are first needed."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile

_SOURCES = {
    "load": ("load.c", "load_flood.c", "load_echo.c"),
    "servers": ("servers.c",),
    "mark": ("instructions/mark.c",),
}

_folders: list[tempfile.TemporaryDirectory[str]] = []
"""The compiled programs are removed when this process ends."""


def program(name: str) -> str | None:
    """Returns the path of the program `load` or `servers`; None if there is no compiler, or the system is not Linux."""
    return _compiled(name)


def library(name: str) -> str | None:
    """Returns the path of the shared library `mark`; None if it cannot be compiled: it needs valgrind's headers."""
    return _compiled(name, "-shared", "-fPIC")


@functools.cache
def _compiled(name: str, *options: str) -> str | None:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if sys.platform != "linux" or compiler is None:
        return None
    folder = tempfile.TemporaryDirectory(prefix="homing-bench-")
    _folders.append(folder)
    binary = os.path.join(folder.name, name)
    here = os.path.dirname(__file__)
    sources = [os.path.join(here, source) for source in _SOURCES[name]]
    compiled = subprocess.run([compiler, "-O2", *options, "-o", binary, *sources], check=False)
    return binary if compiled.returncode == 0 else None
