"""A UDP server under test that reports its own figures: bench.udp_server, or a server in servers.c."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from types import TracebackType
from typing import Protocol, Self

from . import child, native
from .suite import Failed, Sample
from .udp_common import RECEIVE_BUFFER

_QUIET = 0.05
"""Seconds without a packet after which a server is taken to have handled all packets in its socket."""

_SINGLY = {"BENCH_SINGLY": "1"}
"""Keeps Homing's server from asking the kernel for joined packets."""


def is_possible(total: int, count: int, sent: int) -> bool:
    """Returns True if `total` can be the sum of `count` different numbers below `sent`."""
    lowest = count * (count - 1) // 2
    return count <= sent and lowest <= total <= lowest + count * (sent - count)


class UnderTest(Protocol):
    """A server in a process of its own. `with` ends the process."""

    pid: int
    port: int

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def snapshot(self) -> Sample:
        """Returns the `cpu_seconds` spent so far, and the other counters, once no packet waits any more."""

    def handled(self, before: Sample, after: Sample, sent: float) -> float:
        """Returns the number of packets handled between two snapshots, while `sent` packets were sent."""


class Server:
    """`UnderTest`. job: "count", "echo", or "work", an echo after some work. singly: Homing does not ask for joined
    packets."""

    def __init__(self, contestant: str, job: str, singly: bool = False) -> None:
        command = [sys.executable, "-m", "bench.udp_server", contestant, job]
        if contestant.startswith("C "):
            command = [native.program("servers") or "", job, str(RECEIVE_BUFFER)]
            if contestant.endswith("GRO"):
                command[1] = f"{job}-gro"
        env = {**os.environ, **(_SINGLY if singly else {})}
        self._child = child.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
        self.pid = self._child.pid
        self._name = contestant

    def __enter__(self) -> Self:
        try:
            self.port = int(self._read()["port"])
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._child.communicate(timeout=5)  # closes the child's standard input, which ends the child
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.communicate()

    def snapshot(self) -> Sample:
        before = self._ask()
        while True:
            time.sleep(_QUIET)
            after = self._ask()
            if after["packets"] == before["packets"]:
                return before
            before = after

    def handled(self, before: Sample, after: Sample, sent: float) -> float:
        """Returns the server's own count. If it has added up the packets' numbers (0, 1, 2, ...), checks the sum."""
        count = int(after["packets"] - before["packets"])
        if "total" in after:
            total = int(after["total"] - before.get("total", 0))
            if not is_possible(total, count, int(sent)):
                raise Failed(f"{self._name!r} counted {count} packets, whose numbers cannot add up to {total}")
        return count

    def _ask(self) -> Sample:
        assert self._child.stdin is not None
        try:
            self._child.stdin.write("\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            pass  # the server has ended: `_read` raises for that
        return self._read()

    def _read(self) -> Sample:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise Failed(f"the server of {self._name!r} has ended")
        sample: Sample = json.loads(line)
        return sample
