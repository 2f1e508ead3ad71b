"""The peers that are ignored for a while, because they were refused or sent what cannot be read."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from .engine import Peer

GARBAGE, GARBAGE_SECONDS = 10, 10.0
"""So many batches that cannot be read, within that many seconds, are too many."""

SECONDS = 60.0
"""For so long a peer is ignored."""


class _Ignored:
    """One peer. address: None while the engine says that it is down."""

    __slots__ = ("address", "peer", "timer")

    def __init__(self, peer: Peer, address: str, timer: asyncio.TimerHandle) -> None:
        self.peer = peer
        self.address: str | None = address
        self.timer = timer


class IgnoredPeers:
    """Those of one node. begin: called with a peer and its address when its time is over, if it is still there."""

    def __init__(self, loop: asyncio.AbstractEventLoop, begin: Callable[[Peer, str], object]) -> None:
        self._loop = loop
        self._begin = begin
        self._by_name: dict[str, _Ignored] = {}
        self._garbage: dict[str, deque[float]] = {}

    def is_too_much(self, name: str) -> bool:
        """Counts a batch of a peer that could not be read. Returns True if there were too many."""
        now = self._loop.time()
        times = self._garbage.setdefault(name, deque(maxlen=GARBAGE))
        times.append(now)
        return len(times) == GARBAGE and now - times[0] <= GARBAGE_SECONDS

    def add(self, peer: Peer, address: str) -> None:
        """Ignores a peer that is there, from now on."""
        self._forgive(peer.name)
        timer = self._loop.call_later(SECONDS, self._over, peer.name)
        self._by_name[peer.name] = _Ignored(peer, address, timer)

    def has(self, peer: Peer, address: str) -> bool:
        """Returns True if a peer that has come up is ignored. A later start of the node is not."""
        ignored = self._by_name.get(peer.name)
        if ignored is None:
            return False
        if peer.creation > ignored.peer.creation:
            self._forgive(peer.name)
            return False
        if peer == ignored.peer:
            ignored.address = address
        return True

    def lost(self, peer: Peer) -> None:
        """Notes that a peer is down. It is still ignored if it comes up again in time."""
        self._garbage.pop(peer.name, None)
        ignored = self._by_name.get(peer.name)
        if ignored is not None and ignored.peer == peer:
            ignored.address = None

    def clear(self) -> None:
        """Forgets all of them."""
        for name in tuple(self._by_name):
            self._forgive(name)

    def _forgive(self, name: str) -> None:
        self._garbage.pop(name, None)
        ignored = self._by_name.pop(name, None)
        if ignored is not None:
            ignored.timer.cancel()

    def _over(self, name: str) -> None:
        ignored = self._by_name.pop(name)
        if ignored.address is not None:
            self._begin(ignored.peer, ignored.address)
