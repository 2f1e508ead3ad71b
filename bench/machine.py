"""The facts about the machine that are printed with the figures."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
import sys

import homing
from homing import act, meta

from . import child, load


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


class _Asked(act.Actor):
    async def init(self, answer: list[str]) -> None:
        alias = await self.spawn_meta(meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1")))
        facts = await self.inspect_meta(alias, "backend")
        answer.append(facts["backend"])


async def _backend() -> str:
    answer: list[str] = []
    async with homing.start_node("bench@localhost") as node:
        await node.spawn(_Asked, answer)
    return answer[0]


def backend() -> str:
    """Returns the name of Homing's datagram backend here, "native" or "portable"."""
    return asyncio.run(_backend())


def facts() -> dict[str, str]:
    """Returns the facts about the machine, the software, and the load generator."""
    pair = child.cores()
    return {
        "cpu": f"{os.cpu_count()} x {_cpu_model()}",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "homing": f"{_version('homing')}, datagram backend {backend()}",
        "uvloop": _version("uvloop"),
        "rloop": _version("rloop"),
        "pykka": _version("pykka"),
        "load generator": load.kind(),
        "pinning": f"under test: core {pair[0]}; load: core {pair[1]}" if pair else "none: one core, or not Linux",
        "busy at the start": f"load average {os.getloadavg()[0]:.2f}" if sys.platform != "win32" else "unknown",
    }
