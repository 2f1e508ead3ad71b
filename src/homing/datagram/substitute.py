"""Where sockets come from: the system, or a network that a test has put in its place (`homing.testing`).

The substitute counts for the thread that has entered it, and for the threads of processes whose node runs there.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from threading import get_ident
from typing import Any, Protocol

from .options import SocketOptions

home: ContextVar[int] = ContextVar("homing thread")
"""On the thread of a process: that of its node."""

_entered: dict[int, list[Network]] = {}


class Network(Protocol):
    """What sockets are bound in. A socket is what `Endpoint` and the portable backend use of `socket.socket`, and has
    a method `watched_on(loop)`: it gives the loop as the endpoint uses it, on which no system knows the socket."""

    def bind(self, host: str, port: int, options: SocketOptions) -> Any:
        """A bound, non-blocking socket. Raises `BindFailed`, or `BadOption` for what this network has not."""


def current() -> Network | None:
    """The network that serves instead of the system, here and now."""
    if not _entered:
        return None
    networks = _entered.get(get_ident()) or _entered.get(home.get(0))
    return networks[-1] if networks else None


def enter(network: Network) -> Callable[[], None]:
    """From now on `network` serves, until the function that is given back is called."""
    thread = get_ident()
    _entered.setdefault(thread, []).append(network)

    def leave() -> None:
        networks = _entered[thread]
        del networks[len(networks) - 1 - networks[::-1].index(network)]
        if not networks:
            del _entered[thread]

    return leave
