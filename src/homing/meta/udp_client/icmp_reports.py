"""ICMP errors that a client's socket has reported, until the datagrams that came before them were read."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import Any

from ...datagram import Endpoint, MessageUDPError
from ...datagram.address import canonical
from ...node.processes.meta_process import MetaRunner
from ..udp.reader import Reader
from .requests import Requests

MOST = 1024
"""Different reports that wait: as many as requests are open by default. Those above are told to `on_error` and counted,
but fail nothing: forged ones must not fill the memory while a flood of datagrams is read."""


class ICMPReports:
    """Reads a client's socket, and fails requests for ICMP errors only when nothing is left to read: the kernel hands
    an error over before the datagrams that came earlier, and one of those may be the reply."""

    def __init__(self, process: MetaRunner, endpoint: Endpoint, reader: Reader, requests: Requests) -> None:
        self._process = process
        self._endpoint = endpoint
        self._reader = reader
        self._requests = requests
        self._waiting: dict[Any, tuple[MessageUDPError, int]] = {}  # with the last request that it can be about
        self._reported = 0
        self._due = False
        requests.read_all = self.read_all

    def add(self, report: MessageUDPError) -> None:
        """An ICMP error, of what was sent before. Those that say the same are one."""
        self._reported += 1
        addr = canonical(report.addr)
        same = addr, report.errno, report.mtu, report.data
        if len(self._waiting) < MOST or same in self._waiting:
            self._waiting[same] = replace(report, addr=addr), self._requests.last
        self._read_later()

    def readable(self) -> None:
        """The socket has datagrams, or an error."""
        self._due = False
        self.read_all()

    def read_all(self) -> bool:
        """Reads what has come, for a moment at most. False: there may be more."""
        if self._endpoint.closed:
            return True
        if not self._read_all():
            self._read_later()
            return False
        self._fail_reported()
        return True

    def _read_all(self) -> bool:
        """False: there may be more. If nothing was read, but an error came, datagrams may wait behind that."""
        end = perf_counter() + self._reader.wake_seconds
        while True:
            known = self._reported
            if self._reader.receive():
                if not self._reader.deliver():
                    return False
            elif self._reported == known:
                return True
            if perf_counter() >= end:
                return False

    def _read_later(self) -> None:
        if not self._due:
            self._due = True
            self._process.loop.call_soon(self.readable)

    def _fail_reported(self) -> None:
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, {}
        for report, last in waiting.values():
            self._requests.fail_reported(report, last)
