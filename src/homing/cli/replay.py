"""`homing replay`: sends the datagrams of a capture to an address."""

from __future__ import annotations

import math
import socket
import time
from collections import Counter
from typing import Any

from ..datagram import Address, format_address, name_of
from ..datagram.capture.reading import Arrivals, Capture, Captured
from ..datagram.errors import BadCapture
from .saying import fail, say
from .tree import count

MOST_SOURCES = 256
"""Sockets. With more sources in the capture, several share one."""

_AHEAD = 0.0005
"""Seconds. Shorter pauses are left out: a system call takes a part of them."""


class Replayer:
    """Sends to `address`. speed, gap: as the command has them.

    sent, size: datagrams and bytes. left_out: datagrams that were not sent, by cause.
    sources: sockets, each for one source of the capture.
    """

    def __init__(self, family: int, address: Any, speed: float, gap: float, port: int | None) -> None:
        self.sent = self.size = 0
        self.left_out: Counter[str] = Counter()
        self._family, self._address = family, address
        self._speed, self._gap, self._port = speed, gap, port
        self.sources: dict[Address, socket.socket] = {}
        self._sockets: list[socket.socket] = []

    def play(self, capture: Capture) -> int:
        """Sends the capture once. Returns how many datagrams were sent. Raises `BadCapture` and `OSError`."""
        before, last, due, arrivals = self.sent, 0, time.monotonic(), Arrivals()
        try:
            for one in capture:
                why = self._why_not(arrivals, one)
                if why:
                    self.left_out[why] += 1
                    continue
                if last and self._speed:
                    due += min(self._gap, max(0, one.at - last) / 1e9) / self._speed
                    pause = due - time.monotonic()
                    if pause > _AHEAD:
                        time.sleep(pause)
                last = one.at
                self._send(one)
        finally:
            self.left_out.update(capture.skipped)
        return self.sent - before

    def _why_not(self, arrivals: Arrivals, one: Captured) -> str:
        """Returns why a datagram is not sent; "" if it is."""
        why = arrivals.sort(one)
        if self._port is None or why == "twice":
            return why
        return "" if one.destination[1] == self._port else "other port"

    def _send(self, one: Captured) -> None:
        try:
            self._socket_for(one.source).send(one.data)
        except OSError as error:  # as at any sender: the peer has no socket, a buffer is full, a datagram too long
            self.left_out[name_of(error)] += 1
            return
        self.sent += 1
        self.size += len(one.data)

    def _socket_for(self, source: Address) -> socket.socket:
        sock = self.sources.get(source)
        if sock is not None:
            return sock
        if len(self._sockets) >= MOST_SOURCES:
            return self._sockets[hash(source) % MOST_SOURCES]
        sock = socket.socket(self._family, socket.SOCK_DGRAM)
        self._sockets.append(sock)
        sock.connect(self._address)
        self.sources[source] = sock
        return sock

    def close(self) -> None:
        """Closes the sockets."""
        for sock in self._sockets:
            sock.close()


def replay(path: str, to: str, *, speed: float, loop: bool, port: int | None, gap: float) -> None:
    """Carries out the command."""
    for name, value in (("speed", speed), ("gap", gap)):
        if not (math.isfinite(value) and value >= 0):
            fail("replay", f"--{name} {value:g}: give a number, 0 or more", 2)
    family, address = _resolve(to)
    capture, player, started = Capture(path), Replayer(family, address, speed, gap, port), time.monotonic()
    error: Exception | None = None
    try:
        while player.play(capture) and loop:
            pass
    except KeyboardInterrupt:
        pass
    except (BadCapture, OSError) as failure:
        error = failure
    finally:
        player.close()
    _summarize(player, address, time.monotonic() - started)
    if error is not None:
        fail("replay", str(error), 1)
    if not player.sent:
        hint = "; --port PORT sends all that went to a port" if player.left_out["answer"] else ""
        fail("replay", f"{path} has no datagram to send{hint}", 1)


def _resolve(to: str) -> tuple[int, Any]:
    host, colon, port = to.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) < 65536:
        fail("replay", f"{to!r}: give an address and a port, such as 127.0.0.1:53 or [::1]:53", 2)
    try:
        family, *_, address = socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)[0]
    except (OSError, UnicodeError) as error:
        fail("replay", f"{to!r}: {error}", 2)
    return family, address


def _summarize(player: Replayer, address: Any, seconds: float) -> None:
    sources = count(len(player.sources), "socket", "sockets")
    what = f"{count(player.sent, 'datagram', 'datagrams')}, {count(player.size, 'byte', 'bytes')}"
    left_out = ", ".join(f"{number:,} {cause}" for cause, number in player.left_out.most_common())
    rest = f"; not sent: {left_out}" if left_out else ""
    say(f"sent {what}, from {sources} to {format_address(address)} in {seconds:.2f} s{rest}")
