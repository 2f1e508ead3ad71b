"""The source of sockets: the system, or a test's network that replaces it (`homing.testing`).

A substitute applies to the thread that has entered it, and to the threads of processes whose node runs on that thread.
This module knows nothing of nodes, so the caller of `enter` passes a function that finds a thread's home thread.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from typing import Any, NamedTuple, TypeAlias

from .options import SocketOptions

Bind: TypeAlias = Callable[[str, int, SocketOptions], Any]
"""Takes host, port and options, and returns a bound, non-blocking socket. Raises `BindFailed`, or `BadOption` for
options that this network does not have. The socket has the methods of `socket.socket` that the endpoint, the portable
backend and the error queue use, and a method `watch(on_error)` that returns a `backend.watch.Watch`, because no event
loop can watch such a socket."""


class _Substitute(NamedTuple):
    bind: Bind
    home: Callable[[], int]


_entered: dict[int, list[_Substitute]] = {}
"""The substitutes that each thread has entered, the innermost last."""


def current() -> Bind | None:
    """Returns the function that binds sockets for this thread instead of the system; None: the system binds."""
    if not _entered:
        return None
    own = _entered.get(get_ident())
    if own:
        return own[-1].bind
    for thread, substitutes in list(_entered.items()):
        if substitutes and substitutes[-1].home() == thread:
            return substitutes[-1].bind
    return None


def enter(bind: Bind, home: Callable[[], int] = get_ident) -> Callable[[], None]:
    """Makes `bind` bind sockets for this thread, until the returned function is called.

    home: returns the thread to which the calling thread belongs.
    """
    thread, substitute = get_ident(), _Substitute(bind, home)
    _entered.setdefault(thread, []).append(substitute)

    def leave() -> None:
        substitutes = _entered[thread]
        del substitutes[len(substitutes) - 1 - substitutes[::-1].index(substitute)]
        if not substitutes:
            del _entered[thread]

    return leave
