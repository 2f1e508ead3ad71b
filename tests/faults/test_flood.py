"""Millions of datagrams leave the resident memory flat: nothing is kept of one once it was handled."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ..meta.servers import HOST, create
from .figures import figure
from .test_soak import resident

GROWTH = 2 * 1024 * 1024
"""Bytes that may come on top after the first tenth: a quarter of an octet for each of ten million datagrams."""

FLOOD = """
import socket, struct, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((sys.argv[1], 0))
sock.setsockopt(17, 103, 32)  # UDP_SEGMENT
sizes = [bytes(32 * count - rest) for count in (64, 3, 20, 1) for rest in (0, 7)]
while True:
    for data in sizes:
        sock.sendto(data, (sys.argv[1], int(sys.argv[2])))
"""
"""A program that sends without end, in trains."""

pytestmark = [
    pytest.mark.backends,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.skipif(sys.platform != "linux", reason="sends with UDP_SEGMENT, and reads memory from /proc"),
]


@contextlib.contextmanager
def flood(server: meta.UDPServer) -> Iterator[None]:
    """Floods the server from another program."""
    host, port = server.local_address
    with subprocess.Popen([sys.executable, "-c", FLOOD, host, str(port)]) as program:
        try:
            yield
        finally:
            program.kill()


class Counter(act.Actor):
    """Counts what comes, and tells when it was as many as asked for."""

    def init(self, marks: dict[int, asyncio.Event]) -> None:
        self.marks = marks
        self.count = 0

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.count += 1
        if self.count in self.marks:
            self.marks[self.count].set()


class Answering(Counter):
    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.send(message.id, message.reply(message.data))
        super().handle_message(sender, message)


class InBatches(Counter):
    def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        for _ in range(batch.count):
            self.handle_message(self.pid, None)


@pytest.mark.parametrize(
    ("behavior", "native", "portable"),
    [(Counter, 10_000_000, 2_000_000), (InBatches, 10_000_000, 1_000_000), (Answering, 2_000_000, 1_000_000)],
)
async def test_millions_of_datagrams_leave_the_resident_memory_flat(
    behavior: type[Counter], native: int, portable: int, backend: str, node: homing.Node
) -> None:
    total = native if backend == "native" else portable
    marks = {total // 10: asyncio.Event(), total: asyncio.Event()}
    pid = await node.spawn(behavior, marks)
    server = create(host=HOST, process=pid, receive_buffer=1 << 20)
    await node.spawn(Owner, server)
    with flood(server):
        memory = []
        for mark in marks.values():
            await asyncio.wait_for(mark.wait(), 120)
            gc.collect()
            memory.append(resident())
    growth = memory[1] - memory[0]
    figure(
        38,
        f"growth over {total * 9 // 10:,} datagrams ({behavior.__name__})",
        f"{growth / 1024:+.0f} KiB, {growth / (total * 0.9):+.3f} B each",
    )
    statistics = server.statistics()
    assert statistics.packets_in >= total
    if behavior is Answering:
        assert statistics.packets_out + statistics.dropped_send_queue > total - 2 * 1024  # a mailbox full, each way
    assert growth < GROWTH


class Owner(act.Actor):
    async def init(self, server: meta.UDPServer) -> None:
        await self.spawn_meta(server)
