"""The load generator: load.c where it can be compiled, else this module run as a program, which does the same."""

from __future__ import annotations

import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from . import child
from .suite import Sample

SIZE = 64
"""Bytes of a datagram."""

_PATIENCE = 0.2
"""Seconds without any answer after which those that are missing count as lost."""


@functools.cache
def program(native: bool = True) -> tuple[str, ...]:
    """The command that makes load. Compiles it, once; what was compiled goes when this process ends."""
    if native and sys.platform == "linux" and (compiler := shutil.which(os.environ.get("CC", "cc"))):
        folder = tempfile.TemporaryDirectory(prefix="homing-bench-")
        binary = os.path.join(folder.name, "load")
        source = os.path.join(os.path.dirname(__file__), "load.c")
        if subprocess.run([compiler, "-O2", "-o", binary, source], check=False).returncode == 0:
            _folders.append(folder)
            return (binary,)
    return (sys.executable, "-m", "bench.load")


_folders: list[tempfile.TemporaryDirectory[str]] = []


def kind() -> str:
    """What makes the load, in words."""
    return "Python, sendto" if program()[0] == sys.executable else "C, sendmmsg"


def flood(port: int, seconds: float, native: bool = True) -> Sample:
    """Sends as fast as it can. Gives `sent`."""
    return _run(native, "flood", port, seconds, SIZE)


def echo(port: int, seconds: float, outstanding: int, native: bool = True) -> Sample:
    """Keeps `outstanding` requests under way. Gives `sent`, `answered` (rightly), `wrong`, `late`, and the percentiles
    `p50` and `p99` of the round trip in microseconds."""
    return _run(native, "echo", port, seconds, SIZE, outstanding)


def _run(native: bool, *args: object) -> Sample:
    sample: Sample = json.loads(child.output([*program(native), *map(str, args)], core=1))
    return sample


# --- the same in Python ---------------------------------------------------------------------------------------


def _flood(sock: socket.socket, end: float, size: int) -> Sample:
    packet = bytes(size)
    sent = 0
    while time.monotonic() < end:
        for _ in range(64):
            try:
                sock.send(packet)
                sent += 1
            except OSError:
                pass  # the server's refusal of an earlier one
    return {"sent": sent}


def _request(number: int, size: int) -> bytes:
    return number.to_bytes(8, "little") + bytes([number & 0xFF]) * (size - 8)


def _echo(sock: socket.socket, end: float, size: int, outstanding: int) -> Sample:
    sock.settimeout(_PATIENCE)
    waiting: dict[bytes, float] = {}
    times: list[float] = []
    sent = wrong = late = 0
    while True:
        now = time.monotonic()
        while now < end and len(waiting) < outstanding:
            sent += 1
            request = _request(sent, size)
            waiting[request] = time.monotonic()
            sock.send(request)
        if not waiting:
            break
        try:
            answer = sock.recv(65536)
        except TimeoutError:
            waiting.clear()
            continue
        if (began := waiting.pop(answer, None)) is not None:
            times.append(time.monotonic() - began)
        elif answer == _request(int.from_bytes(answer[:8], "little"), size):
            late += 1
        else:
            wrong += 1
    times.sort()
    p50, p99 = (times[int(share * (len(times) - 1))] * 1e6 if times else 0.0 for share in (0.50, 0.99))
    return {"sent": sent, "answered": len(times), "wrong": wrong, "late": late, "p50": p50, "p99": p99}


def _main(kind: str, port: str, seconds: str, size: str, outstanding: str = "1") -> None:
    child.limit_life()
    end = time.monotonic() + float(seconds)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", int(port)))
        if kind == "flood":
            sample = _flood(sock, end, int(size))
        else:
            sample = _echo(sock, end, int(size), int(outstanding))
    print(json.dumps(sample))


if __name__ == "__main__":
    _main(*sys.argv[1:])
