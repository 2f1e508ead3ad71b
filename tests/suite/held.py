"""`python -m tests.suite.held COMMAND...`: runs a command, and holds it now and then for a moment, as busy machines do.

Held is the program or one that it has started. A test that fails with it only minds how long something takes:

    python -m tests.suite.held .venv/bin/pytest -q tests/node
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

BETWEEN = (0.02, 0.5)
"""The shortest and the longest time in which it is let go, in seconds."""
MOMENTS = (0.01, 0.05, 0.15, 0.3, 0.6)
"""Seconds for which it is held."""


def family(pid: int) -> list[int]:
    """A program and those that it and they have started."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:  # it has ended
                continue
    return found


def may_be_held(pid: int) -> bool:
    """False if it has ended, or somebody else has stopped it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "TtXZ"
    except OSError:
        return False


def hold(pid: int, seconds: float) -> None:
    """Stops a program for so long."""
    try:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        pass


def main(command: list[str]) -> int:
    """Runs the command. Returns its exit code."""
    with subprocess.Popen(command) as process:
        try:
            while process.poll() is None:
                time.sleep(random.uniform(*BETWEEN))
                # half of the time the program itself, however many it has started
                pid = random.choice([process.pid, random.choice(family(process.pid))])
                if may_be_held(pid):
                    hold(pid, random.choice(MOMENTS))
        finally:
            process.kill()
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
