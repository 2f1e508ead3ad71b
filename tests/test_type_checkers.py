"""Type checkers know the API as its users write it. Each file says line by line what is right and what is an error."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = [str(HERE / "gen" / name) for name in ("typed_api.py", "typed_names.py")]


def run(*command: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_finds_the_types_and_the_errors_that_the_files_name() -> None:
    run("mypy", "--strict", *FILES)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("basedpyright") is None, reason="basedpyright is not installed: pip install basedpyright")
def test_pyright_finds_them_too(tmp_path: Path) -> None:
    settings = {
        "include": FILES,
        "extraPaths": [str(HERE.parent / "src")],
        "typeCheckingMode": "standard",
        "reportUnnecessaryTypeIgnoreComment": "error",
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    run("basedpyright", "--project", str(tmp_path), "--pythonpath", sys.executable)
