"""Runs of pytest within a test, with plugins of this suite: those of other tests than ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .runs import ROOT

WITHOUT = [word for name in ("randomly", "cacheprovider", "schemathesis", "anyio") for word in ("-p", f"no:{name}")]
"""Plugins that these runs do not need. To import one of them takes longer than all else."""


def pytest_in(folder: Path, plugins: tuple[str, ...], *arguments: str) -> tuple[int, str]:
    """Runs pytest in `folder`, with these modules of `tests` as plugins. Returns its exit code and its output."""
    given = [word for name in plugins for word in ("-p", f"tests.{name}")]
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *given, *WITHOUT, *arguments],
        cwd=folder,
        env={**own, "PYTHONPATH": os.pathsep.join(filter(None, [own.get("PYTHONPATH"), str(ROOT)]))},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr
