"""Case 18: more comes than is handled. Memory is bounded by configuration, and every datagram is accounted for."""

from __future__ import annotations

import asyncio
import gc
import resource
import socket
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

import homing

from ..examples.test_examples import program
from ..meta.servers import Gate, Gated, open_server
from ..support import Probe, eventually
from .figures import figure
from .test_soak import resident

pytestmark = pytest.mark.backends

FLOOD = 50_000
SIZE = 64
HIGH = 512


def send_many(address: tuple[Any, ...], count: int, size: int = SIZE) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        for _ in range(count):
            sock.send(bytes(size))


async def test_case_18_a_slow_handler_under_flood_costs_bounded_memory_and_every_datagram_is_accounted_for(
    node: homing.Node, probe: Probe
) -> None:
    gate = Gate()
    receiver = await node.spawn(Gated, gate)
    server, _ = await open_server(probe, process=receiver, high_water=HIGH)
    gc.collect()
    tracemalloc.start()
    try:
        await asyncio.to_thread(send_many, server.local_address, FLOOD)
        await eventually(lambda: server.statistics().pauses > 0)
        grown = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    taken = server.statistics().packets_in
    assert node.process_info(receiver).mailbox.main <= HIGH
    assert grown < 2 * HIGH * 1024, "more than a kilobyte for each datagram that may wait, twice"
    gate.let(FLOOD)

    def accounted() -> int:
        statistics = server.statistics()
        assert statistics.kernel_drops is not None
        return statistics.delivered + statistics.kernel_drops

    await eventually(lambda: accounted() == FLOOD)
    await gate.passed_by(server.statistics().delivered)
    residue = FLOOD - len(gate.passed) - (server.statistics().kernel_drops or 0)
    figure(18, f"of {FLOOD:,}: taken while the handler slept, growth of memory", f"{taken}, {grown / 1024:.0f} KiB")
    figure(
        18,
        "handled in the end + dropped by the kernel, and unaccounted for",
        f"{len(gate.passed)} + {server.statistics().kernel_drops}, {residue}",
    )
    assert residue == 0


def allow_more_data(pid: int, size: int) -> None:
    """Limits the data segment of a program to what it has now, and `size` bytes more."""
    status = Path(f"/proc/{pid}/status").read_text()
    most = int(status.partition("VmData:")[2].split()[0]) * 1024 + size
    resource.prlimit(pid, resource.RLIMIT_DATA, (most, most))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits and reads memory as Linux does")
async def test_case_18_a_flood_of_a_million_does_not_exhaust_a_program_that_may_have_little_memory() -> None:
    """The limit is on the data segment: what the program has at its start, and 64 MB."""
    async with program("-m", "tests.faults.service", "4") as running:
        port = await running.port()
        limit = 64 << 20
        allow_more_data(running.process.pid, limit)
        before = resident(running.process.pid)
        await asyncio.to_thread(send_many, ("127.0.0.1", port), 1_000_000, 512)
        grown = resident(running.process.pid) - before
        running.process.terminate()
        taken, answered = [int(text) for text in (await running.line_with("taken")).split()[1::2]]
        dropped = int((await running.line_with("dropped")).split()[1])
        assert await running.end() == 0
    figure(18, "a flood of 1,000,000: answered, dropped, growth of memory", f"{answered}, {dropped}, {grown >> 10} KiB")
    assert taken == answered
    assert 0 < taken + dropped <= 1_000_000
    assert grown < limit
