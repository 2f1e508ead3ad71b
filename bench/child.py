"""Starts the processes under test and the load generator, pins them to cores, and limits their time."""

from __future__ import annotations

import asyncio
import functools
import importlib
import os
import signal
import subprocess
from collections.abc import Callable
from typing import Any

LIFE = 120
"""Seconds after which a child ends itself, even if its parent has failed to end it."""

SPIN = 0.001
"""Seconds for which the event loop of a contestant that spins polls after an event."""

SPINNING = ", spin 1 ms"
"""The end of the name of a contestant whose event loop spins."""

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


TIMED = ", with a timer"
"""The end of the name of a contestant whose event loop has a timer that is not due yet, as most services have."""

TICK = 0.1
"""Seconds between two ticks of such a timer."""


def cores() -> tuple[int, int] | None:
    """Returns the cores for the process under test and for the load; None if there is one, or the system cannot pin."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[1]) if len(usable) > 1 else None


def pinned(which: int) -> Callable[[], None] | None:
    """Returns a function for `preexec_fn` that pins the new process to the core of the test (0) or of the load (1)."""
    pair = cores()
    return None if pair is None else lambda: os.sched_setaffinity(0, {pair[which]})


def start(command: list[str], *, session: bool = False, pin_it: bool = True, **streams: Any) -> subprocess.Popen[str]:
    """Starts a command as a process under test. session: with its own process group, so that its children end too.
    pin_it: on the core of the test; else it may use all cores."""
    pin = pinned(0) if pin_it else None

    def prepare() -> None:
        limit_life()
        if pin is not None:
            pin()

    return subprocess.Popen(
        command,
        text=True,
        cwd=ROOT,
        preexec_fn=prepare if os.name == "posix" else None,
        start_new_session=session,
        **streams,
    )


def output(command: list[str], core: int) -> str:
    """Runs a command on a core to its end, and returns its output. Raises if it fails or takes too long."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT, preexec_fn=pinned(core), timeout=LIFE, check=True
    )
    return done.stdout


def limit_life() -> None:
    """Lets this process end after `LIFE` seconds. To be called first in a child."""
    if hasattr(signal, "alarm"):
        signal.alarm(LIFE)


def loop_factory(contestant: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Returns the factory of the event loop in a contestant's name; None: asyncio's own. Homing is on its own loop,
    unless another is named."""
    if contestant.endswith("on asyncio"):
        return None
    if contestant.endswith(SPINNING):
        return functools.partial(importlib.import_module("homing").new_event_loop, spin=SPIN)
    for package in ("uvloop", "rloop", "homing"):
        if package in contestant:
            factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module(package).new_event_loop
            return factory
    return None
