"""The open requests of a UDP client, by peer and key: to find the requests that a reply or an ICMP error can concern
takes the same time, however many are open."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Hashable

from ...datagram import Address
from .request import Request

SHORT = 524
"""Bytes of a payload that every path takes: Linux assumes an MTU of 552 at least, headers included
(net.ipv4.route.min_pmtu), and IPv6 requires 1280."""


class Table:
    """The open requests to one peer, or to all peers.

    keyed: requests with a key, and of those that share a question the first. others: requests without a key, by their
        number. Both are in the order of opening.
    """

    __slots__ = ("_lengths", "_long", "keyed", "others")

    def __init__(self) -> None:
        self.keyed: dict[Hashable, Request] = {}
        self.others: dict[int, Request] = {}
        self._long: dict[int, dict[int, Request]] = {}
        self._lengths: list[int] = []  # the keys of `_long`, in order

    def __len__(self) -> int:
        return len(self.keyed) + len(self.others)

    def add(self, request: Request) -> None:
        """`request` is open."""
        if request.plan.keyed:
            self.keyed[request.key] = request
        else:
            self.others[request.number] = request
        if len(request.message.data) > SHORT:
            self._add_long(request)

    def remove(self, request: Request) -> None:
        """`request` has ended."""
        if request.plan.keyed:
            del self.keyed[request.key]
        else:
            del self.others[request.number]
        if len(request.message.data) > SHORT:
            self._remove_long(request)

    def replace(self, request: Request, other: Request) -> None:
        """`request` has ended, and `other` represents the question that both have shared."""
        if self.keyed[request.key] is not request:
            return
        self.keyed[request.key] = other
        length = len(request.message.data)
        if length > SHORT:
            self._long[length][other.number] = other

    def _add_long(self, request: Request) -> None:
        length = len(request.message.data)
        alike = self._long.get(length)
        if alike is None:
            alike = self._long[length] = {}
            insort(self._lengths, length)
        alike[request.number] = request

    def _remove_long(self, request: Request) -> None:
        length = len(request.message.data)
        alike = self._long[length]
        del alike[request.number]
        if not alike:
            del self._long[length]
            del self._lengths[bisect_right(self._lengths, length) - 1]

    def opened_until(self, last: int, keyed: bool) -> list[Request]:
        """Returns the requests without a key, and with `keyed` also those with a key, up to the number `last`."""
        found: list[Request] = []
        for requests in (self.keyed, self.others) if keyed else (self.others,):
            for request in requests.values():
                if request.number > last:
                    break
                found.append(request)
        return found

    def longer_than(self, length: int, last: int) -> list[Request]:
        """Returns the requests up to the number `last` whose payload is longer than `length` and than `SHORT`."""
        found: list[Request] = []
        for longer in self._lengths[bisect_right(self._lengths, length) :]:
            found += [request for request in self._long[longer].values() if request.number <= last]
        return found


class OpenRequests:
    """All open requests of one client.

    peer: the client's own peer, canonical.
    connected: all requests go to `peer`. any_source: a reply from any address may answer any request.
    count: number of open requests.
    """

    __slots__ = ("_all", "_by_peer", "_peer", "count")

    def __init__(self, peer: Address, *, connected: bool, any_source: bool) -> None:
        self._peer = peer
        self._all = Table() if connected or any_source else None
        self._by_peer: dict[Address, Table] | None = None if connected else {}
        self.count = 0

    def add(self, request: Request) -> None:
        """`request` is open."""
        self.count += 1
        if self._all is not None:
            self._all.add(request)
        if self._by_peer is not None:
            table = self._by_peer.get(request.peer)
            if table is None:
                table = self._by_peer[request.peer] = Table()
            table.add(request)

    def remove(self, request: Request) -> None:
        """`request` has ended."""
        self.count -= 1
        if self._all is not None:
            self._all.remove(request)
        if self._by_peer is not None:
            table = self._by_peer[request.peer]
            table.remove(request)
            if len(table) == 0:
                del self._by_peer[request.peer]

    def leave(self, request: Request, first: Request) -> None:
        """`request` has ended. The others that share its question are represented by `first`."""
        self.count -= 1
        if self._all is not None:
            self._all.replace(request, first)
        if self._by_peer is not None:
            self._by_peer[request.peer].replace(request, first)

    def join(self) -> None:
        """One more request is open, which shares the question of another."""
        self.count += 1

    def taken_at(self, before: Address, peer: Address) -> list[Request]:
        """Returns the requests to `before` whose keys are also those of requests to `peer`."""
        if self._all is not None:
            return []  # then keys differ among all requests, to whatever peer
        one, other = self._of(before), self._of(peer)
        return [] if one is None or other is None else [one.keyed[key] for key in one.keyed if key in other.keyed]

    def move(self, before: Address, peer: Address) -> list[Request]:
        """Changes the address of the client's own peer. Returns the open requests to the former address."""
        moved = [request for request in self.all() if request.peer == before]
        self._peer = peer
        for request in moved:
            request.peer = peer
        if self._by_peer is not None and before in self._by_peer:
            self._by_peer[peer] = _joined(self._by_peer.pop(before), self._by_peer.get(peer))
        return moved

    def same_key(self, peer: Address, key: Hashable) -> Request | None:
        """Returns the open request, if any, that a reply with this key from `peer` would answer."""
        table = self._all if self._all is not None else self._of(peer)
        return None if table is None else table.keyed.get(key)

    def keys_at(self, peer: Address) -> dict[Hashable, Request]:
        """Returns the open requests, by their keys, that a reply from `peer` may answer."""
        table = self.answered_by(peer)
        return {} if table is None else table.keyed

    def answered_by(self, source: Address) -> Table | None:
        """Returns the requests that a datagram from `source` may be a reply to; None if there are none."""
        return self._all if self._all is not None else self._of(source)

    def sent_to(self, peer: Address) -> Table | None:
        """Returns the requests to `peer`, which is canonical; None if there are none."""
        if self._by_peer is None:
            return self._all if peer == self._peer else None
        return self._of(peer)

    def _of(self, peer: Address) -> Table | None:
        return None if self._by_peer is None else self._by_peer.get(peer)

    def all(self) -> list[Request]:
        """Returns all open requests."""
        tables = (self._all,) if self._all is not None else tuple((self._by_peer or {}).values())
        return [
            each
            for table in tables
            if table is not None
            for request in table.opened_until(2**62, True)
            for each in request.sharing()
        ]


def _joined(one: Table, other: Table | None) -> Table:
    """Returns the requests of both, in the order in which they were opened."""
    if other is None:
        return one
    both = Table()
    for request in sorted(
        [*one.opened_until(2**62, True), *other.opened_until(2**62, True)], key=lambda request: request.number
    ):
        both.add(request)
    return both
