"""Whatever a program hands to a UDP server, and does with what it gets, the server lives and its account is exact."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = float(os.environ.get("HOMING_FUZZ_SECONDS", "1"))
SEED = os.environ.get("HOMING_FUZZ_SEED", "1")


@pytest.mark.backends
@pytest.mark.timeout(SECONDS + 120)
def test_what_a_program_hands_to_a_server_costs_at_most_an_error(tmp_path: Path) -> None:
    progress = tmp_path / "progress"
    command = [sys.executable, "-m", "tests.meta.udp_server.hostile_data", "--seconds", str(SECONDS), "--seed", SEED]
    done = subprocess.run(
        [*command, "--progress", str(progress)],
        env=dict(os.environ, PYTHONFAULTHANDLER="1"),
        capture_output=True,
        text=True,
        timeout=SECONDS + 100,
    )
    case = progress.read_text().strip() if progress.exists() else "none"
    assert done.returncode == 0, f"exit {done.returncode} in case {case}\n{done.stdout[-2000:]}\n{done.stderr[-8000:]}"
    assert done.stdout.endswith(" cases\n")
