"""A failed allocation: one that fails at any place in a wake-up leaves no process unscheduled and no datagram
uncounted."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from ..examples.test_examples import ROOT
from ..support import DEADLINE, examples

pytestmark = pytest.mark.skipif(importlib.util.find_spec("_testcapi") is None, reason="Python has no _testcapi")

SERVICES = [
    *("echo", "waiting", "coroutine", "calling", "batches", "pooled"),
    *("lone-echo", "lone-waiting", "lone-calling", "lone-onthread"),
    *("narrow", "workers", "ticking", "threaded", "onthread"),
]


@pytest.mark.thorough
@pytest.mark.backends
@pytest.mark.timeout(11 * DEADLINE)
def test_each_allocation_of_a_wake_up_may_fail_once(backend: str) -> None:
    most, step = examples(100, 250), examples(20, 1)  # one program for all: to start it takes longer than the rest
    command = [sys.executable, "-m", "tests.faults.starved", backend, str(most), str(step), *SERVICES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=10 * DEADLINE, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("survived, ")
    assert int(done.stdout.split()[1]) >= len(SERVICES)
