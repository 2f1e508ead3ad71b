"""The contract suites hold while finalizers run wherever the runtime makes an object."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from .runs import ROOT

CONTRACTS = [
    "tests/datagram/backend/test_receiving.py",
    "tests/datagram/backend/test_sending.py",
    "tests/datagram/backend/test_packet_info.py",
    "tests/node/mailbox",
    "tests/node/messaging/test_calls.py",
    "tests/node/messaging/test_delivery.py",
]
TIMED = "not slow and not serial"


def run(*arguments: str, seconds: float) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    command = [sys.executable, "-X", "faulthandler", "-m", "pytest", "-q", "--littered", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "--timeout", str(seconds), *arguments],
        cwd=ROOT,
        env=own,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-4000:]}"


def test_mailboxes_do_what_they_promise_while_finalizers_run() -> None:
    run("tests/node/mailbox/test_lane.py", "tests/node/mailbox/test_mailbox.py", seconds=50)


@pytest.mark.slow
@pytest.mark.timeout(1000)
def test_the_contract_suites_hold_while_finalizers_run() -> None:
    run(*CONTRACTS, "-m", TIMED, seconds=900)
