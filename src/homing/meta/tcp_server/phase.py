"""The life of a TCP server, from its creation to its end, as one table.

    bound ---> starting ---> running
      |           |             |
      +-----------+-------------+--> closed

Rule 1: every change goes through this table.
Rule 2: in `bound` the server has a listening socket, which belongs to its creator until `spawn_meta`.
Rule 3: in `starting`, `init` runs, which may wait for workers. Connections wait in the kernel.
Rule 4: `closed` is final: the listening socket and all connections are closed, once.
"""

from __future__ import annotations

import enum
from types import MappingProxyType


class Phase(enum.Enum):
    """The phases in the life of a TCP server."""

    BOUND = "bound"
    STARTING = "starting"
    RUNNING = "running"
    CLOSED = "closed"


_P = Phase

TRANSITIONS = MappingProxyType(
    {
        _P.BOUND: frozenset({_P.STARTING, _P.CLOSED}),
        _P.STARTING: frozenset({_P.RUNNING, _P.CLOSED}),
        _P.RUNNING: frozenset({_P.CLOSED}),
        _P.CLOSED: frozenset(),
    }
)
"""Which phases may follow which."""
