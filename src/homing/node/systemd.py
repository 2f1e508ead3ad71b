"""What a service tells systemd: that it is ready, that it stops, that it lives. The protocol is that of sd_notify(3).

A program that systemd has not started with `Type=notify` or `WatchdogSec=` tells nobody anything.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from ..gen.options import MOST_SECONDS, decimal_of

if TYPE_CHECKING:
    import asyncio

    from .core import Core

_BLOCKED = 0.5
"""Seconds that a message may wait for room at systemd, which the loop waits too. It reads at once unless it hangs."""

_MOST_MICROSECONDS = 2**64 - 2
"""More is no time for systemd (USEC_INFINITY)."""

_SHORTEST = 0.002
"""Seconds in which WATCHDOG=1 is sent twice at most, however often it is asked for: else nothing else would be done."""

UNUSED_AFTER = 10.0
"""Seconds after which sockets that nobody has asked for are named, where the program does not tell that it is ready."""


class Passed(Protocol):
    """The sockets with which the program was started. `datagram.sockets.inherited` is one; this layer knows no
    sockets."""

    def read_environment(self) -> None:
        """Takes the sockets that systemd has passed to this program. A second time does nothing."""

    def kept(self) -> Iterable[Any]:
        """Returns them. The `lent` of each is None until somebody has asked for it."""


class _None:
    """No sockets."""

    def read_environment(self) -> None:
        """There are none."""

    def kept(self) -> Iterable[Any]:
        return ()


_passed: Passed = _None()


def use_passed_sockets(passed: Passed) -> None:
    """Lets each service from now on name those of these sockets that nobody uses."""
    global _passed
    _passed = passed


def notify(*assignments: str) -> bool:
    """Sends assignments such as "READY=1" to NOTIFY_SOCKET. False if there is none. Raises `OSError`."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path or not hasattr(socket, "AF_UNIX"):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(_BLOCKED)
        sock.sendto("\n".join(assignments).encode(), f"\0{path[1:]}" if path.startswith("@") else path)
    return True


def watchdog_seconds() -> float:
    """Seconds after which systemd gives a silent program up, sd_watchdog_enabled(3). 0: never, also if the variable
    holds no number that can be meant."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0  # it is meant for the program that has started this one
    seconds = (decimal_of(microseconds, _MOST_MICROSECONDS) or 0) / 1e6
    return min(max(seconds, _SHORTEST), MOST_SECONDS) if seconds else 0.0


class Service:
    """One node as a service. `ready`: it has told that it is."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.ready = False
        self._timer: asyncio.TimerHandle | None = None
        _passed.read_environment()
        if _passed.kept():
            self._timer = core.loop.call_later(UNUSED_AFTER, self._name_unused)

    def started(self, status: str) -> None:
        """READY=1, and from now on WATCHDOG=1."""
        first, self.ready = not self.ready, True
        self._tell("READY=1", *([f"STATUS={' '.join(status.split())}"] if status else []))
        if first:
            self._name_unused()
            self._live()

    def reloading(self) -> None:
        """RELOADING=1: a successor starts. (For `Type=notify-reload` with the time, CLOCK_MONOTONIC.)"""
        if self.ready:
            self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def going_on(self) -> None:
        """READY=1 once more: that successor has failed."""
        if self.ready:
            self._tell("READY=1")

    def stopping(self) -> None:
        """STOPPING=1."""
        if self.ready:
            self._tell("STOPPING=1")

    def hand_over(self, pid: int) -> None:
        """MAINPID=: the service is another program's from here on, and so is what is to be told."""
        if self.ready:
            self.ready = False
            self._tell(f"MAINPID={pid}")

    def close(self) -> None:
        """Tells nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    def _live(self) -> None:
        """WATCHDOG=1 in half the time: a loop that is blocked says nothing."""
        seconds = watchdog_seconds()
        if seconds and self.ready:
            self._tell("WATCHDOG=1")
            self._timer = self._core.loop.call_later(seconds / 2, self._live)

    def _name_unused(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        unused = [str(one) for one in _passed.kept() if one.lent is None]
        if unused:
            self._core.log.warning(
                "nobody reads these sockets, with which the program was started: %s; give a UDP server "
                "activation=<name>, or take them out of the .socket unit",
                ", ".join(unused),
            )

    def _tell(self, *assignments: str) -> None:
        try:
            notify(*assignments)
        except OSError as error:
            self._core.limited_log.warning(
                self._core.loop.time(), "NOTIFY_SOCKET", "systemd was not told %s: %s", assignments[0], error
            )
