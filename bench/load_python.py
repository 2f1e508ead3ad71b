"""The load generator in Python, used if load.c cannot be compiled: one system call per packet, one source."""

from __future__ import annotations

import json
import socket
import sys
import time

from . import child
from .suite import Sample

_PATIENCE = 0.2
"""Seconds without any answer after which the missing answers count as lost."""

_LATE = 0.0001
"""Seconds of delay after which a request counts as sent too late."""


def _flood(sock: socket.socket, seconds: float, size: int) -> Sample:
    end = time.monotonic() + seconds
    rest = bytes(size - 8)
    sent = 0
    while time.monotonic() < end:
        for _ in range(64):
            try:
                sock.send(sent.to_bytes(8, "big") + rest)
                sent += 1
            except OSError:
                pass  # the server has refused an earlier packet
    return {"sent": sent, "segments": 1}


def _request(number: int, size: int) -> bytes:
    return number.to_bytes(8, "little") + bytes([number & 0xFF]) * (size - 8)


class _Answers:
    """The open requests, by their bytes, and the outcome of the others."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.began: dict[bytes, float] = {}
        self.times: list[float] = []
        self.wrong = self.late = 0

    def take(self, answer: bytes) -> None:
        if (began := self.began.pop(answer, None)) is not None:
            self.times.append(time.monotonic() - began)
        elif answer == _request(int.from_bytes(answer[:8], "little"), self.size):
            self.late += 1
        else:
            self.wrong += 1

    def sample(self, sent: int, behind: int = 0) -> Sample:
        times = sorted(self.times)
        shares = {"p50": 0.50, "p99": 0.99, "p99.9": 0.999}
        counts = {"sent": sent, "answered": len(times), "wrong": self.wrong, "late": self.late}
        percentiles = {
            key: times[int(share * (len(times) - 1))] * 1e6 if times else 0.0 for key, share in shares.items()
        }
        return {**counts, "behind": behind / max(sent, 1), **percentiles}


def _closed_loop(sock: socket.socket, seconds: float, size: int, outstanding: int) -> Sample:
    end = time.monotonic() + seconds
    sock.settimeout(_PATIENCE)
    answers = _Answers(size)
    sent = 0
    while True:
        now = time.monotonic()
        while now < end and len(answers.began) < outstanding:
            sent += 1
            request = _request(sent, size)
            answers.began[request] = time.monotonic()
            sock.send(request)
        if not answers.began:
            return answers.sample(sent)
        try:
            answers.take(sock.recv(65536))
        except TimeoutError:
            answers.began.clear()


def _open_loop(sock: socket.socket, seconds: float, size: int, rate: int) -> Sample:
    sock.setblocking(False)
    answers = _Answers(size)
    count = int(seconds * rate)
    sent = behind = 0
    begin = heard = time.monotonic()
    while True:
        now = time.monotonic()
        while sent < count and begin + sent / rate <= now:
            due = begin + sent / rate
            request = _request(sent, size)
            answers.began[request] = due
            try:
                sock.send(request)
            except BlockingIOError:
                pass  # lost
            behind += now - due > _LATE
            sent += 1
            heard = now
        try:
            answers.take(sock.recv(65536))
            heard = now
        except BlockingIOError:
            if sent == count and (not answers.began or now - heard > _PATIENCE):
                return answers.sample(sent, behind)


def _main(kind: str, port: str, seconds: str, size: str, number: str, sources: str = "0") -> None:
    child.limit_life()
    if kind == "flood" and int(sources):
        sys.exit("bench.load_python: only one source is possible")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", int(port)))
        if kind == "flood":
            sample = _flood(sock, float(seconds), int(size))
        else:
            loop = _closed_loop if kind == "echo" else _open_loop
            sample = loop(sock, float(seconds), int(size), int(number))
    print(json.dumps(sample))


if __name__ == "__main__":
    _main(*sys.argv[1:])
