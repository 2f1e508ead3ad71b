"""The life of a UDP server, from its creation to its end, as one table.

    bound ------+--> starting ---> running
    adopting ---+       |             |
                        +--> lingering <--+ (owner crashed)
                                 |
                                 v
                              adopted

From each of them but `adopted` the way leads to `closed` as well.

Rule 1: every change goes through this table.
Rule 2: `bound` has a socket, which belongs to its creator until `spawn_meta`. `adopting` has none of its own: the state
        of the server that it is to adopt stays with that one until `starting`.
Rule 3: in `starting`, `init` runs: workers may take their time. If the owner crashes meanwhile, an adopted socket
        lingers again.
Rule 4: `lingering` has no owner, and can be found by its address (`adoption`); in no other phase can it be found.
Rule 5: `adopted` has given its state away: whatever ends it then, closes nothing.
Rule 6: nothing leaves `adopted` and `closed`.
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
