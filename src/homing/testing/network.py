"""A fake network inside this program, with chosen faults; the same seed repeats the same faults."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from types import TracebackType
from typing import Any, Self

from ..datagram import Address, SocketOptions
from ..datagram.sockets.substitute import enter
from ..gen import BadOption
from ..gen.options import check_integer, check_number, check_seconds, check_type
from ..node.processes.thread_worker import node_thread
from .conditions import Conditions, Span
from .event import Event, NetworkStatistics
from .fake_socket import FakeSocket
from .hosts import host_of, hosts_of
from .peer import Peer
from .replay import ROOM, Replay, Replayed
from .traffic import Traffic

_SEED_BITS = 1024


class FakeNetwork:
    """A network for UDP sockets in this program, on one event loop.

        with FakeNetwork(seed=7, loss=0.1, delay=(0.001, 0.02)) as network:
            ...  # UDP sockets that are bound on this thread are bound in `network`

    Any IPv4 or IPv6 address may be bound. Within the block a node's processes bind here, also those with a thread of
    their own; a socket stays in the network after the block. Blocks nest: the innermost applies.

    seed: an integer that determines the fate of the n-th datagram from one address to another. None: a random seed. An
        exception that leaves the block has a note with the seed.
    loss, duplicate, reorder, delay, reorder_delay, mtu: see `Conditions`.
    refuse: a datagram to an address without a socket is answered by an ICMP error, which its sender gets if its socket
        has an `error_queue` or is connected. False: ICMP errors are lost.
    lose_if: called with (source, destination, data) for each datagram sent; if it returns true, the datagram is lost.
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
        refuse: bool = True,
        lose_if: Callable[[Address, Address, bytes], bool] | None = None,
        trace: Callable[[Event], object] | None = None,
    ) -> None:
        if seed is None:
            seed = random.SystemRandom().randrange(2**32)
        check_type("seed", seed, int, "an integer")
        if isinstance(seed, bool) or seed.bit_length() > _SEED_BITS:
            raise BadOption("seed", seed, f"give an integer of at most {_SEED_BITS} bits")
        check_type("refuse", refuse, bool, "True or False")
        for name, function in (("lose_if", lose_if), ("trace", trace)):
            if function is not None and not callable(function):
                raise BadOption(name, function, "give a function, or None")
        self.seed = seed
        conditions = Conditions(
            loss=loss, duplicate=duplicate, reorder=reorder, delay=delay, reorder_delay=reorder_delay, mtu=mtu
        )
        self._refuse = refuse
        self._leave: list[Callable[[], None]] = []
        self._traffic = Traffic(seed, conditions, refuse, lose_if, trace)

    def __repr__(self) -> str:
        """Returns the call that makes the same network again."""
        changed = [f"seed={self.seed}"]
        for field in fields(Conditions):
            value = getattr(self.conditions, field.name)
            if value != field.default:
                changed.append(f"{field.name}={value!r}")
        if not self._refuse:
            changed.append("refuse=False")
        return f"FakeNetwork({', '.join(changed)})"

    def __enter__(self) -> Self:
        self._leave.append(enter(self._bind, node_thread))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave.pop()()
        if error is not None and not self._leave:
            error.add_note(f"on {self!r}")

    def socket(self, host: str = "127.0.0.1", port: int = 0, *, receive_buffer: int | None = None) -> Peer:
        """Returns a plain UDP socket for the test, bound to an address of this network: "" is every IPv4 address, "::"
        every IPv6 address. Port 0 selects the next free port from 32768 on. Raises `BindFailed`."""
        return Peer(self._bind(host, port, SocketOptions(receive_buffer=receive_buffer)))

    async def replay(
        self,
        path: str | os.PathLike[str],
        to: Address | None = None,
        *,
        speed: float = 1.0,
        settle: float = 1.0,
        most: int = 100_000,
    ) -> Replayed:
        """Sends the datagrams of a capture (pcap or pcapng) into this network, with the pauses that they had, and
        returns what came back. In virtual time (`run_virtual`) the pauses take none. Each is sent from the source that
        it had, which is bound meanwhile.

        Answers are not sent, but returned, to compare with. A datagram is taken for an answer if the capture says that
        its machine had sent it, as that of a `meta.Tap` does; or if it is from an address to which an earlier datagram
        went, or to which a socket of this network is bound.

        to: where they are sent. None: to the destination that each had.
        speed: 2: pauses are half as long.
        settle: seconds for which late answers are awaited at the end.
        most: datagrams of the capture, at most, sent and returned; the rest is not read.

        Raises `errors.BadCapture` for a file that is no capture or ends in the middle of a packet, `OSError`, and
        `BadOption`.
        """
        speed = check_number("speed", speed, 1e-9, 1e9)
        settle = check_seconds("settle", settle, zero=True)
        most = check_integer("most", most, 1)
        if to is not None:
            if type(to) is not tuple or len(to) < 2:
                raise BadOption("to", to, "give an address such as ('10.0.0.1', 53)")
            host_of("to", to[0])
            check_integer("to", to[1], 1, 65535)
        options = SocketOptions(receive_buffer=ROOM)
        return await Replay(lambda host, port: self._bind(host, port, options), to, most).run(path, speed, settle)

    def _bind(self, host: str, port: int, options: SocketOptions) -> FakeSocket:
        return self._traffic.sockets.bind(self._traffic, host, port, options)

    # --- faults -------------------------------------------------------------------------------------------

    def change(self, source: str | None = None, destination: str | None = None, **conditions: Any) -> None:
        """Sets some `Conditions` for datagrams sent from now on; with two hosts, only for datagrams from `source` to
        `destination`. Datagrams already under way are not affected. Raises `BadOption`."""
        unknown = set(conditions) - {field.name for field in fields(Conditions)}
        if unknown:
            raise BadOption(min(unknown), conditions[min(unknown)], "Conditions has no such field")
        if source is None and destination is None:
            self._traffic.conditions = replace(self.conditions, **conditions)
            return
        way = host_of("source", source), host_of("destination", destination)
        special = self._traffic.special
        special[way] = replace(special.get(way, self.conditions), **conditions)

    def partition(self, a: str | Iterable[str], b: str | Iterable[str] | None = None, *, one_way: bool = False) -> None:
        """Cuts the hosts `a` off from the hosts `b` (None: from all), until `heal`. Datagrams under way are lost too.

        one_way: only datagrams from `a` are lost.
        """
        for one in hosts_of("a", a):
            for other in [None] if b is None else hosts_of("b", b):
                self._traffic.cuts.add((one, other))
                if not one_way:
                    self._traffic.cuts.add((other, one))

    def heal(self) -> None:
        """Ends all partitions."""
        self._traffic.cuts.clear()

    def clog(self, source: str, destination: str, seconds: float) -> None:
        """Delays datagrams that `source` sends to `destination` within the next `seconds` until that time is over; they
        then arrive in order.

        Call it on the event loop. Raises `NotAllowed` if no event loop is running.
        """
        seconds = check_seconds("seconds", seconds)
        way = host_of("source", source), host_of("destination", destination)
        self._traffic.clogs[way] = self._traffic.now() + seconds

    @property
    def conditions(self) -> Conditions:
        """The current conditions, except between hosts that have their own."""
        return self._traffic.conditions

    @property
    def statistics(self) -> NetworkStatistics:
        """A snapshot of the counters."""
        return self._traffic.statistics()
