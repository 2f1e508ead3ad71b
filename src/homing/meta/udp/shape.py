"""The options of a server that concern datagrams between their reading and their delivery."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple

from ...datagram import MessageUDP
from .codel import CoDel
from .fair import Fair


class Shape(NamedTuple):
    """See `UDPServerOptions`. oldest: what `fair` drops is the oldest of its source, not the newest."""

    loss_markers: bool
    max_age: float | None
    conflate: Callable[[MessageUDP], Hashable] | None
    codel: CoDel | None
    fair: Fair | None
    oldest: bool

    @property
    def needs_freshness(self) -> bool:
        """True if datagrams are looked at once more in their turn."""
        return self.max_age is not None or self.conflate is not None or self.codel is not None


PLAIN = Shape(False, None, None, None, None, False)
"""Nothing is asked for."""
