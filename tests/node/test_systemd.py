"""What a node tells systemd: ready, alive, stopping; and nothing where nobody wants to be told."""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import homing
from homing import act, gen
from homing.datagram.sockets import inherited
from homing.node import systemd

from ..notified import Manager
from ..support import eventually, in_thread

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux only")
NAME = "test@localhost"


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    with Manager() as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", manager.path)
        monkeypatch.delenv("WATCHDOG_USEC", raising=False)
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        yield manager


async def test_ready_and_stopping_are_told(manager: Manager) -> None:
    async with homing.start_node(NAME) as node:
        assert manager.waiting() == []
        node.ready("serves\nwell")
        assert manager.waiting() == ["READY=1\nSTATUS=serves well"]
        node.ready("serves still")
        assert manager.waiting() == ["READY=1\nSTATUS=serves still"]
    assert manager.waiting() == ["STOPPING=1"]


async def test_a_node_that_was_never_ready_does_not_tell_that_it_stops(manager: Manager) -> None:
    async with homing.start_node(NAME):
        pass
    assert manager.waiting() == []


async def test_a_socket_with_a_path_is_told_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Manager(str(tmp_path / "notify")) as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", manager.path)
        assert systemd.notify("READY=1", "STATUS=x")
        assert manager.waiting() == ["READY=1\nSTATUS=x"]


async def test_where_nobody_wants_to_be_told_nothing_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not systemd.notify("READY=1")


@pytest.mark.parametrize("path", ["/nowhere/at/all", "@nobody-is-there"])
async def test_a_manager_that_cannot_be_told_is_logged_and_the_node_goes_on(
    path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    async with homing.start_node(NAME) as node:
        node.ready()
        assert "systemd was not notified of READY=1: " in caplog.text
        assert node.info().state == "running"


async def test_a_manager_that_reads_nothing_holds_the_loop_up_for_a_moment_only(
    manager: Manager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(systemd, "_BLOCKED", 0.01)
    with pytest.raises(TimeoutError):
        fill()
    async with homing.start_node(NAME) as node:
        node.ready()
        assert "systemd was not notified of READY=1: timed out" in caplog.text


def fill() -> None:
    for _ in range(10_000):
        systemd.notify("STATUS=more")


# --- the watchdog -----------------------------------------------------------------------------------------


async def test_it_tells_that_it_lives_from_the_time_it_is_ready_to_its_end(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    async with homing.start_node(NAME) as node:
        node.ready()
        assert [await manager.next() for _ in range(5)] == ["READY=1", *["WATCHDOG=1"] * 4]
    rest = manager.waiting()
    assert [text for text in rest if text != "WATCHDOG=1"] == ["STOPPING=1"]


async def test_it_is_told_twice_in_the_time_that_systemd_allows(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    async with homing.start_node(NAME) as node:
        began = time.monotonic()
        node.ready()
        await manager.until("WATCHDOG=1")
        for _ in range(4):
            await manager.next()
        assert time.monotonic() - began >= 4 * 0.05 - 0.001


async def test_a_loop_that_is_blocked_tells_nothing(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "2000")

    class Blocking(act.Actor):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            manager.waiting()
            time.sleep(0.05)
            said.append(manager.waiting())

    said: list[list[str]] = []
    async with homing.start_node(NAME, gen.NodeOptions(slow_callback_seconds=None)) as node:
        node.ready()
        node.send(await node.spawn(Blocking), "block")
        await eventually(lambda: said)
        assert said == [[]]
        await manager.until("WATCHDOG=1")


@pytest.mark.parametrize(("usec", "pid"), [("20000", "1"), ("", ""), ("much", None)])
async def test_where_no_watchdog_is_asked_of_this_program_it_tells_nothing(
    manager: Manager, monkeypatch: pytest.MonkeyPatch, usec: str, pid: str | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    if pid is not None:
        monkeypatch.setenv("WATCHDOG_PID", pid)
    assert systemd.watchdog_seconds() == 0.0


# --- homing.run -------------------------------------------------------------------------------------------


class Brief(act.Actor):
    def init(self) -> None:
        self.send_after(self.pid, "end", 0.01)

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        raise gen.TerminateNormal


class Application(gen.Application):
    def load(self, node: Any, *args: Any) -> gen.ApplicationSpec:
        members = (gen.ApplicationMember(behavior=Brief),)
        return gen.ApplicationSpec(name="brief", members=members, mode=gen.ApplicationMode.PERMANENT)


@pytest.mark.parametrize("main", [Brief, Application])
def test_a_behavior_or_application_that_is_run_tells_when_it_has_started_and_when_it_stops(
    manager: Manager, main: Any
) -> None:
    in_thread(lambda: homing.run(main))
    assert manager.waiting() == ["READY=1", "STOPPING=1"]


class Broken(act.Actor):
    def init(self) -> None:
        raise ValueError("fault")


def test_what_cannot_be_started_is_never_ready(manager: Manager) -> None:
    with pytest.raises(ValueError, match="fault"):
        in_thread(lambda: homing.run(Broken))
    assert manager.waiting() == []


def test_a_system_without_unix_sockets_tells_nobody(monkeypatch: pytest.MonkeyPatch, manager: Manager) -> None:
    monkeypatch.delattr(socket, "AF_UNIX")
    assert not systemd.notify("READY=1")


@pytest.fixture(autouse=True)
def log_is_seen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)


async def test_a_program_that_never_says_that_it_is_ready_is_told_of_unused_sockets_after_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(systemd, "UNUSED_AFTER", 0.01)
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    one = inherited.Inherited(sock.detach(), "dns")
    inherited.keep([one])
    try:
        async with homing.start_node(NAME):
            await eventually(lambda: "no server uses these sockets" in caplog.text)
            assert str(one) in caplog.text
    finally:
        inherited.discard([one])


@pytest.mark.parametrize(
    ("microseconds", "seconds"),
    [
        ("1000000", 1.0),
        ("1", 0.002),
        ("0", 0.0),
        ("", 0.0),
        ("-1", 0.0),
        ("1.5", 0.0),
        ("٣", 0.0),
        ("9" * 19, 3155760000.0),
        (str(2**64 - 1), 0.0),
        ("9" * 400, 0.0),
        ("9" * 5000, 0.0),
    ],
)
def test_a_time_of_the_watchdog_that_cannot_be_meant_is_none(
    monkeypatch: pytest.MonkeyPatch, microseconds: str, seconds: float
) -> None:
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    assert systemd.watchdog_seconds() == seconds
