"""Going on in another OS process: `homing run --takeover`, and SIGUSR2, upon which a program starts its own successor.

The sockets are handed over through `<node name>.takeover`, beside the control socket.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading

from ..gen import HomingError
from ..meta import TakeOver
from ..meta.upgrade.predecessor import Offer
from ..node import Node
from ..node.node import internals
from .control import check_directory, path_of

FLAG = "--takeover"


def take_over(node: Node) -> TakeOver:
    """The node of this name that runs on this machine, to be taken over from. Raises `ControlError`, `OSError`."""
    return TakeOver(node, _path(node))


def _path(node: Node) -> str:
    path = path_of(node.name, "takeover")
    path.parent.mkdir(mode=0o700, exist_ok=True)
    check_directory(path.parent)
    return str(path)


def offer(node: Node) -> None:
    """Lets a successor take over from this node, and starts one upon SIGUSR2. Where that cannot be, the log tells."""
    if sys.platform != "linux":
        return
    try:
        Offer(node, _path(node))
    except (OSError, HomingError) as error:
        node.log.warning("nobody can take over from this node: %s", error)
    else:
        upgrade_on_signal(node)


def upgrade_on_signal(node: Node) -> None:
    """From now on SIGUSR2 starts a successor."""
    if threading.current_thread() is threading.main_thread():
        upgrade = _Upgrade(node)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR2, upgrade.start)
        node.on_stopped(upgrade.close)


class _Upgrade:
    """Starts the program anew, as its own successor, one at a time."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._loop = asyncio.get_running_loop()
        self._child = -1

    def start(self) -> None:
        """The same command, with what is installed now."""
        if self._child >= 0:
            self._node.log.warning("SIGUSR2: a successor is starting already")
            return
        arguments = [sys.executable, *sys.orig_argv[1:]]
        if FLAG not in arguments:
            arguments.append(FLAG)
        # WATCHDOG_PID names this process; the successor is the one that is to live
        env = {name: value for name, value in os.environ.items() if name != "WATCHDOG_PID"}
        internals(self._node).service.reloading()
        pid = os.posix_spawn(sys.executable, arguments, env)
        self._node.log.info("SIGUSR2: OS process %d is to take over", pid)
        self._child = os.pidfd_open(pid)
        self._loop.add_reader(self._child, self._ended, pid)

    def _ended(self, pid: int) -> None:
        """The successor has ended before this program: this one goes on."""
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self._forget()
        self._node.log.error("OS process %d, which was to take over, has ended (%d); this one goes on", pid, code)
        internals(self._node).service.going_on()

    def _forget(self) -> None:
        if self._child >= 0:
            self._loop.remove_reader(self._child)
            os.close(self._child)
            self._child = -1

    def close(self) -> None:
        """Forgets the successor, which goes on."""
        self._forget()
        self._loop.remove_signal_handler(signal.SIGUSR2)
