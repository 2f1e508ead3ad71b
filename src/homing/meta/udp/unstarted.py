"""A server or client that was created and that nobody starts: its socket is bound and nobody reads. The log says so."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable

from ...node.logs import META_LOGGER, ContextAdapter

_LOG = ContextAdapter(META_LOGGER, {})

PATIENCE = 1.0
"""Seconds from the creation until the log says that something was not started. It takes a step of the loop, mostly."""

_CALLS = "self.spawn_meta(...), meta.listen_udp(...) or meta.connect_udp(...)"
_WAITS = f"%s was created but not started, and nobody reads its socket: await {_CALLS}, or terminate it"
_DROPPED = f"%s was created and given up without a start, which closes its socket: await {_CALLS}"


class Unstarted:
    """Warns of `thing`, called `title` in the log, unless `over` is called soon."""

    __slots__ = ("_cancel", "_dropped")

    def __init__(self, thing: object, title: str) -> None:
        self._dropped = weakref.finalize(thing, _LOG.warning, _DROPPED, title)
        self._dropped.atexit = False  # the program ends: then nobody waits for it
        self._cancel: Callable[[], None] = _call_later(PATIENCE, _warn, self._dropped, title)

    def over(self) -> None:
        """It is being started, or was terminated."""
        self._cancel()
        self._dropped.detach()


def _warn(dropped: weakref.finalize[..., object], title: str) -> None:
    if dropped.alive:
        _LOG.warning(_WAITS, title)


def _call_later(seconds: float, function: Callable[..., None], *args: object) -> Callable[[], None]:
    """Calls a function later, by the loop that runs here, else by a thread. Returns what cancels that."""
    try:
        return asyncio.get_running_loop().call_later(seconds, function, *args).cancel
    except RuntimeError:
        timer = threading.Timer(seconds, function, args)
        timer.daemon = True
        timer.start()
        return timer.cancel
