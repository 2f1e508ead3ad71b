"""The table: which peers have a place, by key and by address, in the order in which they were last used.

Each operation takes the same time however many peers there are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .peer import Peer


class Table:
    """The peers that have a place.

    A peer that is leaving has its place until its process has ended, but is not in the order any more.

    by_address: also finds peers by their address, as they have keys of their own.
    unproven: the number of places that unproven peers have.
    """

    def __init__(self, by_address: bool) -> None:
        self._peers: dict[Hashable, Peer] = {}
        self._places: dict[Any, dict[Peer, None]] | None = {} if by_address else None
        self._unproven: OrderedDict[Peer, None] = OrderedDict()
        self._proven: OrderedDict[Peer, None] = OrderedDict()
        self.unproven = 0
        self.get = self._peers.get

    def __len__(self) -> int:
        return len(self._peers)

    def peers(self) -> list[Peer]:
        """Returns all peers, the leaving ones too."""
        return list(self._peers.values())

    def at(self, address: Any) -> list[Peer]:
        """Returns the peers of an address."""
        if self._places is not None:
            return list(self._places.get(address, ()))
        peer = self._peers.get(address)
        return [] if peer is None else [peer]

    def add(self, peer: Peer) -> None:
        """Gives a place to a new peer."""
        if self._places is not None:
            self._places.setdefault(peer.address, {})[peer] = None
        self._unproven[peer] = None
        self._peers[peer.identity] = peer
        self.unproven += 1

    def remove(self, peer: Peer) -> None:
        """Takes the place of a peer. A second call does nothing."""
        if self._peers.get(peer.identity) is peer:
            del self._peers[peer.identity]
            self.unproven -= not peer.is_proven
            self._unplace(peer)
        self.leave(peer)

    def _unplace(self, peer: Peer) -> None:
        if self._places is not None:
            others = self._places.get(peer.address, {})
            others.pop(peer, None)
            if not others:
                self._places.pop(peer.address, None)

    def leave(self, peer: Peer) -> None:
        """Takes a peer out of the order: it keeps its place until `remove`."""
        (self._proven if peer.is_proven else self._unproven).pop(peer, None)

    def use(self, peer: Peer) -> None:
        """Makes a peer the most recently used one. Call it for none that is leaving."""
        (self._proven if peer.is_proven else self._unproven).move_to_end(peer)

    def prove(self, peer: Peer) -> None:
        """Makes an unproven peer a proven one. Call it for none that is leaving."""
        self._proven[peer] = None
        self._unproven.pop(peer)
        peer.is_proven = True
        self.unproven -= 1

    def move(self, peer: Peer, address: Any) -> None:
        """Changes the address of a peer, if it has a place."""
        if self._places is not None and self._peers.get(peer.identity) is peer:
            self._places.setdefault(address, {})[peer] = None
            if address != peer.address:
                self._unplace(peer)

    def least_used(self) -> Peer | None:
        """Returns the least recently used unproven peer that is not leaving, or None."""
        return next(iter(self._unproven), None)

    def quietest(self) -> Peer | None:
        """Returns the peer that has been silent longest, of those that are not leaving, or None."""
        one, other = self.least_used(), next(iter(self._proven), None)
        if one is None or other is None:
            return one or other
        return one if one.last <= other.last else other
