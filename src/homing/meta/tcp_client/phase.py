"""The life of a TCP client, from its creation to its end, as one table.

    made ---> connecting ---> running
      |           |              |
      +-----------+--------------+--> closed

Rule 1: every change goes through this table.
Rule 2: in `made` the client has no socket. In `connecting`, `init` runs.
Rule 3: `closed` is final: the connection is closed, once.
"""

from __future__ import annotations

import enum
from types import MappingProxyType


class Phase(enum.Enum):
    """The phases in the life of a TCP client."""

    MADE = "made"
    CONNECTING = "connecting"
    RUNNING = "running"
    CLOSED = "closed"


_P = Phase

TRANSITIONS = MappingProxyType(
    {
        _P.MADE: frozenset({_P.CONNECTING, _P.CLOSED}),
        _P.CONNECTING: frozenset({_P.RUNNING, _P.CLOSED}),
        _P.RUNNING: frozenset({_P.CLOSED}),
        _P.CLOSED: frozenset(),
    }
)
"""Which phases may follow which."""
