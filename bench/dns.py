"""Measures the answers of a DNS server to dnsperf: the example `nameserver`, and its function on other event loops."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import tempfile
from functools import partial

from . import available, child
from .suite import Benchmark, Failed, Sample, Settings
from .udp import Setting
from .udp_common import HOST

RATE = 5000
"""Questions per second of the load on schedule."""

_NAMES = 500
"""Different questions: as many as the server keeps the answers to."""

_LOAD = ("-c", "20", "-q", "200", "-t", "1")
"""20 clients, 200 questions open at once, of which those count as lost that have no answer within a second."""

_WARM_UP = 0.3

_FIGURES = {
    "sent": r"Queries sent:\s+(\d+)",
    "completed": r"Queries completed:\s+(\d+)",
    "lost": r"Queries lost:\s+(\d+)",
    "right": r"NOERROR (\d+)",
    "per_second": r"Queries per second:\s+([\d.]+)",
    "latency": r"Average Latency \(s\):\s+([\d.]+)",
}


def _figures(output: str) -> Sample:
    """Returns the figures that dnsperf has printed. Raises `Failed` if one is missing."""
    found = {key: re.search(pattern, output) for key, pattern in _FIGURES.items()}
    if None in found.values():
        raise Failed(f"dnsperf answered 0 right answers, 0 wrong: {output[-300:]!r}")
    return {key: float(match[1]) for key, match in found.items() if match}


def _ask(port: int, seconds: float, rate: int | None) -> Sample:
    with tempfile.NamedTemporaryFile("w", suffix=".questions") as file:
        file.writelines(f"host-{number}.wild.example A\n" for number in range(_NAMES))
        file.flush()
        command = ["dnsperf", "-s", HOST, "-p", str(port), "-d", file.name, "-l", str(seconds), *_LOAD]
        if rate is not None:
            command += ["-Q", str(rate)]
        return _figures(child.output(command, 1))


def measure(rate: int | None, contestant: str, settings: Settings) -> Sample:
    """Measures the right answers per CPU-second of a server that dnsperf asks. rate: per second; None: all it can."""
    with Setting().server(contestant, "dns") as server:
        _ask(server.port, _WARM_UP, rate)
        before = server.snapshot()
        made = _ask(server.port, settings.load_seconds, rate)
        after = server.snapshot()
    if made["right"] != made["completed"]:
        raise Failed(f"{contestant!r} had {made['right']:.0f} right answers, others of {made['completed']:.0f} wrong")
    cpu = max(0.001, after["cpu_seconds"] - before["cpu_seconds"])
    return {
        "value": made["completed"] / cpu,
        "per_second": made["per_second"],
        "loss": made["lost"] / made["sent"],
        "us": 1e6 * made["latency"],
        "busy": min(1.0, cpu / settings.load_seconds),
    }


def missing(contestant: str) -> str:
    """Returns what must be installed for a contestant; "" if nothing."""
    if shutil.which("dnsperf", path=os.environ.get("PATH")) is None:
        return "its load is made by dnsperf (Debian: dnsperf)"
    if importlib.util.find_spec("dns") is None:
        return "pip install dnspython"
    return available.missing(contestant)


def _benchmark(name: str, title: str, rate: int | None) -> Benchmark:
    return Benchmark(
        name=name,
        title=f"DNS: {title}, from 20 clients of dnsperf, to the same function",
        unit="right answers per CPU-second of the server",
        contestants=("homing", "homing on uvloop", "asyncio", "uvloop"),
        run=partial(measure, rate),
        extras=("per_second", "loss", "us", "busy"),
        baselines=("asyncio", "uvloop"),
        minor=True,
        missing=missing,
    )


BENCHMARKS = (
    _benchmark("dns", "200 questions open at once", None),
    _benchmark("dns-5k", f"{RATE:,} questions a second", RATE),
)
