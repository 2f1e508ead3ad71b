"""Continuing in another OS process: `homing run --takeover`, and SIGUSR2, on which a program starts its successor.

The sockets are handed over through `<node name>.takeover`, beside the control socket.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from ..gen import HomingError
from ..meta import TakeOver
from ..meta.upgrade.predecessor import ANSWER_TIMEOUT, START_TIMEOUT, Offer
from ..node import Node
from ..node.node import internals
from ..observe.control.directory import ControlError, path_of
from ..observe.control.server import require_unix_sockets
from . import upgrade_signal

FLAG = "--takeover"

MOST_SECONDS = START_TIMEOUT + 2 * ANSWER_TIMEOUT
"""Seconds after which a successor that has neither taken over nor ended is killed: by then the predecessor has refused
it, or the successor has never connected."""

_LOOK = 0.05
"""Seconds between two checks whether the successor has ended. Polling also works if SIGCHLD is ignored, and needs no
file descriptor, of which there may be none left."""


def same_command(*more: str) -> list[str]:
    """Returns the command of this program, with more options. The last of equal options counts."""
    # Python may not know its own path: then no program of that name is found, and the caller says so.
    return with_options([sys.executable or "python", *sys.orig_argv[1:]], *more)


def with_options(command: Sequence[str], *more: str) -> list[str]:
    """Returns a command with more options."""
    end = command.index("--") if "--" in command else len(command)  # nothing behind "--" is an option
    return [*command[:end], *more, *command[end:]]


def take_over(node: Node) -> TakeOver:
    """Returns the `TakeOver` from the running node of this name on this machine. Raises `ControlError`."""
    return TakeOver(node, _path(node))


def _path(node: Node) -> str:
    require_unix_sockets()
    try:
        return str(path_of(node.name, "takeover"))
    except OSError as error:
        raise ControlError(f"there is no place for the sockets of {node.name}: {error}; set XDG_RUNTIME_DIR") from None


def offer(node: Node) -> str:
    """Lets a successor take over from this node. Returns "" or, if that is not possible, the reason, and logs it."""
    try:
        Offer(node, _path(node))
    except (OSError, HomingError) as error:
        node.log.warning("no successor can take over from this node: %s", error)
        return f"no successor can take over from this node: {error}"
    return ""


class Upgrade:
    """Starts the program again on SIGUSR2, as its own successor, one at a time. From the creation of this object until
    the end of the program, the signal never ends the program.

    refusal: why no successor can be started now; "" if one can.
    """

    def __init__(self, node: Node) -> None:
        self.refusal = "this node is still starting"
        self._node = node
        self._loop = asyncio.get_running_loop()
        self._child = 0
        self._give_up = 0.0
        self._timer: asyncio.TimerHandle | None = None
        upgrade_signal.call(self.start)
        node.on_stopped(self.close)

    def start(self) -> None:
        """Starts a successor: the same command, with the packages installed now. Logs the reason if it cannot."""
        refusal = self.refusal
        if self._child:
            refusal = "a successor is starting already"
        elif self._node.info().state != "running":
            refusal = "this node is stopping"
        if refusal:
            self._node.log.warning("SIGUSR2: %s", refusal)
            return
        internals(self._node).service.reloading()
        try:
            self._child = self._spawn()
        except OSError as error:
            self._failed("no successor can be started: %s", error.strerror or error)
            return
        self._node.log.info("SIGUSR2: OS process %d is to take over", self._child)
        self._give_up = self._loop.time() + MOST_SECONDS
        self._look()

    def _spawn(self) -> int:
        arguments = same_command(*() if FLAG in sys.argv else (FLAG,))
        # WATCHDOG_PID names this process; the service manager must watch the successor.
        env = {name: value for name, value in os.environ.items() if name != "WATCHDOG_PID"}
        # At first the successor has no handler yet: until then the signal is blocked and waits.
        return os.posix_spawn(arguments[0], arguments, env, setsigmask=upgrade_signal.NUMBERS)

    def _look(self) -> None:
        """Checks repeatedly whether the successor has ended before this program."""
        try:
            pid, status = os.waitpid(self._child, os.WNOHANG)
        except ChildProcessError:
            self._ended("exit code unknown: SIGCHLD is ignored, or others wait for children")
            return
        if pid:
            self._ended(str(os.waitstatus_to_exitcode(status)))
            return
        if self._loop.time() >= self._give_up:
            self._node.log.error("OS process %d has not taken over in %g s and is killed", self._child, MOST_SECONDS)
            with suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGKILL)
        self._timer = self._loop.call_later(_LOOK, self._look)

    def _ended(self, how: str) -> None:
        child, self._child = self._child, 0
        self._failed("OS process %d, which was to take over, has ended (%s)", child, how)

    def _failed(self, text: str, *args: object) -> None:
        """Logs that this program continues, and reports it to the service manager."""
        self._node.log.error(f"{text}; this program continues", *args)
        internals(self._node).service.going_on()

    def close(self) -> None:
        """Stops watching the successor, which continues."""
        if self._timer is not None:
            self._timer.cancel()
        upgrade_signal.ignore()
