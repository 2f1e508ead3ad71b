"""A steady load of numbered datagrams from several peers, and what was answered: by whom, in which order, how late."""

from __future__ import annotations

import socket
import threading
import time
from itertools import groupby
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
OUTSTANDING = 250
"""Questions that have no answer yet, at most: a receive buffer of the system's default size holds all of them, however
long the server gets no time on a busy machine."""


class Load:
    """Sends numbers from `peers` sockets in turn, one each `interval` seconds, on a thread, until `finish`."""

    def __init__(self, ports: list[int], interval: float, peers: int = 4) -> None:
        self._targets = [(HOST, port) for port in ports]
        self._interval = interval
        self._peers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(peers)]
        for peer in self._peers:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
            peer.setblocking(False)
            peer.bind((HOST, 0))
        self._over = threading.Event()
        self.sent = 0
        self.answers: list[list[tuple[int, int]]] = [[] for _ in range(peers)]
        self.longest = 0.0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        for peer in self._peers:
            peer.close()

    @property
    def answered(self) -> int:
        """Answers that have come."""
        return sum(map(len, self.answers))

    def _run(self) -> None:
        begin = last = time.perf_counter()
        while not self._over.is_set():
            now = time.perf_counter()
            due = now >= begin + self.sent * self._interval and self.sent < self.answered + OUTSTANDING
            if due and not self.finished:
                number = self.sent
                target = self._targets[number % len(self._targets)]
                self._peers[number % len(self._peers)].sendto(b"%d" % number, target)
                self.sent += 1
            if self._receive():
                last = now
            elif self.answered < self.sent:
                self.longest = max(self.longest, now - last)
            else:
                last = now
                time.sleep(self._interval / 4)

    def _receive(self) -> bool:
        found = False
        for peer, answers in zip(self._peers, self.answers, strict=True):
            try:
                number, process = peer.recv(100).split()
            except BlockingIOError:
                continue
            answers.append((int(number), int(process)))
            found = True
        return found

    finished = False

    def finish(self) -> None:
        """Sends no more."""
        self.finished = True

    def numbers(self) -> list[int]:
        """The numbers that were answered, as often as they were."""
        return sorted(number for answers in self.answers for number, _ in answers)

    def processes(self) -> list[list[int]]:
        """For each peer the OS processes that have answered it, each as often as it began to."""
        return [[process for process, _ in groupby(process for _, process in answers)] for answers in self.answers]

    def in_order(self) -> bool:
        """True if each peer has its answers in the order of its questions."""
        return all(
            [number for number, _ in answers] == sorted(number for number, _ in answers) for answers in self.answers
        )


def drops(port: int) -> int:
    """What the kernel has dropped at the socket of 127.0.0.1 with this port, as /proc/net/udp tells."""
    with open("/proc/net/udp") as table:
        rows = [line.split() for line in table][1:]
    found = [int(row[-1]) for row in rows if row[1] == f"0100007F:{port:04X}"]
    return sum(found)
