"""A program that is held again and again does what it does, and says how it has ended."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from . import held

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for programs in /proc")

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"])
time.sleep(60)
"""


def test_its_exit_code_is_that_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "BETWEEN", (0.0, 0.01))
    monkeypatch.setattr(held, "MOMENTS", (0.01,))
    assert held.main([sys.executable, "-c", "import sys; sys.exit(7)"]) == 7


def test_what_it_has_started_belongs_to_it_and_a_program_that_is_stopped_is_left_alone() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        try:
            assert parent.stdout is not None
            assert parent.stdout.readline() == b"1\n"
            one, child = held.family(parent.pid)
            assert one == parent.pid
            assert held.may_be_held(child)
            parent.send_signal(held.signal.SIGSTOP)
            while held.may_be_held(parent.pid):
                time.sleep(0.001)
            held.hold(child, 0.0)
            assert held.may_be_held(child)
        finally:
            for pid in reversed(held.family(parent.pid)):
                held.os.kill(pid, held.signal.SIGKILL)
    assert not held.may_be_held(parent.pid)
    assert held.family(parent.pid) == [parent.pid]
