"""SIGUSR2: it starts a successor, or the log says why not; it never ends the program, and systemd is always told the
end of what it was told the beginning of."""

from __future__ import annotations

import ast
import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

import homing
from homing import cli
from homing.cli import upgrade, upgrade_signal

from ..examples.test_examples import Program, terminate
from ..notified import Manager
from ..support import UDPPeer, eventually, free_port
from .load import HOST
from .nodes import run, the_end
from .test_takeover import arguments, serves

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sockets are handed over on Linux only")

# --- it never ends the program ----------------------------------------------------------------------------


async def test_while_init_runs_it_is_refused_and_the_service_starts(runtime: Path, peer: UDPPeer) -> None:
    port = free_port()
    async with run(runtime, *arguments("Waiting", port, file=f"{runtime}/go")) as running:
        await running.line_with("has its sockets")
        running.process.send_signal(signal.SIGUSR2)
        await running.line_with("SIGUSR2: this node is still starting")
        (runtime / "go").touch()
        await serves(running)
        assert await peer.ask(b"1", (HOST, port)) == b"1 %d" % running.process.pid
        assert await terminate(running) == 0


async def test_while_the_node_stops_it_is_refused_and_the_stop_is_in_order(runtime: Path) -> None:
    async with run(runtime, "served:Stubborn", "--stop-timeout=3") as running:
        await running.line_with("no UDP server listens")
        running.process.send_signal(signal.SIGTERM)
        await running.line_with("ending")
        running.process.send_signal(signal.SIGUSR2)
        await running.line_with("SIGUSR2: this node is stopping")
        assert await the_end(running) == 1


@pytest.mark.parametrize("where", ["no control", "unsafe directory"])
async def test_where_nobody_can_take_over_it_is_refused(runtime: Path, peer: UDPPeer, where: str) -> None:
    (runtime / "homing").mkdir()
    (runtime / "homing").chmod(0o777)
    port = free_port()
    more, text = {
        "no control": (["--no-control"], "SIGUSR2: with --no-control no successor can take over"),
        "unsafe directory": ([], "SIGUSR2: no successor can take over from this node: others can enter"),
    }[where]
    async with run(runtime, *arguments("Service", port), *more) as running:
        await serves(running)
        running.process.send_signal(signal.SIGUSR2)
        await running.line_with(text)
        assert await peer.ask(b"1", (HOST, port)) == b"1 %d" % running.process.pid
        assert await terminate(running) == 0


@pytest.mark.parametrize("more", [[], ["--uvloop"], ["--processes=2"]])
async def test_a_rain_of_it_from_the_import_of_the_program_to_its_end_ends_nothing(
    runtime: Path, more: list[str]
) -> None:
    if "--uvloop" in more:
        pytest.importorskip("uvloop")
    async with run(runtime, "rained_on:Done", "--no-control", "--log-level=error", *more) as running:
        await running.line_with("imported")
        ending = asyncio.create_task(the_end(running))  # which reads what it says
        while not ending.done():
            with suppress(ProcessLookupError):
                os.kill(running.process.pid, signal.SIGUSR2)
            await asyncio.sleep(0.0005)
        assert await ending == 0


def test_no_handler_of_it_is_taken_back_by_an_event_loop() -> None:
    """That restores the default in between."""
    package = Path(cli.__file__).parents[1]
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "").endswith("_signal_handler"):
                assert "SIGUSR2" not in ast.unparse(node), path


# --- the successor that it starts ---------------------------------------------------------------------------


async def test_a_successor_that_fails_where_sigchld_is_ignored_is_noticed_once(runtime: Path, peer: UDPPeer) -> None:
    port, file = free_port(), runtime / "started"
    async with run(runtime, *arguments("ChildrenIgnored", port, file=str(file))) as running:
        await serves(running)
        for _ in range(2):
            running.process.send_signal(signal.SIGUSR2)
            await running.line_with("has ended (exit code unknown: SIGCHLD is ignored")
        before = ticks(running)
        for number in range(200):
            assert await peer.ask(b"%d" % number, (HOST, port)) == b"%d %d" % (number, running.process.pid)
        assert ticks(running) - before < 100  # of 10 ms: its loop does not spin
        assert await terminate(running) == 0
        rest = (await running.process.stdout.read()).decode()  # type: ignore[union-attr]
        assert rest.count("\n") < 10


