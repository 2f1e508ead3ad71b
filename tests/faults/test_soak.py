"""Case 45, the long run: under traffic, crashes and restarts, memory, descriptors and tasks stay where they were."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ..conftest import open_descriptors
from ..support import busy_tasks, eventually
from .figures import figure

pytestmark = pytest.mark.backends

DATAGRAMS = 300_000
WARM_UP = 50_000
CRASH_EVERY = 5_000
GROWTH = 4 * 1024 * 1024
"""Bytes of resident memory that may come on top after the warm-up: a leak of 16 bytes a datagram would show."""


class Echo(act.Actor):
    """Answers, with buffers of a pool; crashes when told."""

    async def init(self, pool: meta.BufferPool) -> None:
        options = meta.UDPServerOptions(host="127.0.0.1", buffer_pool=pool, receive_buffer=1 << 20)
        self.server = meta.create_udp_server(options)
        await self.spawn_meta(self.server)
        self.send_every(self.pid, "tick", 0.01)

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        if message == "tick":
            return
        if bytes(message.data) == b"crash":
            raise RuntimeError("told to")
        self.send(message.id, message.reply(message.data))

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return self.server.local_address


class Service(act.Supervisor):
    def init(self, pool: meta.BufferPool) -> act.SupervisorSpec:
        child = act.ChildSpec(name="echo", behavior=Echo, args=(pool,))
        return act.SupervisorSpec(children=(child,), intensity=1_000_000)


def resident(pid: int | str = "self") -> int:
    """Bytes of memory that a program has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def ask(address: tuple[str, int], count: int) -> int:
    """Sends `count` datagrams, 32 outstanding at most, and gives how many were answered rightly."""
    answered = sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect(address)
        while answered < count:
            while sent < count and sent - answered < 32:
                client.send(b"%d" % sent)
                sent += 1
            assert client.recv(100) == b"%d" % answered
            answered += 1
    return answered


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
async def test_case_45_memory_descriptors_and_tasks_stay_flat(
    node: homing.Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    # pytest keeps every log record of a test, and with it the frames of each crash
    monkeypatch.setattr(logging.getLogger("homing"), "propagate", False)
    monkeypatch.setattr(logging, "lastResort", None)
    pool = meta.BufferPool(2048, 64)
    asker = ThreadPoolExecutor(max_workers=1)  # the loop's own makes a second thread if the first is slow to report
    await node.spawn(Service, pool)
    done, memory = 0, 0
    descriptors = tasks = threads = 0
    while done < DATAGRAMS:
        address = await node.call("echo", "address")
        done += await asyncio.get_running_loop().run_in_executor(asker, ask, address, CRASH_EVERY)
        crashes = node.info().crashes
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"crash", address)
        await eventually(lambda before=crashes: node.info().crashes > before and "echo" in names(node))
        if done == WARM_UP:
            gc.collect()
            memory, descriptors = resident(), open_descriptors()
            tasks, threads = len(busy_tasks(node)), threading.active_count()
    gc.collect()
    growth = resident() - memory
    more = f"{growth / 1024:+.0f} KiB ({growth / (done - WARM_UP):+.2f} B each), {open_descriptors() - descriptors:+d}"
    figure(45, f"memory and descriptors after {done} datagrams and {node.info().crashes} crashes", more)
    assert growth < GROWTH
    assert open_descriptors() <= descriptors
    assert len(busy_tasks(node)) <= tasks
    assert threading.active_count() <= threads
    assert pool.lent == 0
    asker.shutdown()


def names(node: homing.Node) -> set[str | None]:
    return {node.process_info(pid).name for pid in node.processes()}
