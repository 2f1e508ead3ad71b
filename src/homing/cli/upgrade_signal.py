"""SIGUSR2, from the first moment of `homing run` to its last: it asks for an upgrade, and never ends the program.

Rule 1: one handler replaces another directly. To remove a handler by the event loop would restore the default in
between, which ends the program.
Rule 2: programs that this one starts do not inherit handlers, but they inherit SIG_IGN: so that is set only when no
program is started any more.
"""

from __future__ import annotations

import asyncio
import atexit
import signal
from collections.abc import Callable
from contextlib import suppress

NUMBERS = tuple(filter(None, [getattr(signal, "SIGUSR2", None)]))
"""SIGUSR2, if the system has it."""


def hold() -> None:
    """Makes SIGUSR2 do nothing from now on, also if it was blocked when the program was started."""
    for number in NUMBERS:
        signal.signal(number, _do_nothing)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, NUMBERS)
        atexit.register(ignore)


def _do_nothing(*_: object) -> None:
    """Ignores the signal: nothing can be upgraded yet."""


def call(function: Callable[[], object]) -> None:
    """Calls `function` on the running event loop on each SIGUSR2 from now on. On the main thread only."""
    loop = asyncio.get_running_loop()

    def received(*_: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: there is nothing left to upgrade
            loop.call_soon_threadsafe(function)

    for number in NUMBERS:
        signal.signal(number, received)


def ignore() -> None:
    """Makes SIGUSR2 do nothing until the end of the program."""
    for number in NUMBERS:
        signal.signal(number, signal.SIG_IGN)
