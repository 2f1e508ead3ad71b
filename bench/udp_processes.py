"""The benchmark of `homing run --processes`: one application in several OS processes, which share a port."""

from __future__ import annotations

import subprocess
import sys
import time

from homing import act, gen, meta

from . import load
from .external import External, sockets
from .load import Flood
from .suite import Failed, Sample, Settings
from .udp_common import HOST, RECEIVE_BUFFER

PROCESSES = ("homing, 1 process", "homing, 2 processes", "homing, 2 processes on 2 cores")

_WARM_UP = 0.1
_START = 20.0
"""Seconds that all processes have to bind the port."""


class Count(act.Actor):
    """The application: receives packets at the port in its environment, which it shares."""

    async def init(self) -> None:
        self.packets = 0
        port = int(self.env["port"])
        await meta.listen_udp(self, host=HOST, port=port, receive_buffer=RECEIVE_BUFFER, reuse_port=True, gro=False)

    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        self.packets += 1


def processes(shape: Flood, contestant: str, settings: Settings) -> Sample:
    """Measures the packets handled per CPU-second of as many processes as the contestant's name says. They share the
    core of the test; "on 2 cores": they have that of the load, too. CPU-seconds are those of all of them."""
    number = int(contestant.rpartition(", ")[2].split()[0])
    command = f"'{sys.executable}' -m homing run bench.udp_processes:Count --processes {number} --env port={{port}}"
    everywhere = contestant.endswith("cores")
    with External(contestant, command, "count", pin_it=not everywhere, stderr=subprocess.DEVNULL) as server:
        _wait_for_all(server.port, number)
        load.flood(server.port, _WARM_UP, shape)
        before = server.snapshot()
        made = load.flood(server.port, settings.load_seconds, shape)
        after = server.snapshot()
    packets = server.handled(before, after, made["sent"])
    cpu = max(0.01, after["cpu_seconds"] - before["cpu_seconds"])
    return {
        "value": packets / cpu,
        "us": cpu * 1e6 / packets,
        "handled": packets,
        "dropped": made["sent"] - packets,
        "busy": cpu / settings.load_seconds,
    }


def _wait_for_all(port: int, number: int) -> None:
    give_up = time.monotonic() + _START
    while len(sockets(port)) < number:
        if time.monotonic() > give_up:
            raise Failed(f"not all of {number} processes have bound UDP port {port}")
        time.sleep(0.02)
