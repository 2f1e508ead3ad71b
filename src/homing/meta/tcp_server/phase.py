"""The life of a TCP server, from its creation to its end, as one table.

    bound ------+--> starting ---> running
    adopting ---+       |             |
                        +--> lingering <--+ (owner crashed)
                                 |
                                 v
                              adopted

Every phase but `adopted` also leads to `closed`.

Rule 1: every change goes through this table.
Rule 2: in `bound` the server has a listening socket, which belongs to its creator until `spawn_meta`.
Rule 3: in `starting`, `init` runs, which may wait for workers. Connections wait in the kernel.
Rule 4: in `adopting` the server has no socket: the lingering server keeps its own until `starting`.
Rule 5: in `lingering` the server has no owner, and accepts nothing. Its connections stay open.
Rule 6: `adopted` is final: the server has given everything away, and its end closes nothing. `closed` is final: the
        listening socket and all connections are closed, once.
"""

from __future__ import annotations

import enum
from types import MappingProxyType


class Phase(enum.Enum):
    """The phases in the life of a TCP server."""

    BOUND = "bound"
    ADOPTING = "adopting"
    STARTING = "starting"
    RUNNING = "running"
    LINGERING = "lingering"
    ADOPTED = "adopted"
    CLOSED = "closed"


_P = Phase

TRANSITIONS = MappingProxyType(
    {
        _P.BOUND: frozenset({_P.STARTING, _P.CLOSED}),
        _P.ADOPTING: frozenset({_P.STARTING, _P.CLOSED}),
        _P.STARTING: frozenset({_P.RUNNING, _P.LINGERING, _P.CLOSED}),
        _P.RUNNING: frozenset({_P.LINGERING, _P.CLOSED}),
        _P.LINGERING: frozenset({_P.ADOPTED, _P.CLOSED}),
        _P.ADOPTED: frozenset(),
        _P.CLOSED: frozenset(),
    }
)
"""Which phases may follow which."""
