"""A project that `homing new` has made, for the tests of its files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from homing.cli.project import make_project, names_of

from .nodes import environment

NAME = "fine-service"


def homing_new(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`homing new`: its exit code and outputs."""
    command = [sys.executable, "-m", "homing", "new", *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment(cwd), capture_output=True, text=True, timeout=60, check=False
    )


def made(cwd: Path) -> Path:
    """Makes a project, and returns its directory."""
    return make_project(names_of(NAME), cwd)[0]
