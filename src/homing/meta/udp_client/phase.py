"""The life of a UDP client, from its creation to its end, as one table.

    named --> resolving --> connected --> running
                                ^
        (an address was given) -+

Every phase also leads to `closed`, which is final.

Rule 1: every change goes through this table.
Rule 2: from `connected` on there is a socket, and the peer's address is known. If the peer was given by name, that
        happens in `init`. Until `spawn_meta` a `connected` client belongs to its creator.
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
