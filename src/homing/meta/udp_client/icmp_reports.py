"""ICMP errors that a client's socket has reported, until the datagrams that came before them were read."""

from __future__ import annotations

from time import perf_counter

from ...datagram import Endpoint, MessageUDPError
from ...node.processes.meta_process import MetaRunner
from ..udp.reader import Reader
from .requests import Requests


class ICMPReports:
    """Reads a client's socket, and fails requests for ICMP errors only when nothing is left to read: the kernel hands
    an error over before the datagrams that came earlier, and one of those may be the reply."""

    def __init__(self, process: MetaRunner, endpoint: Endpoint, reader: Reader, requests: Requests) -> None:
        self._process = process
        self._endpoint = endpoint
        self._reader = reader
        self._requests = requests
        self._waiting: list[tuple[MessageUDPError, int]] = []  # each with the last request that it can be about
        self._due = False

    def add(self, report: MessageUDPError) -> None:
        """An ICMP error, of what was sent before."""
        self._waiting.append((report, self._requests.last))
        self._read_later()

    def readable(self) -> None:
        """The socket has datagrams, or an error."""
        self._due = False
        if self._endpoint.closed:
            return
        if self._read_all():
            self._fail_reported()
        else:
            self._read_later()

    def _read_all(self) -> bool:
        """False: there may be more. If nothing was read, but an error came, datagrams may wait behind that."""
        end = perf_counter() + self._reader.wake_seconds
        while True:
            known = len(self._waiting)
            if self._reader.receive():
                if not self._reader.deliver():
                    return False
            elif len(self._waiting) == known:
                return True
            if perf_counter() >= end:
                return False

    def _read_later(self) -> None:
        if not self._due:
            self._due = True
            self._process.loop.call_soon(self.readable)

    def _fail_reported(self) -> None:
        waiting, self._waiting = self._waiting, []
        for report, last in waiting:
            self._requests.fail_reported(report, last)
