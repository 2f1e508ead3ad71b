"""SIGHUP: asks a program that was started with `--config` to read the file again.

Without `--config` the signal ends the program, as it does any other.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

NUMBERS = tuple(filter(None, [getattr(signal, "SIGHUP", None)]))
"""SIGHUP, if the system has it."""


def call(function: Callable[[], object], hung_up: Callable[[], object]) -> None:
    """Calls `function` on the running event loop on each SIGHUP from now on, also if it was blocked until now; if the
    terminal of the program was closed, calls `hung_up` instead. On the main thread only."""
    loop = asyncio.get_running_loop()
    had_terminal = _has_terminal()

    def received(*_: object) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(hung_up if had_terminal and not _has_terminal() else function)

    for number in NUMBERS:
        signal.signal(number, received)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, NUMBERS)


def _has_terminal() -> bool:
    with suppress(ValueError, OSError, AttributeError):
        return sys.stderr.isatty()
    return False


def ignore() -> None:
    """Makes SIGHUP do nothing until the end of the program."""
    for number in NUMBERS:
        signal.signal(number, signal.SIG_IGN)


def block() -> None:
    """Blocks SIGHUP in a child that is just being started: it waits until `call`."""
    for number in NUMBERS:
        signal.pthread_sigmask(signal.SIG_BLOCK, [number])
