"""Replays a capture in a fake network."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..datagram import Address, format_address
from ..datagram.capture.reading import Arrivals, Capture, Captured
from ..datagram.errors import BindFailed
from .fake_socket import FakeSocket

_MOST_SOURCES = 10_000
"""Sockets. The datagrams of more sources are left out."""

_TOLD = 20
"""Most differences that are listed."""

ROOM = 1 << 30
"""Bytes of the sources' receive buffers: no answer is dropped there."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """The outcome of `FakeNetwork.replay`.

    sent: datagrams sent into the network.
    answers: datagrams that came back to their sources, in the order of their arrival; `at` is the loop's time in
        nanoseconds.
    recorded: datagrams that the captured machine had sent, by the capture.
    left_out: datagrams of the capture that were not sent, by cause.
    """

    sent: int
    answers: list[Captured]
    recorded: list[Captured]
    left_out: dict[str, int]

    def differences(self) -> list[str]:
        """Returns a line for each difference between `answers` and `recorded`, to the first 20; an empty list if each
        source got the same payloads, in the same order, as by the capture."""
        now, then = _by_peer(self.answers), _by_peer(self.recorded)
        found = []
        for peer in sorted({*now, *then}, key=str):
            got, wanted = now.get(peer, []), then.get(peer, [])
            for number in range(max(len(got), len(wanted))):
                one = repr(got[number]) if number < len(got) else "nothing"
                other = repr(wanted[number]) if number < len(wanted) else "nothing"
                if one != other:
                    found.append(f"answer {number + 1} to {format_address(peer)} is {one}, and was {other}")
                if len(found) == _TOLD:
                    return found
        return found


def _by_peer(datagrams: list[Captured]) -> dict[Address, list[bytes]]:
    found: dict[Address, list[bytes]] = {}
    for one in datagrams:
        found.setdefault(one.destination, []).append(one.data)
    return found


class Replay:
    """One replay. bind: returns a socket at an address, or raises `BindFailed`."""

    def __init__(self, bind: Callable[[str, int], FakeSocket], to: Address | None, most: int) -> None:
        self._bind = bind
        self._to = to
        self._most = most
        self._sources: dict[Address, FakeSocket | None] = {}
        self._recorded: list[Captured] = []
        self._left_out: dict[str, int] = {}
        self._sent = 0
        self._arrivals = Arrivals()

    async def run(self, path: str | os.PathLike[str], speed: float, settle: float) -> Replayed:
        """Sends the datagrams of a file, waits for late answers, and returns the outcome."""
        capture, loop, last = Capture(path), asyncio.get_running_loop(), 0
        due = loop.time()
        try:
            for one in capture:
                if self._sent + len(self._recorded) >= self._most:
                    break
                sock = self._sorted(one)
                if sock is None:
                    continue
                due += max(0, one.at - last) / 1e9 / speed if last else 0.0
                last = one.at
                await asyncio.sleep(due - loop.time())
                self._send(sock, one)
            await asyncio.sleep(settle)
            left_out = {**self._left_out, **capture.skipped}
            return Replayed(self._sent, self._answers(), self._recorded, left_out)
        finally:
            for sock in self._sources.values():
                if sock is not None:
                    sock.close()

    def _sorted(self, one: Captured) -> FakeSocket | None:
        """Returns the socket to send a datagram from; None if it is not to be sent."""
        why = self._arrivals.sort(one)
        if why == "answer" and not one.comment.startswith("dropped out"):
            self._recorded.append(one)
            return None
        if why:
            self._leave_out("dropped")
            return None
        if one.source not in self._sources:
            if len(self._sources) >= _MOST_SOURCES:
                self._leave_out("sources")
                return None
            self._sources[one.source] = self._source(one.source)
        sock = self._sources[one.source]
        if sock is None:  # the program under test has that address: it is one of its answers, in a capture of others
            self._recorded.append(one)
        return sock

    def _source(self, address: Address) -> FakeSocket | None:
        try:
            return self._bind(address[0], address[1])
        except BindFailed:
            return None

    def _send(self, sock: FakeSocket, one: Captured) -> None:
        try:
            sock.sendto(one.data, one.destination if self._to is None else self._to)
        except OSError as error:
            self._leave_out(type(error).__name__)
        else:
            self._sent += 1

    def _leave_out(self, cause: str) -> None:
        self._left_out[cause] = self._left_out.get(cause, 0) + 1

    def _answers(self) -> list[Captured]:
        found: list[Captured] = []
        for address, sock in self._sources.items():
            while sock is not None and sock.readable:
                came: Any = sock.take()
                found.append(Captured(came.time, came.source, address, came.data, True, ""))
        return sorted(found, key=lambda one: one.at)
