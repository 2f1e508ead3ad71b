"""The amplification budget: a peer that has not proven its address gets at most k times the bytes that came from it.

The rule of QUIC (RFC 9000, section 8.1). An address is a host with a port, as there (section 1.2).
"""

from __future__ import annotations

from collections.abc import Callable
from operator import index
from typing import Any, TypeAlias

from ...gen.copying import refuse_copy
from ..address import Address
from ..message import MessageUDP
from .address_table import AddressTable, rest_of
from .limits import Amplification, clock_of
from .networks import Networks, number_of, parse_networks

_FOREVER = 1e300

Heard: TypeAlias = tuple[int, int, int, int, int]
"""An address, as `AddressTable.rows` returns it, and the bytes received from there and sent there."""

Proven: TypeAlias = tuple[int, int, int, float]
"""An address, and the seconds for which it is validated."""


class Budget:
    """The budgets of one socket's peers.

    active: False while every datagram passes.
    limited, limited_bytes: datagrams that were not sent, and the bytes of their payloads.
    dry_limited, dry_limited_bytes: those that were sent nevertheless, because it is a dry run.
    unknown: of all these, how many were for an address that has sent nothing, or was forgotten.
    shortened: datagrams in the place of which the shorter one of `shorten` was sent.
    validations: times that an address was validated.
    evicted: validated addresses that were forgotten before their time. If it grows: raise `capacity`.
    skip: how many datagrams `heard_from` passes over, because they were recorded before.
    is_proven: returns True for the address of a peer that is known to own it (`Peer.proven`). None: there are no peers.
    """

    __slots__ = (
        "_clock",
        "_dry_run",
        "_exempt",
        "_factor",
        "_heard",
        "_options",
        "_tick",
        "_validated",
        "_validity",
        "active",
        "dry_limited",
        "dry_limited_bytes",
        "evicted",
        "is_proven",
        "limited",
        "limited_bytes",
        "shorten",
        "shortened",
        "skip",
        "unknown",
        "validations",
    )

    __reduce__ = refuse_copy

    def __init__(self) -> None:
        self.active = False
        self._options: Amplification | None = None
        self._heard: AddressTable | None = None
        self._validated: AddressTable | None = None
        self._exempt: Networks | None = None
        self._clock: Callable[[], float] = _no_time
        self._factor = self._validity = self._tick = 0.0
        self._dry_run = False
        self.shorten: Callable[[Any], Any] | None = None
        self.is_proven: Callable[[Address], bool] | None = None
        self.limited = self.limited_bytes = self.dry_limited = self.dry_limited_bytes = 0
        self.unknown = self.shortened = self.validations = self.evicted = self.skip = 0

    def apply(self, options: Amplification | None) -> None:
        """Applies `options` from now on; None: every datagram passes. The counters continue. Peers stay known, and
        validated, unless the capacity changes or the budget was off."""
        before = self._options
        if options == before:
            return  # the restart of a crashed owner forgets nobody
        self.active = False  # until all is changed: an allocation may run a finalizer that sends
        self._options = options
        if options is None:
            self._heard = self._validated = None
            return
        exempt, clock = Networks(parse_networks("exempt", options.exempt)), clock_of(options)
        heard, validated = self._heard, self._validated
        if before is None or before.capacity != options.capacity:
            heard, validated = AddressTable(options.capacity), AddressTable(options.capacity)
        self._heard, self._validated = heard, validated
        self._exempt, self._clock = exempt, clock
        self._factor, self._validity = options.factor, options.validity
        self._dry_run, self.shorten = options.dry_run, options.shorten
        self.active = True

    def inherit(self, other: Budget) -> None:
        """Shares the validated addresses and the proven peers of `other`, the budget of another socket of the same
        server."""
        self.is_proven = other.is_proven
        if self._validated is not None and other._validated is not None:
            self._validated = other._validated

    # --- moved to another program -------------------------------------------------------------------------

    def rows(self, most: int) -> tuple[list[Heard], list[Proven]]:
        """Returns what is known of the peers, at most `most` of each kind, those known longest first: the bytes
        received from each address and sent there; and for how many seconds each validated address will be valid."""
        heard, validated = self._heard, self._validated
        if heard is None or validated is None:
            return [], []
        now = self._now()
        proven = [(*row[1:4], row[0] - now) for row in validated.rows(most) if row[0] > now]
        return [row[1:] for row in heard.rows(most)], proven

    def add_rows(self, heard: list[Heard], validated: list[Proven]) -> None:
        """Adds what `rows` of another program's budget has returned. No address is valid for longer than here."""
        table, known = self._heard, self._validated
        if table is None or known is None:
            return
        for high, low, rest, received, sent in heard:
            row = table.row(False, high, low, rest)
            self._tick += 1
            table.rank[row] = self._tick
            table.received[row] += received
            table.sent[row] += sent
        now = self._now()
        for high, low, rest, seconds in validated:
            end = now + min(seconds, self._validity)
            row = known.find(False, high, low, rest)
            if row < 0 or known.rank[row] < end:
                known.rank[known.row(False, high, low, rest)] = end

    # --- received -----------------------------------------------------------------------------------------

    def heard(self, four: bool, high: int, low: int, rest: int, size: int) -> None:
        """Records `size` bytes of payload that came from an address."""
        table = self._heard
        if table is None:
            return
        row = table.row(four, high, low, rest)
        if row >= 0:
            self._tick += 1  # so that the address silent longest is the first to be forgotten
            table.rank[row] = self._tick
            table.received[row] += size

    def heard_from(self, address: Address, size: int) -> None:
        """Records `size` bytes of payload that came from `address`. An address that is not numeric is ignored."""
        if self.skip > 0:
            self.skip -= 1
            return
        number = number_of(address[0]) if self.active else None
        if number is not None:
            scope = address[3] if len(address) > 3 else 0
            self.heard(number[0], number[1], number[2], rest_of(address[1], scope), size)

    # --- sent ---------------------------------------------------------------------------------------------

    def takes(self, message: MessageUDP) -> bool:
        """Returns True if this datagram may be sent: it is then counted as sent to its peer."""
        table = self._heard
        if table is None:
            return True
        try:
            address = message.addr
            number = number_of(address[0])
            if number is None:
                return True  # an invalid address: the backend raises the error
            rest = _rest_in(address)
            size = _size_of(message.data)
        except Exception:
            return True  # the same
        row = table.find(number[0], number[1], number[2], rest)
        if row >= 0:
            total = table.sent[row] + (size if size else 1)  # an empty datagram counts as one byte
            if total <= self._factor * table.received[row]:
                table.sent[row] = total
                return True
        return self._is_free(number[0], number[1], number[2], rest, address)

    def _is_free(self, four: bool, high: int, low: int, rest: int, address: Any) -> bool:
        """Returns True for an address without a limit: it is exempt, validated, or the address of a proven peer."""
        exempt, validated = self._exempt, self._validated
        if exempt is None or validated is None or exempt.contains(four, high, low):
            return True
        row = validated.find(four, high, low, rest)
        if row >= 0 and self._now() < validated.rank[row]:
            return True
        try:
            return self.is_proven is not None and self.is_proven(address)
        except Exception:
            return False  # an address with parts of the program's own classes, which cannot be looked up

    def refuses(self, message: MessageUDP) -> bool:
        """Counts a datagram that `takes` has refused. Returns False if it is sent nevertheless, in a dry run."""
        table, size = self._heard, 0
        try:
            size, number = _size_of(message.data), number_of(message.addr[0])
            if (
                number is None
                or table is None
                or table.find(number[0], number[1], number[2], _rest_in(message.addr)) < 0
            ):
                self.unknown += 1
        except Exception:  # objects of the program's own classes that have changed since `takes`
            self.unknown += 1
        if self._dry_run:
            self.dry_limited += 1
            self.dry_limited_bytes += size
            return False
        self.limited += 1
        self.limited_bytes += size
        return True

    # --- proof --------------------------------------------------------------------------------------------

    def validate(self, address: Any) -> None:
        """Lifts the limit for `address` for a time. Raises `ValueError`, `TypeError` or `IndexError` for an object that
        is no address of IP."""
        table = self._validated
        if table is None:
            return
        number = number_of(address[0])
        if number is None:
            raise ValueError("the host is no numeric address")
        now, rest = self._now(), _rest_in(address)
        known = table.find(number[0], number[1], number[2], rest)
        row = table.row(number[0], number[1], number[2], rest)
        if row < 0:
            return
        if known < 0 and table.rank[row] > now:
            self.evicted += 1
        table.rank[row] = now + self._validity
        self.validations += 1

    def _now(self) -> float:
        """Returns the time. A clock that fails makes every proof too old."""
        try:
            now = float(self._clock())
        except Exception:
            return _FOREVER
        return now if -_FOREVER < now < _FOREVER else _FOREVER


def _rest_in(address: Any) -> int:
    """Returns the port and scope of an address as `rest_of` does. Raises `TypeError` or `ValueError` for others."""
    port, scope = address[1], address[3] if len(address) > 3 else 0
    if type(port) is not int or type(scope) is not int:
        port, scope = index(port), index(scope)  # a port from a batch may be numpy's
    if not 0 <= port <= 65535 or not 0 <= scope < 1 << 32:
        raise ValueError("the port or the scope is out of range")
    return rest_of(port, scope)


def _size_of(data: Any) -> int:
    return len(data) if type(data) is bytes else memoryview(data).nbytes


def _no_time() -> float:
    """A clock for a budget without options, never used."""
    return 0.0
