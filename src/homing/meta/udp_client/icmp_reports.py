"""Holds ICMP errors of a client's socket until the datagrams that came before them were read."""

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
"""Most different reports that wait: the default of `max_requests`. Further reports go to `on_error` and are counted,
but fail no request: forged reports must not fill the memory while a flood of datagrams is read."""


class ICMPReports:
    """Reads a client's socket, and fails requests for ICMP errors only when nothing is left to read: the kernel reports
    an error before the datagrams that came earlier, and one of these may be the reply."""

    def __init__(self, process: MetaRunner, endpoint: Endpoint, reader: Reader, requests: Requests) -> None:
        self._process = process
        self._endpoint = endpoint
        self._reader = reader
        self._requests = requests
        self._waiting: dict[Any, tuple[MessageUDPError, int]] = {}  # with the number of the last request it can concern
        self._reported = 0
        self._due = False
        requests.read_all = self.read_all

    def add(self, report: MessageUDPError) -> None:
        """Adds an ICMP error about a datagram that was sent before. Equal reports are kept once."""
        self._reported += 1
        addr = canonical(report.addr)
        same = addr, report.errno, report.mtu, report.data
        if len(self._waiting) < MOST or same in self._waiting:
            self._waiting[same] = replace(report, addr=addr), self._requests.last
        self._read_later()

    def readable(self) -> None:
        """Reads: the event loop calls this when the socket has datagrams, or an error."""
        self._due = False
        self.read_all()

    def read_all(self) -> bool:
        """Reads the datagrams that have come, for a moment at most. Returns False if there may be more."""
        if self._endpoint.closed:
            return True
        if not self._read_all():
            self._read_later()
            return False
        self._fail_reported()
        return True

    def _read_all(self) -> bool:
        """Returns False if there may be more. If only an error was read, datagrams may wait behind it."""
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
            self._requests.icmp_failures.fail(report, last)
