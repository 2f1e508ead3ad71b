"""Where sockets come from: the system, or a network that a test has put in its place (`homing.testing`).

The substitute counts for the thread that has entered it, and for the threads of processes whose node runs there.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from threading import get_ident
from typing import Any, TypeAlias

from .options import SocketOptions

home: ContextVar[int] = ContextVar("homing thread")
"""On the thread of a process: that of its node."""

Bind: TypeAlias = Callable[[str, int, SocketOptions], Any]
"""Takes host, port and options, and gives a bound, non-blocking socket. Raises `BindFailed`, or `BadOption` for what
this network has not. The socket has what the endpoint, the portable backend and the error queue use of
`socket.socket`, and a method `watch(on_error)`, which gives a `watch.Watch`: no loop knows such a socket."""

_entered: dict[int, list[Bind]] = {}


def current() -> Bind | None:
    """What binds instead of the system, here and now."""
    if not _entered:
        return None
    binds = _entered.get(get_ident()) or _entered.get(home.get(0))
    return binds[-1] if binds else None


def enter(bind: Bind) -> Callable[[], None]:
    """From now on `bind` binds, until the function that is given back is called."""
    thread = get_ident()
    _entered.setdefault(thread, []).append(bind)

    def leave() -> None:
        binds = _entered[thread]
        del binds[len(binds) - 1 - binds[::-1].index(bind)]
        if not binds:
            del _entered[thread]

    return leave
