"""What the system lets us use is found out as the program runs; it serves on the next best way, and tells which."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from homing import gen
from homing.datagram import VARIABLE
from homing.datagram.backend import contract as backend

from ..filters import RECVMMSG, SENDMMSG, UDP_GRO, UDP_SEGMENT, needs_filters

ROOT = Path(__file__).parents[2]
WARNING = "portable datagram backend"


def serve(*filters: str, **environment: str) -> tuple[dict[str, Any], str]:
    """Runs a program that echoes behind these filters. What it found, and its log."""
    own = {name: value for name, value in os.environ.items() if name != VARIABLE}
    done = subprocess.run(
        [sys.executable, "-m", "tests.install.echo", *filters],
        cwd=ROOT,
        env={**own, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    log = [line for line in done.stderr.splitlines(keepends=True) if not line.startswith("the machine is busy")]
    return json.loads(done.stdout.splitlines()[-1]), "".join(log)


@pytest.fixture(scope="module")
def needs_native() -> None:
    reason = backend._probe()
    if reason:
        pytest.skip(reason)


@pytest.mark.usefixtures("needs_native")
@needs_filters
@pytest.mark.parametrize("error", ["ENOSYS", "EPERM"])
@pytest.mark.parametrize(("call", "name"), [(RECVMMSG, "recvmmsg"), (SENDMMSG, "sendmmsg")])
def test_where_a_filter_takes_a_system_call_away_the_portable_backend_serves_and_the_log_says_so_once(
    call: int, name: str, error: str
) -> None:
    found, log = serve(f"refuse:{call}:{error}")
    assert found == {"echoed": [True, True], "failed": 0, "backend": "portable", "gro": False, "gso": False}
    assert log.count(WARNING) == 1
    assert f"{name}: {os.strerror(getattr(errno, error))}" in log


@pytest.mark.usefixtures("needs_native")
@needs_filters
@pytest.mark.parametrize(("option", "lost"), [(UDP_GRO, "gro"), (UDP_SEGMENT, "gso")])
def test_where_the_kernel_does_not_join_or_split_datagrams_the_native_backend_serves_without(
    option: int, lost: str
) -> None:
    found, log = serve(f"refuse_option:{option}:ENOPROTOOPT")
    assert found == {"echoed": [True, True], "failed": 0, "backend": "native", "gro": True, "gso": True, lost: False}
    assert log == ""


@pytest.mark.usefixtures("needs_native")
def test_without_any_filter_the_native_backend_serves_and_there_is_nothing_to_say() -> None:
    found, log = serve()
    assert found["backend"] == "native"
    assert found["echoed"] == [True, True]
    assert log == ""


@pytest.mark.usefixtures("needs_native")
@needs_filters
def test_who_asks_for_the_portable_backend_is_not_told_that_it_serves() -> None:
    found, log = serve(f"refuse:{RECVMMSG}:EPERM", HOMING_DATAGRAM="portable")
    assert (found["backend"], log) == ("portable", "")


@pytest.mark.usefixtures("needs_native")
@pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace: root only")
def test_a_system_without_any_network_that_is_up_has_the_native_backend_too() -> None:
    program = "from homing.datagram import why_portable; print(why_portable() or 'native')"
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "native\n"


@pytest.mark.parametrize("wish", ["nonsense", "Native", "1"])
def test_a_wish_for_what_is_no_backend_is_refused(wish: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, wish)
    with pytest.raises(gen.BadOption, match=f"{VARIABLE}.*native or portable"):
        backend.why_portable()


@pytest.mark.parametrize("reason", ["", "recvmmsg: no"])
def test_the_portable_backend_serves_who_asks_for_it(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "portable")
    monkeypatch.setattr(backend, "_probe", lambda: reason)
    assert backend.why_portable() == f"{VARIABLE} asks for it"


@pytest.mark.parametrize("wish", [None, "", "native"])
def test_the_native_backend_serves_where_it_can(wish: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "_probe", lambda: "")
    if wish is None:
        monkeypatch.delenv(VARIABLE, raising=False)
    else:
        monkeypatch.setenv(VARIABLE, wish)
    assert backend.why_portable() == ""


def test_a_wish_for_the_native_backend_is_refused_with_the_reason_where_it_cannot_serve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backend, "_probe", lambda: "recvmmsg: Operation not permitted")
    monkeypatch.setenv(VARIABLE, "native")
    with pytest.raises(gen.BadOption, match="recvmmsg: Operation not permitted"):
        backend.why_portable()
    monkeypatch.delenv(VARIABLE)
    assert backend.why_portable() == "recvmmsg: Operation not permitted"
