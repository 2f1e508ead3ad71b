"""The processes under test and the load generator: how they are started, pinned to a core, and bounded in time."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import subprocess
from collections.abc import Callable
from typing import Any

LIFE = 120
"""Seconds after which a child ends itself, whatever happened to those who should have ended it."""

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def cores() -> tuple[int, int] | None:
    """The cores for the process under test and for the load, where there are two and the system lets us choose."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[1]) if len(usable) > 1 else None


def pinned(which: int) -> Callable[[], None] | None:
    """For `preexec_fn`: pins the new process to the core of the test (0) or of the load (1)."""
    pair = cores()
    return None if pair is None else lambda: os.sched_setaffinity(0, {pair[which]})


def start(command: list[str], *, session: bool = False, **streams: Any) -> subprocess.Popen[str]:
    """Starts a command as a process under test; `session`: with its own process group, so that its children end too."""
    pin = pinned(0)

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
    """Runs a command on a core to its end, and gives what it printed. Raises if it fails or takes too long."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT, preexec_fn=pinned(core), timeout=LIFE, check=True
    )
    return done.stdout


def limit_life() -> None:
    """Called in a child first of all."""
    if hasattr(signal, "alarm"):
        signal.alarm(LIFE)


def loop_factory(contestant: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The event loop that a contestant's name asks for."""
    for package in ("uvloop", "rloop"):
        if package in contestant:
            factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module(package).new_event_loop
            return factory
    return None
