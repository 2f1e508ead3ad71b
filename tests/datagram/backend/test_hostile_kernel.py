"""Whatever the system's calls return, no memory is read or written that is not ours: `hostile.c` makes it up."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from homing.datagram import why_portable

SECONDS = float(os.environ.get("HOMING_FUZZ_SECONDS", "1"))
"""For each of the drivers. More with the sanitizers, which see what else would only perhaps crash."""
SEED = os.environ.get("HOMING_FUZZ_SEED", "1")
COMPILER = shutil.which("gcc")


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hostile kernel, to be preloaded."""
    made = tmp_path_factory.mktemp("hostile") / "hostile.so"
    source = Path(__file__).with_name("hostile.c")
    clean = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    command = ["gcc", "-O1", "-g", "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(made), str(source), "-ldl"]
    subprocess.run(command, check=True, env=clean)
    return made


@pytest.mark.skipif(COMPILER is None, reason="gcc is not installed")
@pytest.mark.backends("native")
@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.parametrize("driver", ["tests.datagram.backend.hostile", "tests.meta.udp_server.hostile_server"])
def test_a_lying_kernel_makes_nobody_touch_foreign_memory_nor_lose_count(
    driver: str, library: Path, tmp_path: Path
) -> None:
    assert not why_portable()
    progress = tmp_path / "progress"
    # before the sanitizers, which would check what it was given by what it returns
    preload = " ".join(filter(None, (str(library), os.environ.get("LD_PRELOAD"))))
    sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    done = subprocess.run(
        [sys.executable, "-m", driver, "--seconds", str(SECONDS), "--seed", SEED, "--progress", str(progress)],
        env=dict(os.environ, LD_PRELOAD=preload, ASAN_OPTIONS=sanitizer, PYTHONFAULTHANDLER="1"),
        capture_output=True,
        text=True,
        timeout=SECONDS + 100,
    )
    case = progress.read_text().strip() if progress.exists() else "none"
    assert done.returncode == 0, f"exit {done.returncode} in case {case}\n{done.stdout[-2000:]}\n{done.stderr[-8000:]}"
    assert done.stdout.endswith(" cases\n")
