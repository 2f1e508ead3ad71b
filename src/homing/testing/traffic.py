"""Carries each datagram through a fake network."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, fields, replace
from heapq import heappop, heappush

from ..datagram import Address, PacketInfo, format_address
from ..gen import NotAllowed
from .conditions import Conditions
from .event import Event, Kind, NetworkStatistics
from .fake_socket import Arrived, FakeSocket
from .hosts import LOOPBACKS, WILDCARDS, Place, as_address, canonical
from .link import Link
from .sockets import Sockets


@dataclass(frozen=True, slots=True, eq=False)
class _Passage:
    """A datagram under way."""

    sender: FakeSocket
    link: Link
    number: int
    source: Address
    destination: Address
    data: bytes
    info: PacketInfo | None
    is_copy: bool = False


class Traffic:
    """The datagrams under way, and the counters of their outcomes.

    conditions: the conditions between hosts for which `special` has no entry.
    cuts: pairs (source, destination) of hosts between which datagrams are lost; None is any host.
    clogs: for a pair (source, destination), the time before which no datagram arrives.
    """

    def __init__(
        self,
        seed: int,
        conditions: Conditions,
        refuse: bool,
        lose_if: Callable[[Address, Address, bytes], bool] | None,
        trace: Callable[[Event], object] | None,
    ) -> None:
        self.conditions = conditions
        self.special: dict[tuple[str, str], Conditions] = {}
        self.cuts: set[tuple[str | None, str | None]] = set()
        self.clogs: dict[tuple[str, str], float] = {}
        self.sockets = Sockets()
        self._seed = seed
        self._refuse = refuse
        self._lose_if = lose_if
        self._trace = trace
        self._links: dict[tuple[Place, Place], Link] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flight: list[tuple[float, int, _Passage]] = []
        self._order = 0
        self._timer: asyncio.TimerHandle | None = None
        self._counts: Counter[str] = Counter()

    def statistics(self) -> NetworkStatistics:
        """Returns a snapshot of the counters."""
        counts = {field.name: self._counts[field.name] for field in fields(NetworkStatistics)}
        return NetworkStatistics(**{**counts, "in_flight": len(self._flight)})

    def carry(
        self, sender: FakeSocket, data: bytes, source: Address, destination: Address, info: PacketInfo | None
    ) -> None:
        """Carries a datagram that `sender` sends with `info`."""
        now = self.now()
        link = self._link(source, destination)
        way = source[0], destination[0]
        arrivals = link.passages(len(data), self._conditions(way), now)
        passage = _Passage(sender, link, link.sent, source, destination, data, info)
        self._happened("sent", passage)
        if self._lose_if is not None and self._lose_if(source, destination, data):
            arrivals.clear()
        if not arrivals:
            self._happened("lost", passage)
        for copy, arrival in enumerate(arrivals):
            if copy:
                passage = replace(passage, is_copy=True)
                self._happened("duplicated", passage)
            self._launch(passage, max(arrival, self.clogs.get(way, 0.0)), now)

    def _launch(self, passage: _Passage, arrival: float, now: float) -> None:
        if self._is_cut(passage.source[0], passage.destination[0]):
            self._happened("partitioned", passage)
        elif arrival <= now and not (self._flight and self._flight[0][0] <= now):
            self._arrive(passage)  # no other datagram is due before it
        else:
            self._order += 1
            heappush(self._flight, (arrival, self._order, passage))
            if self._flight[0][2] is passage:
                self._set_timer()

    def _set_timer(self) -> None:
        """Sets the timer for the next arrival."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._flight and self._loop is not None:
            due = self._flight[0][0]
            self._timer = self._loop.call_at(due, self._land, due, context=Context())

    def _land(self, due: float) -> None:
        """Delivers all datagrams that are due. A loop's timer may fire a little early, so `due` counts as reached."""
        now = max(due, self.now())
        try:
            while self._flight and self._flight[0][0] <= now:
                passage = heappop(self._flight)[2]
                if self._is_cut(passage.source[0], passage.destination[0]):
                    self._happened("partitioned", passage)
                else:
                    self._arrive(passage)
        finally:
            self._set_timer()

    def _arrive(self, passage: _Passage) -> None:
        receiver = self.sockets.at(passage.destination)
        if receiver is None or not receiver.hears(passage.source):
            self._happened("no_receiver", passage)
            if self._refuse:
                passage.sender.refuse(passage.data, passage.destination)
        elif receiver.put(self._arrived(passage)):
            if passage.number < passage.link.highest and not passage.is_copy:
                self._counts["reordered"] += 1
            passage.link.highest = max(passage.link.highest, passage.number)
            self._happened("delivered", passage)
        else:
            self._happened("overflow", passage)

    def _arrived(self, passage: _Passage) -> Arrived:
        virtual = getattr(self._loop, "time_is_virtual", False)
        nanoseconds = round(self.now() * 1e9) if virtual else time.time_ns()
        return Arrived(passage.data, passage.source, passage.destination[0], passage.info, nanoseconds)

    def _happened(self, kind: Kind, passage: _Passage) -> None:
        self._counts[kind] += 1
        if self._trace is not None:
            source, destination = passage.source, passage.destination
            self._trace(Event(self.now(), kind, passage.number, source, destination, passage.data))

    def destination(self, family: int, to: Address) -> Address:
        """Returns the address that a datagram to `to` reaches. The wildcard address means this machine, as in real
        systems."""
        host = canonical(family, to[0])
        return as_address(family, LOOPBACKS[family] if host == WILDCARDS[family] else host, to[1], to)

    def fragments(self, source: Address, destination: Address, size: int) -> int:
        """Returns the number of packets in which a datagram of `size` bytes is sent."""
        return self._conditions((source[0], destination[0])).fragments(size)

    def _conditions(self, way: tuple[str, str]) -> Conditions:
        return self.special.get(way, self.conditions)

    def _link(self, source: Address, destination: Address) -> Link:
        way = (source[0], source[1]), (destination[0], destination[1])
        link = self._links.get(way)
        if link is None:
            link = self._links[way] = Link(f"{format_address(source)} {format_address(destination)}", self._seed)
        return link

    def _is_cut(self, source: str, destination: str) -> bool:
        cuts = self.cuts
        return bool(cuts) and not cuts.isdisjoint({(source, destination), (source, None), (None, destination)})

    # --- its event loop -----------------------------------------------------------------------------------

    def use(self, loop: asyncio.AbstractEventLoop) -> None:
        """Binds the network to `loop`, the only one that it can use. Raises `NotAllowed` for a second loop."""
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise NotAllowed(
                "a FakeNetwork serves only one event loop, and has already served another; make a new one for each run"
            )

    def now(self) -> float:
        """Returns the time by the running event loop's clock. Raises `NotAllowed` if no event loop is running."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise NotAllowed("a FakeNetwork needs a running event loop to carry datagrams") from None
        if loop is not self._loop:
            self.use(loop)
        return loop.time()
