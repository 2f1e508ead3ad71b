"""The notifications of a service to systemd: ready, stopping, alive. The protocol is that of sd_notify(3).

A program that systemd has not started with `Type=notify` or `WatchdogSec=` sends none.
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
"""Seconds that a message, and with it the loop, may wait for room at systemd, which reads at once unless it hangs."""

_MOST_MICROSECONDS = 2**64 - 2
"""The largest time; systemd takes the next number, USEC_INFINITY, for no limit."""

_SHORTEST = 0.002
"""The shortest time between two WATCHDOG=1 is half of this, in seconds: otherwise the node would do nothing else."""

UNUSED_AFTER = 10.0
"""Seconds after which unused sockets are named in the log, if the program does not call `ready`."""


class Passed(Protocol):
    """The sockets passed to the program at its start. `datagram.sockets.inherited` implements it; this layer knows no
    sockets."""

    def read_environment(self) -> None:
        """Takes the sockets that systemd has passed to this program. A second call does nothing."""

    def kept(self) -> Iterable[Any]:
        """Returns the sockets. The `lent` of each is None until a server uses it."""


class _None:
    """No sockets."""

    def read_environment(self) -> None:
        """Does nothing."""

    def kept(self) -> Iterable[Any]:
        return ()


_passed: Passed = _None()


def use_passed_sockets(passed: Passed) -> None:
    """Makes services log the sockets of `passed` that no server uses."""
    global _passed
    _passed = passed


def notify(*assignments: str) -> bool:
    """Sends assignments such as "READY=1" to NOTIFY_SOCKET. Returns False if there is none. Raises `OSError`."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path or not hasattr(socket, "AF_UNIX"):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(_BLOCKED)
        sock.sendto("\n".join(assignments).encode(), f"\0{path[1:]}" if path.startswith("@") else path)
    return True


def watchdog_seconds() -> float:
    """Returns the seconds after which systemd gives up a silent program, see sd_watchdog_enabled(3). 0: never, also if
    the variable holds no sensible number."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0  # the variable is meant for the program that has started this one
    seconds = (decimal_of(microseconds, _MOST_MICROSECONDS) or 0) / 1e6
    return min(max(seconds, _SHORTEST), MOST_SECONDS) if seconds else 0.0


class Service:
    """One node as a service. `ready`: True once READY=1 was sent."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.ready = False
        self._timer: asyncio.TimerHandle | None = None
        _passed.read_environment()
        if _passed.kept():
            self._timer = core.loop.call_later(UNUSED_AFTER, self._name_unused)

    def started(self, status: str) -> None:
        """Sends READY=1, and from now on WATCHDOG=1."""
        first, self.ready = not self.ready, True
        self._tell("READY=1", *([f"STATUS={' '.join(status.split())}"] if status else []))
        if first:
            self._name_unused()
            self._live()

    def reloading(self) -> None:
        """Sends RELOADING=1: a successor starts. (`Type=notify-reload` needs the time, by CLOCK_MONOTONIC.)"""
        if self.ready:
            self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def going_on(self) -> None:
        """Sends READY=1 again, as the successor has failed."""
        if self.ready:
            self._tell("READY=1")

    def stopping(self) -> None:
        """Sends STOPPING=1."""
        if self.ready:
            self._tell("STOPPING=1")

    def hand_over(self, pid: int) -> None:
        """Sends MAINPID=: from here on another program is the service, and sends its notifications."""
        if self.ready:
            self.ready = False
            self._tell(f"MAINPID={pid}")

    def close(self) -> None:
        """Stops sending."""
        if self._timer is not None:
            self._timer.cancel()

    def _live(self) -> None:
        """Sends WATCHDOG=1 in half the time: a loop that is blocked sends none."""
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
                "no server uses these sockets, which were passed to the program: %s; give a server "
                "activation=<name>, or remove them from the .socket unit",
                ", ".join(unused),
            )

    def _tell(self, *assignments: str) -> None:
        try:
            notify(*assignments)
        except OSError as error:
            self._core.limited_log.warning(
                self._core.loop.time(), "NOTIFY_SOCKET", "systemd was not notified of %s: %s", assignments[0], error
            )
