"""Measures handshakes and records of DTLS, beside `openssl s_server`, which is C and serves one peer at a time."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

from . import child
from .external import External
from .suite import Benchmark, Failed, Sample, Settings

_SECONDS = 3
"""Times as long as a load of UDP: the CPU time of a process is known to 10 ms."""

_OPENSSL = (
    "sh -c 'tail -f /dev/null | exec openssl s_server -dtls1_2 -quiet -accept 127.0.0.1:{port} "
    "-cert CERTIFICATE -key KEY'"
)


def _command(contestant: str, files: dict[str, str]) -> str:
    if contestant == "openssl s_server":
        return _OPENSSL.replace("CERTIFICATE", files["certificate"]).replace("KEY", files["key"])
    return f"{sys.executable} -m bench.dtls_server {{port}} {files['certificate']} {files['key']} {{job}}"


def _written(directory: str) -> dict[str, str]:
    """Writes a certificate and its key. Returns the files."""
    import trustme

    made = trustme.CA().issue_cert("127.0.0.1")
    contents = {"certificate": made.cert_chain_pems[0].bytes(), "key": made.private_key_pem.bytes()}
    for name, content in contents.items():
        Path(directory, name).write_bytes(content)
    return {name: str(Path(directory, name)) for name in contents}


def measure(job: str, size: int, contestant: str, settings: Settings) -> Sample:
    """Measures the handshakes, records or answers of a server per CPU-second."""
    seconds = _SECONDS * settings.load_seconds
    with tempfile.TemporaryDirectory() as directory:
        command = _command(contestant, _written(directory))
        with External(contestant, command, "echo" if job == "echo" else "count") as server:
            load = [sys.executable, "-m", "bench.dtls_load", str(server.port), job, str(size)]
            child.output([*load, "0.1"], 1)
            before = server.snapshot()
            made = json.loads(child.output([*load, str(seconds)], 1))
            after = server.snapshot()
    if job == "records":
        done = server.handled(before, after, made["records"])
    else:
        done = made["handshakes" if job == "handshakes" else "answers"]
    cpu = after["cpu_seconds"] - before["cpu_seconds"]
    if done <= 0 or cpu <= 0:
        raise Failed(f"{contestant!r} handled no packet: {made}")
    return {"value": done / cpu, "per_second": done / seconds, "busy": min(1.0, cpu / seconds)}


def missing(contestant: str) -> str:
    """Returns what must be installed for a contestant; "" if nothing."""
    for module, package in (("OpenSSL", "'homing[dtls]'"), ("trustme", "trustme")):
        if importlib.util.find_spec(module) is None:
            return f"pip install {package}"
    if sys.platform != "linux":
        return "its load needs Linux"
    return "" if contestant == "homing" or shutil.which("openssl") else "it needs openssl"


def _benchmark(name: str, title: str, unit: str, job: str, size: int = 64) -> Benchmark:
    rivals = () if job == "echo" else ("openssl s_server",)
    return Benchmark(
        name=name,
        title=f"DTLS 1.2: {title}",
        unit=f"{unit} per CPU-second of the server",
        contestants=("homing", *rivals),
        run=partial(measure, job, size),
        extras=("per_second", "busy"),
        baselines=rivals,
        minor=True,
        missing=missing,
    )


BENCHMARKS = (
    _benchmark(
        "dtls-handshakes", "handshakes with a P-256 certificate, one after the other", "handshakes", "handshakes"
    ),
    _benchmark("dtls-records-64", "records of 64 bytes, received", "records", "records"),
    _benchmark("dtls-records-1200", "records of 1,200 bytes, received", "records", "records", 1200),
    _benchmark("dtls-echo-64", "answers of 64 bytes, with 64 requests outstanding", "answers", "echo"),
    _benchmark("dtls-echo-1200", "answers of 1,200 bytes, with 64 requests outstanding", "answers", "echo", 1200),
)
