"""The life of a UDP client, from its creation to its end, as one table.

    named --> resolving --> connected --> running
                                ^
        (an address was given) -+

From each of them the way leads to `closed`, which nothing leaves.

Rule 1: every change goes through this table.
Rule 2: there is a socket, and the peer's address is known, from `connected` on. Where the peer was given by name, both
        come about in `init`; until `spawn_meta` a `connected` client belongs to its creator.
Rule 3: requests are open in `running` only.
"""

from __future__ import annotations

import enum
from types import MappingProxyType


class Phase(enum.Enum):
    """The phases in the life of a UDP client."""

    NAMED = "named"
    RESOLVING = "resolving"
    CONNECTED = "connected"
    RUNNING = "running"
    CLOSED = "closed"


_P = Phase

TRANSITIONS = MappingProxyType(
    {
        _P.NAMED: frozenset({_P.RESOLVING, _P.CONNECTED, _P.CLOSED}),
        _P.RESOLVING: frozenset({_P.CONNECTED, _P.CLOSED}),
        _P.CONNECTED: frozenset({_P.RUNNING, _P.CLOSED}),
        _P.RUNNING: frozenset({_P.CLOSED}),
        _P.CLOSED: frozenset(),
    }
)
"""Which phases may follow which."""
