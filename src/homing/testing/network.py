"""A network in this program: as bad as one asks for, and the same again for the same seed."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from contextvars import Context
from dataclasses import dataclass, fields, replace
from heapq import heappop, heappush
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from ..datagram import Address, SocketOptions, format_address
from ..datagram.substitute import enter
from ..gen import BadOption, BindFailed, NotAllowed
from ..gen.options import check_integer, check_seconds, check_type
from .conditions import Conditions, Span
from .fake_socket import DEFAULT_BUFFER, FakeSocket
from .hosts import LOOPBACKS, WILDCARDS, Place, as_address, canonical, host_of, hosts_of, resolve
from .link import Link
from .peer import Peer

Kind: TypeAlias = Literal["sent", "duplicated", "delivered", "lost", "partitioned", "no_receiver", "overflow"]
_FIRST_PORT, _PORTS = 32768, 28232  # Linux, net.ipv4.ip_local_port_range
_MEANINGFUL = frozenset({"receive_buffer", "send_buffer"})
"""Options of a socket that mean something here, or whose want nobody can notice."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened to a datagram. `str(event)` is one line.

    time: by the event loop's clock, in seconds.
    kind: "sent", "duplicated" (a copy was made), or how it ended: "delivered" (into a receive buffer), "lost",
        "partitioned", "no_receiver", "overflow" (the receive buffer was full).
    number: of the datagram among those from `source` to `destination`, from 1. A copy has the same.
    """

    time: float
    kind: Kind
    number: int
    source: Address
    destination: Address
    data: bytes

    def __str__(self) -> str:
        way = f"{format_address(self.source)} > {format_address(self.destination)}"
        return f"{self.time:.6f} {self.kind} {way} #{self.number}, {len(self.data)} bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkStatistics:
    """What has become of the datagrams so far. Always
    `sent + duplicated == delivered + lost + partitioned + no_receiver + overflow + in_flight`.

    reordered: of those delivered, how many came after one that was sent later from the same address to the same
        (RFC 4737). Copies do not count.
    """

    sent: int
    duplicated: int
    delivered: int
    lost: int
    partitioned: int
    no_receiver: int
    overflow: int
    in_flight: int
    reordered: int


@dataclass(frozen=True, slots=True, eq=False)
class _Passage:
    """A datagram on its way."""

    sender: FakeSocket
    link: Link
    number: int
    source: Address
    destination: Address
    data: bytes
    is_copy: bool = False


class FakeNetwork:
    """A network for UDP sockets in this program, on one event loop.

        with FakeNetwork(seed=7, loss=0.1, delay=(0.001, 0.02)) as network:
            ...  # what binds a UDP socket on this thread, binds it in `network`

    Any IPv4 or IPv6 address may be bound. Within the block a node's processes bind here, also those with a thread of
    their own; a socket stays in the network after the block. Blocks nest: the innermost counts.

    seed: an integer; what becomes of the n-th datagram from one address to another follows from it. None: another one
        each time. An exception that leaves the block has it in a note.
    loss, duplicate, reorder, delay, reorder_delay, mtu: see `Conditions`.
    refuse: who sends to an address that nobody has, gets ECONNREFUSED at its next read, as from an ICMP message.
    lose_if: called with (source, destination, data) for each datagram that is sent; true: it is lost.
    trace: called with each `Event`, for example `print`, or the `append` of a list.

    Raises `BadOption`.
    """

    def __init__(
        self,
        *,
        seed: int | None = None,
        loss: float = 0.0,
        duplicate: float = 0.0,
        reorder: float = 0.0,
        delay: Span = 0.0,
        reorder_delay: Span = (0.001, 0.01),
        mtu: int | None = None,
        refuse: bool = False,
        lose_if: Callable[[Address, Address, bytes], bool] | None = None,
        trace: Callable[[Event], object] | None = None,
    ) -> None:
        if seed is None:
            seed = random.SystemRandom().randrange(2**32)
        check_type("seed", seed, int, "an integer")
        check_type("refuse", refuse, bool, "True or False")
        for name, function in (("lose_if", lose_if), ("trace", trace)):
            if function is not None and not callable(function):
                raise BadOption(name, function, "give a function, or None")
        self.seed = seed
        self.conditions = Conditions(
            loss=loss, duplicate=duplicate, reorder=reorder, delay=delay, reorder_delay=reorder_delay, mtu=mtu
        )
        self._refuse = refuse
        self._lose_if = lose_if
        self._trace = trace
        self._leave: list[Callable[[], None]] = []
        self._bound: dict[Place, FakeSocket] = {}
        self._ports = 0
        self._links: dict[tuple[Place, Place], Link] = {}
        self._special: dict[tuple[str, str], Conditions] = {}
        self._cuts: set[tuple[str | None, str | None]] = set()
        self._clogs: dict[tuple[str, str], float] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flight: list[tuple[float, int, _Passage]] = []
        self._order = 0
        self._timer: asyncio.TimerHandle | None = None
        self._counts: Counter[str] = Counter()

    def __repr__(self) -> str:
        """What makes the same network again."""
        changed = [f"seed={self.seed}"]
        for field in fields(Conditions):
            value = getattr(self.conditions, field.name)
            if value != field.default:
                changed.append(f"{field.name}={value!r}")
        if self._refuse:
            changed.append("refuse=True")
        return f"FakeNetwork({', '.join(changed)})"

    def __enter__(self) -> Self:
        self._leave.append(enter(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave.pop()()
        if error is not None and not self._leave:
            error.add_note(f"on {self!r}")

    # --- sockets ------------------------------------------------------------------------------------------

    def socket(self, host: str = "127.0.0.1", port: int = 0, *, receive_buffer: int | None = None) -> Peer:
        """A plain UDP socket for the test, bound to an address of this network. Raises `BindFailed`."""
        return Peer(self.bind(host, port, SocketOptions(receive_buffer=receive_buffer)))

    def bind(self, host: str, port: int, options: SocketOptions) -> FakeSocket:
        """What `create_udp_server` calls. "": every IPv4 address, "::": every IPv6 address. Port 0 gives the next free
        one from 32768 on. Raises `BindFailed`, and `BadOption` for an option of sockets that is none here."""
        _check_options(options)
        check_integer("port", port, 0, 65535)
        family, address = resolve(host, port)
        if port == 0:
            port = self._free_port(family, address[0])
            address = as_address(family, address[0], port, address)
        elif self._taken(family, address[0], port):
            why = OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            raise BindFailed(host, port, why, "another socket of this FakeNetwork has this port")
        bound = FakeSocket(self, family, address, options.receive_buffer or DEFAULT_BUFFER)
        self._bound[address[0], port] = bound
        return bound

    def release(self, sock: FakeSocket) -> None:
        """The address of a socket that was closed is free."""
        address = sock.getsockname()
        del self._bound[address[0], address[1]]

    def _taken(self, family: int, host: str, port: int) -> bool:
        """True if a socket has the port at that address, or at one that overlaps it."""
        if host == WILDCARDS[family]:
            return any(sock.family == family and place[1] == port for place, sock in self._bound.items())
        return (host, port) in self._bound or (WILDCARDS[family], port) in self._bound

    def _free_port(self, family: int, host: str) -> int:
        for _ in range(_PORTS):
            port = _FIRST_PORT + self._ports % _PORTS
            self._ports += 1
            if not self._taken(family, host, port):
                return port
        raise BindFailed(host, 0, OSError(errno.EADDRINUSE, "all ports from 32768 to 60999 are bound"))

    # --- how bad it is ------------------------------------------------------------------------------------

    def change(self, source: str | None = None, destination: str | None = None, **conditions: Any) -> None:
        """Sets some `Conditions` for what is sent from now on; with two hosts, for what one sends to the other, and
        this one way only. What is on its way stays so. Raises `BadOption`."""
        unknown = set(conditions) - {field.name for field in fields(Conditions)}
        if unknown:
            raise BadOption(min(unknown), conditions[min(unknown)], "Conditions has no such field")
        if source is None and destination is None:
            self.conditions = replace(self.conditions, **conditions)
            return
        way = host_of("source", source), host_of("destination", destination)
        self._special[way] = replace(self._special.get(way, self.conditions), **conditions)

    def partition(self, a: str | Iterable[str], b: str | Iterable[str] | None = None, *, one_way: bool = False) -> None:
        """Cuts the hosts `a` off from the hosts `b` (None: from all), until `heal`. What is on its way is lost too.

        one_way: only what `a` sends is lost.
        """
        for one in hosts_of("a", a):
            for other in [None] if b is None else hosts_of("b", b):
                self._cuts.add((one, other))
                if not one_way:
                    self._cuts.add((other, one))

    def heal(self) -> None:
        """Ends all partitions."""
        self._cuts.clear()

    def clog(self, source: str, destination: str, seconds: float) -> None:
        """What `source` sends to `destination` within the next `seconds` arrives when they are over, in order.

        Call it on the event loop. Raises `NotAllowed` where none runs.
        """
        check_seconds("seconds", seconds)
        way = host_of("source", source), host_of("destination", destination)
        self._clogs[way] = self._now() + seconds

    @property
    def statistics(self) -> NetworkStatistics:
        """The counters, now."""
        counts = {field.name: self._counts[field.name] for field in fields(NetworkStatistics)}
        return NetworkStatistics(**{**counts, "in_flight": len(self._flight)})

    # --- the way of a datagram ----------------------------------------------------------------------------

    def carry(self, sender: FakeSocket, data: bytes, to: Address) -> None:
        """A datagram is sent."""
        now = self._now()
        source, destination = self._addresses(sender, to)
        link = self._link(source, destination)
        way = source[0], destination[0]
        arrivals = link.passages(len(data), self._special.get(way, self.conditions), now)
        passage = _Passage(sender, link, link.sent, source, destination, data)
        self._happened("sent", passage)
        if self._lose_if is not None and self._lose_if(source, destination, data):
            arrivals.clear()
        if not arrivals:
            self._happened("lost", passage)
        for copy, arrival in enumerate(arrivals):
            if copy:
                passage = replace(passage, is_copy=True)
                self._happened("duplicated", passage)
            self._launch(passage, max(arrival, self._clogs.get(way, 0.0)), now)

    def _launch(self, passage: _Passage, arrival: float, now: float) -> None:
        if self._is_cut(passage.source[0], passage.destination[0]):
            self._happened("partitioned", passage)
        elif arrival <= now:
            self._arrive(passage)
        else:
            self._order += 1
            heappush(self._flight, (arrival, self._order, passage))
            if self._flight[0][2] is passage:
                self._set_timer()

    def _set_timer(self) -> None:
        """For the next that arrives."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._flight and self._loop is not None:
            due = self._flight[0][0]
            self._timer = self._loop.call_at(due, self._land, due, context=Context())

    def _land(self, due: float) -> None:
        """All arrive that are due. A loop's timer may fire a little early, so its own time counts as come."""
        now = max(due, self._now())
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
        receiver = self._receiver(passage.destination)
        if receiver is None or not receiver.hears(passage.source):
            self._happened("no_receiver", passage)
            if self._refuse:
                passage.sender.refuse()
        elif receiver.put(passage.data, passage.source, passage.destination[0]):
            if passage.number < passage.link.highest and not passage.is_copy:
                self._counts["reordered"] += 1
            passage.link.highest = max(passage.link.highest, passage.number)
            self._happened("delivered", passage)
        else:
            self._happened("overflow", passage)

    def _happened(self, kind: Kind, passage: _Passage) -> None:
        self._counts[kind] += 1
        if self._trace is not None:
            source, destination = passage.source, passage.destination
            self._trace(Event(self._now(), kind, passage.number, source, destination, passage.data))

    def _receiver(self, destination: Address) -> FakeSocket | None:
        host, port = destination[:2]
        wildcard = WILDCARDS[socket.AF_INET6 if ":" in host else socket.AF_INET]
        return self._bound.get((host, port)) or self._bound.get((wildcard, port))

    def _addresses(self, sender: FakeSocket, to: Address) -> tuple[Address, Address]:
        """From where to where. What is sent to the wildcard address goes to this machine, as the system has it."""
        family = sender.family
        host = canonical(family, to[0])
        if host == WILDCARDS[family]:
            host = LOOPBACKS[family]
        destination = as_address(family, host, to[1], to)
        return sender.speaks_as(destination), destination

    def _link(self, source: Address, destination: Address) -> Link:
        way = (source[0], source[1]), (destination[0], destination[1])
        link = self._links.get(way)
        if link is None:
            link = self._links[way] = Link(f"{format_address(source)} {format_address(destination)}", self.seed)
        return link

    def _is_cut(self, source: str, destination: str) -> bool:
        cuts = self._cuts
        return bool(cuts) and not cuts.isdisjoint({(source, destination), (source, None), (None, destination)})

    # --- its event loop -----------------------------------------------------------------------------------

    def use(self, loop: asyncio.AbstractEventLoop) -> None:
        """Datagrams travel on `loop`, and on no other ever. Raises `NotAllowed`."""
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise NotAllowed("a FakeNetwork serves one event loop, and has served another; make one for each run")

    def _now(self) -> float:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise NotAllowed("a FakeNetwork needs a running event loop to carry datagrams") from None
        if loop is not self._loop:
            self.use(loop)
        return loop.time()


def _check_options(options: SocketOptions) -> None:
    """Refuses what would change what arrives, and is not here."""
    for field in fields(SocketOptions):
        value = getattr(options, field.name)
        if field.name not in _MEANINGFUL and value != field.default:
            raise BadOption(field.name, value, "a FakeNetwork has no such thing; leave it out there")