def ticks(running: Program) -> int:
    """The processor time that a program has used, in ticks."""
    fields = Path(f"/proc/{running.process.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.fixture
async def manager(node: homing.Node, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Manager]:
    """Listens to the node, which is ready."""
    with Manager() as listening:
        monkeypatch.setenv("NOTIFY_SOCKET", listening.path)
        node.ready()
        assert await listening.next() == "READY=1"
        yield listening


@pytest.fixture
async def upgrading(node: homing.Node, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[upgrade.Upgrade]:
    """Starts successors that do nothing."""
    before = signal.getsignal(signal.SIGUSR2)
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, "-S", "-c", "import time; time.sleep(1000)"])
    upgrading = upgrade.Upgrade(node)
    upgrading.refusal = ""
    yield upgrading
    upgrading.close()
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_IGN
    signal.signal(signal.SIGUSR2, before)


async def reloaded(manager: Manager) -> None:
    """A reload has begun, and has ended."""
    assert (await manager.next()).startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert await manager.next() == "READY=1"


async def test_a_successor_that_cannot_be_started_is_told_and_can_be_tried_again(
    manager: Manager, upgrading: upgrade.Upgrade, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for gone in ("/no/such/python", "", None):
        monkeypatch.setattr(sys, "executable", gone)
        os.kill(os.getpid(), signal.SIGUSR2)
        await reloaded(manager)
    assert caplog.text.count("no successor can be started: No such file or directory; this program continues") == 3


async def test_a_successor_that_never_comes_to_take_over_is_killed_and_the_reload_ends(
    manager: Manager, upgrading: upgrade.Upgrade, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(upgrade, "MOST_SECONDS", 0.1)
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGUSR2)
        await reloaded(manager)
    assert caplog.text.count("which was to take over, has ended (-9); this program continues") == 2


async def test_a_second_signal_starts_no_second_successor(
    manager: Manager, upgrading: upgrade.Upgrade, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    os.kill(os.getpid(), signal.SIGUSR2)
    assert (await manager.next()).startswith("RELOADING=1")
    os.kill(os.getpid(), signal.SIGUSR2)
    await eventually(lambda: "SIGUSR2: a successor is starting already" in caplog.text)
    assert manager.waiting() == []
    os.kill(started(caplog), signal.SIGKILL)
    await eventually(lambda: "has ended (-9)" in caplog.text)
    assert await manager.next() == "READY=1"


def started(caplog: pytest.LogCaptureFixture) -> int:
    """The successor that the log names."""
    return int(caplog.text.partition("SIGUSR2: OS process ")[2].partition(" ")[0])


async def test_the_signal_waits_while_a_successor_is_not_ready_for_it(
    manager: Manager, upgrading: upgrade.Upgrade, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It can come before any code of the successor has run."""
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, "-c", SUCCESSOR])
    upgrade_signal.call(upgrading.start)
    caplog.set_level("INFO")
    os.kill(os.getpid(), signal.SIGUSR2)
    await eventually(lambda: "is to take over" in caplog.text)
    os.kill(started(caplog), signal.SIGUSR2)
    await eventually(lambda: "has ended (3); this program continues" in caplog.text)


SUCCESSOR = """
import os, signal
from homing.cli import upgrade_signal
while signal.SIGUSR2 not in signal.sigpending():
    signal.sigtimedwait([signal.SIGALRM], 0.001)
upgrade_signal.hold()
os.kill(os.getpid(), signal.SIGUSR2)
raise SystemExit(3)
"""
