"""The state of a process that crashes, or goes on in another OS process: the statsd example loses no counter."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import homing
from homing import gen, meta

from ..cli.conftest import runtime as runtime
from ..cli.load import drops
from ..cli.nodes import run, short_directory
from ..examples.test_examples import ROOT, Program
from ..support import eventually, free_port
from .counted import Service, Sums
from .figures import figure

HOST = "127.0.0.1"
AHEAD = 150
"""Datagrams that may wait at the socket: its buffer has room for more."""


class Sender:
    """Sends counters, never more ahead of what was published than the socket's buffer holds. sent: by name."""

    def __init__(self, port: int, sums: dict[str, float]) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._port = port
        self._sums = sums
        self.sent: dict[str, float] = {}

    def close(self) -> None:
        self._sock.close()

    def crash(self) -> None:
        self._sock.sendto(b"crash", (HOST, self._port))

    async def send(self, count: int) -> None:
        for number in range(count):
            name = f"name{number % 7}"
            self._sock.sendto(f"{name}:1|c".encode(), (HOST, self._port))
            self.sent[name] = self.sent.get(name, 0) + 1
            if number % 16 == 15:
                await eventually(lambda: sum(self.sent.values()) - sum(self._sums.values()) < AHEAD, "what was sent")
                await asyncio.sleep(0)

    async def all_counted(self) -> None:
        await eventually(lambda: sum(self._sums.values()) >= sum(self.sent.values()), f"{self.sent}, not {self._sums}")
        assert self._sums == self.sent
        assert drops(self._port) == 0


@pytest.mark.backends
async def test_case_52_statsd_loses_no_counter_over_twenty_crashes(node: homing.Node) -> None:
    port, sums = free_port(), {}
    sender = Sender(port, sums)
    await node.spawn(Service, port)
    await node.spawn(Sums, sums)
    try:
        for _ in range(20):
            await sender.send(100)
            sender.crash()
            await sender.send(50)
        await sender.all_counted()
    finally:
        sender.close()
    assert node.info().crashes == 20
    kept = node.process_info("statsd").kept
    assert kept is not None
    assert (kept.loads, kept.discarded, kept.failures) == (20, 0, 0)
    figure(52, "counters that statsd has lost in 20 crashes, of 3,000", 0)


@asynccontextmanager
async def generation(name: str, path: str, port: int, sums: dict[str, float]) -> AsyncIterator[homing.Node]:
    """One more program in the place of the one before."""
    options = gen.NodeOptions(handle_signals=False, stop_timeout=2.0, slow_callback_seconds=None)
    async with homing.start_node(name, options) as node:
        async with meta.TakeOver(node, path):
            await node.spawn(Service, port)
            await node.spawn(Sums, sums)
        yield node


@pytest.mark.backends
@pytest.mark.skipif(sys.platform != "linux", reason="sockets are handed over on Linux only")
async def test_case_52_statsd_loses_no_counter_over_five_upgrades() -> None:
    port, sums = free_port(), {}
    sender = Sender(port, sums)
    with short_directory() as directory:
        path = str(directory / "takeover")
        try:
            await upgrade(5, path, port, sums, sender)
        finally:
            sender.close()
    figure(52, "counters that statsd has lost in 5 upgrades and 5 crashes under load", 0)


async def upgrade(times: int, path: str, port: int, sums: dict[str, float], sender: Sender, *before: Any) -> None:
    """So many upgrades, with a crash before each, under load. before: the node before and what is still sent."""
    async with generation("statsd@localhost", path, port, sums) as node:
        if before:
            old, sending = before
            await eventually(lambda: old.info().state == "stopped")
            await sending
        await sender.send(50)
        if not times:
            await sender.all_counted()
            kept = node.process_info("statsd").kept
            assert kept is not None
            assert (kept.loads, kept.discarded) == (1, 0)
            return
        sender.crash()
        await eventually(lambda: restarted(node))  # in one program, both nodes would find the same sockets
        await upgrade(times - 1, path, port, sums, sender, node, asyncio.create_task(sender.send(400)))


def restarted(node: homing.Node) -> bool:
    """Statsd has been restarted after its crash."""
    process = next((one for one in map(node.process_info, node.processes()) if one.name == "statsd"), None)
    return node.info().crashes == 1 and process is not None and process.state is not gen.ProcessState.INIT


class Programs:
    """What the programs print, one after the other on the same output. served: how many have begun to serve."""

    def __init__(self, first: Program, sums: dict[str, float]) -> None:
        self._stdout: Any = first.process.stdout
        self._sums = sums
        self.serving = first.process.pid
        self.served = 0
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while line := (await self._stdout.readline()).decode():
            if line.startswith("{'name"):
                self._sums.update(ast.literal_eval(line))
            elif found := re.search(r"OS process (\d+) is to take over", line):
                self.serving = int(found[1])
            elif "homing top" in line:  # in its banner
                self.served += 1

    async def upgrade(self) -> None:
        os.kill(self.serving, signal.SIGUSR2)
        following = self.served + 1
        await eventually(lambda: self.served == following, "a successor")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="sockets are handed over on Linux only")
async def test_case_52_statsd_as_a_program_loses_no_counter_over_twenty_crashes_and_five_upgrades(
    runtime: Path,
) -> None:
    port, sums = free_port(), {}
    sender = Sender(port, sums)
    command = ("tests.faults.counted:Service", f"--env=port={port}", "--name=statsd@localhost")
    async with run(runtime, *command, cwd=ROOT) as running:
        programs = Programs(running, sums)
        await eventually(lambda: programs.served == 1)
        for _ in range(5):
            for _ in range(4):
                await sender.send(200)
                sender.crash()
            under_load = asyncio.create_task(sender.send(2000))
            await programs.upgrade()
            await under_load
        await sender.all_counted()
        os.kill(programs.serving, signal.SIGTERM)
        await programs.reading
    sender.close()
    assert sums == sender.sent
    sent = sum(sender.sent.values())
    figure(52, f"counters that the program has lost in 20 crashes and 5 upgrades, of {sent:,.0f}", 0)
