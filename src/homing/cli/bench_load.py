"""`homing bench`: sends the packets, by plain sockets in the process of the command."""

from __future__ import annotations

import select
import socket
import time
from dataclasses import dataclass

_SIZE = 64
"""Bytes of a datagram."""

_SEGMENTS = 64
"""Datagrams per system call, if the kernel can split one buffer into datagrams."""

_SOL_UDP, _UDP_SEGMENT = 17, 103  # linux/include/uapi/linux/udp.h; the socket module does not name them

_OUTSTANDING = 64
_PATIENCE = 0.2
"""Seconds without any answer after which the missing answers count as lost."""


@dataclass(frozen=True, slots=True)
class Answers:
    """The outcome of an echo measurement.

    sent, answered, wrong: number of requests, of right answers, and of wrong answers. round_trips: in seconds, sorted.
    """

    sent: int
    answered: int
    wrong: int
    round_trips: list[float]

    def percentile(self, share: float) -> float:
        """In microseconds."""
        return self.round_trips[int(share * (len(self.round_trips) - 1))] * 1e6 if self.round_trips else 0.0


def _connected(address: tuple[str, int]) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(address)
    return sock


def flood(address: tuple[str, int], seconds: float) -> int:
    """Sends as fast as it can. Returns the number of datagrams."""
    end = time.monotonic() + seconds
    sent, each = 0, _SEGMENTS
    with _connected(address) as sock:
        try:
            sock.setsockopt(_SOL_UDP, _UDP_SEGMENT, _SIZE)
        except OSError:
            each = 1  # not Linux, or an old kernel
        data = bytes(_SIZE * each)
        while time.monotonic() < end:
            for _ in range(_SEGMENTS // each):
                try:
                    sock.send(data)
                    sent += each
                except OSError:
                    pass  # an earlier datagram was refused, or the send buffer is full
    return sent


def echo(address: tuple[str, int], seconds: float) -> Answers:
    """Keeps requests outstanding, and compares each answer with its request."""
    sent = wrong = 0
    waiting: dict[bytes, float] = {}
    times: list[float] = []
    filling = bytes(range(8, _SIZE))
    now = time.monotonic()
    end = now + seconds
    with _connected(address) as sock:
        sock.setblocking(False)
        while True:
            while len(waiting) < _OUTSTANDING and now < end:
                request = sent.to_bytes(8, "big") + filling
                waiting[request] = time.monotonic()
                sent += 1
                try:
                    sock.send(request)
                except OSError:
                    pass  # the request counts as lost
            if not waiting:
                break
            if not select.select([sock], [], [], _PATIENCE)[0]:
                waiting.clear()
            try:
                while waiting:
                    answer = sock.recv(2 * _SIZE)
                    began = waiting.pop(answer, None)
                    if began is not None:
                        times.append(time.monotonic() - began)
                    elif answer[8:] != filling or int.from_bytes(answer[:8], "big") >= sent:
                        wrong += 1  # other unexpected answers are only late
            except OSError:
                pass  # no more answers, or an earlier datagram was refused
            now = time.monotonic()
    times.sort()
    return Answers(sent, len(times), wrong, times)
