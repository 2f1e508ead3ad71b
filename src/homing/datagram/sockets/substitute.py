"""Where sockets come from: the system, or a network that a test has put in its place (`homing.testing`).

The substitute counts for the thread that has entered it, and for threads that belong to that one: those of processes
whose node runs there. Which these are is told by whoever enters it, as nothing here knows of nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from typing import Any, NamedTuple, TypeAlias

from .options import SocketOptions

Bind: TypeAlias = Callable[[str, int, SocketOptions], Any]
"""Takes host, port and options, and returns a bound, non-blocking socket. Raises `BindFailed`, or `BadOption` for what
this network does not have. The socket has what the endpoint, the portable backend and the error queue use of
`socket.socket`, and a method `watch(on_error)`, which returns a `backend.watch.Watch`: no loop knows such a socket."""


class _Substitute(NamedTuple):
    bind: Bind
    home: Callable[[], int]


_entered: dict[int, list[_Substitute]] = {}
"""The substitutes that each thread has entered, the innermost last."""


def current() -> Bind | None:
    """Returns what binds instead of the system, here and now."""
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
    """From now on `bind` binds, until the function that is returned is called. home: returns the thread to which the
    calling thread belongs."""
    thread, substitute = get_ident(), _Substitute(bind, home)
    _entered.setdefault(thread, []).append(substitute)

    def leave() -> None:
        substitutes = _entered[thread]
        del substitutes[len(substitutes) - 1 - substitutes[::-1].index(substitute)]
        if not substitutes:
            del _entered[thread]

    return leave
