"""The table of connections: which are there, and how many each source has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...datagram.policy.networks import Number, number_of

if TYPE_CHECKING:
    from .connection import Connection


class Table:
    """The connections that have a place: each from its acceptance until its end was delivered.

    numbered: all of them, by their numbers. get: returns one by its number. at: returns one by its address.
    most: the most connections. most_per_source: the most of one source; None: no limit. prefix4, prefix6: the lengths
    of the networks that count as one source.
    """

    def __init__(self, most: int, most_per_source: int | None, prefix4: int, prefix6: int) -> None:
        self.most = most
        self.most_per_source = most_per_source
        self._drop4, self._drop6 = 32 - prefix4, 128 - prefix6
        self.numbered: dict[int, Connection] = {}
        self._by_address: dict[Any, Connection] = {}
        self._sources: dict[Any, int] = {}
        self.get = self.numbered.get
        self.at = self._by_address.get

    def limit(self, most: int, most_per_source: int | None) -> None:
        """Has other limits from now on. Connections above them stay."""
        self.most = most
        self.most_per_source = most_per_source

    def __len__(self) -> int:
        return len(self.numbered)

    def all(self) -> list[Connection]:
        """Returns all connections, in the order in which they came."""
        return list(self.numbered.values())

    def source_of(self, addr: Any) -> Any:
        """Returns what the connections of an address are counted by: its network."""
        number = number_of(addr[0]) if isinstance(addr, tuple) else None
        return addr if number is None else self._network_of(number)

    def _network_of(self, number: Number) -> Any:
        four, high, low = number
        return (4, low >> self._drop4) if four else (6, (high << 64 | low) >> self._drop6)

    @property
    def full(self) -> bool:
        """True if there is no place for one more."""
        return len(self.numbered) >= self.most

    def full_for(self, source: Any) -> bool:
        """Returns True if `source` has all of its places."""
        return self.most_per_source is not None and self._sources.get(source, 0) >= self.most_per_source

    def add(self, connection: Connection) -> None:
        """Gives a place to a connection."""
        self.numbered[connection.number] = connection
        self._by_address[connection.addr] = connection
        self._sources[connection.source] = self._sources.get(connection.source, 0) + 1

    def leave(self, connection: Connection) -> None:
        """Takes a connection that has ended out of those that are found by address. It keeps its place."""
        if self._by_address.get(connection.addr) is connection:
            del self._by_address[connection.addr]

    def remove(self, connection: Connection) -> None:
        """Takes the place of a connection. A second call does nothing."""
        if self.numbered.pop(connection.number, None) is None:
            return
        self.leave(connection)
        left = self._sources[connection.source] - 1
        if left:
            self._sources[connection.source] = left
        else:
            del self._sources[connection.source]
