"""Warnings in the log of a server or client that was created but not started: its socket is bound and nobody reads."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable

from ...node.logs import META_LOGGER, ContextAdapter

_LOG = ContextAdapter(META_LOGGER, {})

PATIENCE = 1.0
"""Seconds from the creation to the warning. A start mostly follows within one turn of the loop."""

_CALLS = "self.spawn_meta(...), meta.listen_udp(...) or meta.connect_udp(...)"
_WAITS = f"%s was created but not started, and nobody reads its socket: await {_CALLS}, or terminate it"
_DROPPED = f"%s was created and garbage-collected before it was started, which closes its socket: await {_CALLS}"


class Unstarted:
    """Warns of `thing`, called `title` in the log, unless `over` is called soon."""

    __slots__ = ("_cancel", "_dropped")

    def __init__(self, thing: object, title: str) -> None:
        self._dropped = weakref.finalize(thing, _LOG.warning, _DROPPED, title)
        self._dropped.atexit = False  # no warning when the program ends
        self._cancel: Callable[[], None] = _call_later(PATIENCE, _warn, self._dropped, title)

    def over(self) -> None:
        """Cancels the warning: `thing` is being started, or was terminated."""
        self._cancel()
        self._dropped.detach()


def _warn(dropped: weakref.finalize[..., object], title: str) -> None:
    if dropped.alive:
        _LOG.warning(_WAITS, title)


def _call_later(seconds: float, function: Callable[..., None], *args: object) -> Callable[[], None]:
    """Calls a function later, by the running loop or, if there is none, by a thread. Returns a function that cancels
    the call."""
    try:
        return asyncio.get_running_loop().call_later(seconds, function, *args).cancel
    except RuntimeError:
        timer = threading.Timer(seconds, function, args)
        timer.daemon = True
        timer.start()
        return timer.cancel
