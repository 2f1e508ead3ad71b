"""The life of a UDP server, from its creation to its end, as one table.

    bound ------+--> starting ---> running
    adopting ---+       |             |
                        +--> lingering <--+ (owner crashed)
                                 |
                                 v
                              adopted

Every phase but `adopted` also leads to `closed`.

Rule 1: every change goes through this table.
Rule 2: in `bound` the server has a socket, which belongs to its creator until `spawn_meta`. In `adopting` it has none:
        the state that it is to adopt stays with the lingering server until `starting`.
Rule 3: in `starting`, `init` runs, which may wait for workers. If the owner crashes meanwhile, an adopted socket
        lingers again.
Rule 4: in `lingering` the server has no owner. Only in this phase can it be found by its address (`adoption`).
Rule 5: in `adopted` the server has given its state away: its end closes nothing.
Rule 6: `adopted` and `closed` are final.
"""

from __future__ import annotations

import enum
from types import MappingProxyType


class Phase(enum.Enum):
    """The phases in the life of a UDP server."""

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
