"""A UDP server under test that is given as a command line and measured from outside (Linux)."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import time
from types import TracebackType
from typing import Self

from . import child
from .suite import Failed, Sample
from .udp_common import HOST

_START = 20.0
"""Seconds that a command has until its port is bound."""

_EMPTY = 10.0
"""Seconds that a server may take to read everything that waits in its socket."""

_QUIET = 0.05
"""Seconds between two checks."""

_IDLE = 0.25
"""Largest share of its core that an idle server uses: it has then handled all that it has read."""

_PATIENCE = 1.0
"""Seconds after which a server's figures are taken although it is not idle: it may never be."""


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]
        return port


def sockets(port: int) -> list[tuple[int, int]]:
    """Returns the bytes waiting and the packets dropped, for each UDP socket that is bound to `port`."""
    found = []
    for file in ("/proc/net/udp", "/proc/net/udp6"):
        try:
            with open(file) as lines:
                rows = [line.split() for line in lines][1:]
        except OSError:
            continue  # no IPv6
        for row in rows:
            if int(row[1].rpartition(":")[2], 16) == port:
                found.append((int(row[4].partition(":")[2], 16), int(row[12])))
    return found


def _stat(pid: int) -> list[str]:
    """Returns the fields of /proc/PID/stat after the command's name, which may contain any characters."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()


def cpu_seconds(pid: int) -> float:
    """Returns the CPU time of a process, all its threads, and all its descendants, also those that have ended."""
    children: dict[int, list[int]] = {}
    times: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = _stat(int(name))
            except OSError:
                continue  # the process has ended
            children.setdefault(int(fields[1]), []).append(int(name))
            times[int(name)] = sum(map(int, fields[11:15]))  # utime, stime, and the same of children already waited for
    ticks = 0
    family = [pid]
    while family:
        member = family.pop()
        ticks += times.get(member, 0)
        family += children.get(member, [])
    return ticks / os.sysconf("SC_CLK_TCK")


class External:
    """`under_test.UnderTest`. In the command, `{port}` is the port to bind, and `{job}` is "count" or "echo".

    pin_it: on the core of the test; else it may use all cores. stderr: as `subprocess.Popen` has it.
    """

    def __init__(self, name: str, command: str, job: str, pin_it: bool = True, stderr: int | None = None) -> None:
        self._name = name
        self.port = _free_port()
        words = [word.replace("{port}", str(self.port)).replace("{job}", job) for word in shlex.split(command)]
        try:
            self._child = child.start(
                words,
                session=True,
                pin_it=pin_it,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        except OSError as error:
            raise Failed(f"the command cannot be started: {error}") from error
        self.pid = self._child.pid

    def __enter__(self) -> Self:
        give_up = time.monotonic() + _START
        try:
            while not sockets(self.port):
                self._check()
                if time.monotonic() > give_up:
                    raise Failed(f"{self._name!r} has not bound UDP port {self.port}")
                time.sleep(0.02)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._child.pid, number)
            except ProcessLookupError:
                break
            try:
                self._child.wait(2)
            except subprocess.TimeoutExpired:
                continue
        self._child.wait()

    def snapshot(self) -> Sample:
        begin = time.monotonic()
        before = self._look()
        while True:
            time.sleep(_QUIET)
            after = self._look()
            waited = time.monotonic() - begin
            idle = after["cpu_seconds"] - before["cpu_seconds"] < _IDLE * _QUIET
            if not before["waiting"] and not after["waiting"] and (idle or waited > _PATIENCE):
                return after
            if waited > _EMPTY:
                raise Failed(f"{self._name!r} leaves {after['waiting']:.0f} bytes waiting in its socket")
            before = after

    def handled(self, before: Sample, after: Sample, sent: float) -> float:
        """Returns the number of packets sent, less those that the kernel has dropped."""
        return sent - (after["drops"] - before["drops"])

    def _look(self) -> Sample:
        self._check()
        found = sockets(self.port)
        return {
            "cpu_seconds": cpu_seconds(self._child.pid),
            "waiting": sum(waiting for waiting, _ in found),
            "drops": sum(drops for _, drops in found),
        }

    def _check(self) -> None:
        if self._child.poll() is not None:
            raise Failed(f"the command of {self._name!r} has ended with status {self._child.returncode}")
