"""Forks: a node stays in the OS process in which it was started.

A forked child has a copy of the node's memory and duplicates of its descriptors, but none of its threads. Two
descriptors must not stay shared with the parent: the one through which Python wakes an event loop upon a signal, as a
SIGTERM to the child would stop the parent; and the epoll of the event loop, in which the child would unregister the
parent's sockets. The UDP sockets are closed by `datagram.sockets.forks`.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    import asyncio

    from .core import Core

_cores: WeakSet[Core] = WeakSet()
_before = threading.local()
"""`mask`: the signals that the forking thread had blocked before the fork."""


def separate_forks(core: Core) -> None:
    """Separates each child forked from now on from this node, until `forget`."""
    _cores.add(core)


def forget(core: Core) -> None:
    """Ends that, as the node has stopped."""
    _cores.discard(core)


def running() -> tuple[Core, ...]:
    """Returns the nodes that run in this OS process."""
    return tuple(_cores)


def _block_signals() -> None:
    """Blocks signals during a fork: one that came to the child before its separation would go to the parent's loop."""
    if _cores and hasattr(signal, "pthread_sigmask"):
        _before.mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def _unblock_signals() -> None:
    mask, _before.mask = getattr(_before, "mask", None), None
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _separate() -> None:
    try:
        if _cores:
            signal.set_wakeup_fd(-1)
            for number in signal.valid_signals():
                if _is_of_a_loop(signal.getsignal(number)):
                    signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        for core in tuple(_cores):
            core.forked()
            separate_loop(core.loop)
        _cores.clear()
    finally:
        _unblock_signals()


def _is_of_a_loop(handler: Any) -> bool:
    """Returns True for handlers that only wake the parent's event loop or cancel its task, and for Homing's own."""
    function = getattr(handler, "func", handler)  # the function of a `partial`
    return callable(function) and str(getattr(function, "__module__", "")).split(".")[0] in (
        "asyncio",
        "uvloop",
        "homing",
    )


def separate_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Replaces the epoll that the loop shares with its parent by an empty one."""
    selector = getattr(loop, "_selector", loop)  # uvloop has none
    fileno = getattr(selector, "fileno", None) or getattr(selector, "_get_backend_id", None)
    if fileno is not None and hasattr(select, "epoll"):
        with select.epoll() as empty:
            os.dup2(empty.fileno(), fileno(), inheritable=False)


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(before=_block_signals, after_in_parent=_unblock_signals, after_in_child=_separate)
