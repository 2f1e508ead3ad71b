"""The options that limit received datagrams, sent datagrams, answers to a peer, and the sending rate of a socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any

from ...gen import BadOption
from ...gen.options import check_type, set_integer, set_number, set_seconds
from .networks import Network, parse_networks


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """A token bucket for each source, or destination; addresses of one network count as one source.

    rate: datagrams per second that one source may have, in the long run.
    burst: datagrams that it may have at once, after a pause. None: the datagrams of one second.
    prefix4, prefix6: prefix length of the networks that count as one source. 32: each IPv4 address by itself; 56: the
        usual IPv6 network of one customer. 0: all addresses together.
    capacity: most sources that are stored, 28 bytes each, rounded up to a power of two. If more are active, the source
        that has used least of its burst is forgotten: so a source above the limit stays known, however many there are.
    exempt: networks without a limit. The default, this machine itself, is the same as in Knot and NSD.
    slip: every slip-th datagram above the limit passes, so that a source whose address is forged by others still gets
        some. 0: none; 1: all. (RRL of DNS servers.)
    shorten: a function that returns the data to send instead of a reply that slips: for a DNS server, for example, the
        header with the bit TC. None: the reply is unchanged. Only for `reply_limit`.
    dry_run: only counts the datagrams above the limit, and drops none.
    clock: returns the time in seconds; for tests. None: the event loop's clock.
    """

    rate: float
    burst: int | None = None
    prefix4: int = 32
    prefix6: int = 56
    capacity: int = 65536
    exempt: tuple[Network, ...] = ("127.0.0.0/8", "::1")
    slip: int = 0
    shorten: Callable[[Any], Any] | None = None
    dry_run: bool = False
    clock: Callable[[], float] | None = None

    def __post_init__(self) -> None:
        _set_rate(self, "rate", "datagrams")
        if self.burst is not None:
            set_integer(self, "burst", 1)
        set_integer(self, "prefix4", 0, 32)
        set_integer(self, "prefix6", 0, 128)
        set_integer(self, "capacity", 1, 1 << 26)
        parse_networks("exempt", self.exempt)
        set_integer(self, "slip", 0, 1 << 20)
        if self.shorten is not None:
            check_callable("shorten", self.shorten, "a function that takes the data of a reply and returns other data")
        check_type("dry_run", self.dry_run, bool, "True or False")
        if self.clock is not None:
            check_callable("clock", self.clock, "a function that returns seconds, or None")

    @property
    def bucket(self) -> int:
        """Datagrams that fit into the bucket."""
        return max(1, ceil(self.rate)) if self.burst is None else self.burst


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyGuard:
    """For a server that answers every datagram, such as an echo: limits its answers to each peer (address and port).

    The source of a datagram can be forged. If it is the address of another server that answers, one datagram makes the
    two answer each other forever; if it is a victim's, long answers flood the victim. With a guard, such an exchange
    ends after `burst` answers, and no peer gets more than `amplification` times the bytes that came from its address.
    No datagram is sent to an address from which none came.

    rate: answers per second that one peer gets in the long run.
    burst: answers that it gets at once, after a pause.
    amplification: bytes that one peer gets for each byte that came from it. Whole packets are counted: the payload and
        28 bytes of headers. QUIC allows 3 before it has validated an address (RFC 9000, section 8.1). If the server has
        the option `amplification`, that applies instead, unless it is a dry run.
    capacity: most peers that are stored, some 250 bytes each. If more are active, the peer silent longest is forgotten.
    clock: returns the time in seconds; for tests. None: the event loop's clock.
    """

    rate: float = 10.0
    burst: int = 20
    amplification: float = 3.0
    capacity: int = 65536
    clock: Callable[[], float] | None = None

    def __post_init__(self) -> None:
        _set_rate(self, "rate", "answers")
        set_integer(self, "burst", 1)
        _set_factor(self, "amplification")
        set_integer(self, "capacity", 1, 1 << 26)
        if self.clock is not None:
            check_callable("clock", self.clock, "a function that returns seconds, or None")


@dataclass(frozen=True, slots=True, kw_only=True)
class Amplification:
    """The amplification budget of a server: to an address that has not been proven, it never sends more than `factor`
    times the bytes that came from there (RFC 9000, section 8.1).

    An address is a host with a port (section 1.2). The payloads of UDP are counted, without headers; an empty datagram
    counts nothing when it is received and one byte when it is sent. A datagram above the budget is dropped and counted.
    `message.validated()` lifts the limit for the address of a datagram, `Peer.proven` for the address of a peer.

    factor: bytes that an address gets for each byte that came from it. 3: as in QUIC.
    exempt: networks without a limit, such as those in which nobody can forge an address. The default is this machine
        itself, as in `RateLimit`. Groups and broadcast addresses that the server sends to belong here as well.
    validity: seconds for which a validation holds. 300: as long as a NAT should keep the mapping of a silent address
        (RFC 4787, requirement 5); after that it may give the address to another host.
    capacity: most addresses that are stored, and most validated ones, rounded up to a power of two; 96 bytes for both.
        If more send, the address silent longest is forgotten, with what it had left: so it gets less, never more. If
        more are validated, the one that was validated first is forgotten.
    shorten: a function that returns the data to send instead of a reply that is above the budget, if those fit: for a
        DNS server, for example, the header with the bit TC. None: the reply is dropped.
    dry_run: only counts the datagrams above the budget, and drops none.
    clock: returns the time in seconds; for tests. None: the event loop's clock.
    """

    factor: float = 3.0
    exempt: tuple[Network, ...] = ("127.0.0.0/8", "::1")
    validity: float = 300.0
    capacity: int = 65536
    shorten: Callable[[Any], Any] | None = None
    dry_run: bool = False
    clock: Callable[[], float] | None = None

    def __post_init__(self) -> None:
        _set_factor(self, "factor")
        parse_networks("exempt", self.exempt)
        set_seconds(self, "validity")
        set_integer(self, "capacity", 1, 1 << 26)
        if self.shorten is not None:
            check_callable("shorten", self.shorten, "a function that takes the data of a reply and returns other data")
        check_type("dry_run", self.dry_run, bool, "True or False")
        if self.clock is not None:
            check_callable("clock", self.clock, "a function that returns seconds, or None")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """The highest sending rate of a socket: a token bucket. Datagrams that are too early wait in the send queue.

    bytes_per_second: bytes of IP packets, including 28 (IPv6: 48) bytes of headers per datagram.
    burst: bytes that are sent at once, after a pause and at each tick of the timer. If too small, the rate is not
        reached. None: the bytes of 10 ms. The datagram that exceeds the burst is still sent whole: in t seconds, at
        most `bytes_per_second * t + burst` and one datagram.
    clock: returns the time in seconds; for tests. None: the event loop's clock.
    """

    bytes_per_second: float
    burst: int | None = None
    clock: Callable[[], float] | None = None

    def __post_init__(self) -> None:
        _set_rate(self, "bytes_per_second", "bytes")
        if self.burst is not None:
            set_integer(self, "burst", 0)
        if self.clock is not None:
            check_callable("clock", self.clock, "a function that returns seconds, or None")


def set_amplification(options: object) -> None:
    """Raises `BadOption` unless the field `amplification` is a factor, an `Amplification` or None."""
    given = getattr(options, "amplification")  # noqa: B009 - the field of whatever options
    if given is not None and not isinstance(given, Amplification):
        _set_factor(options, "amplification", ", or a meta.Amplification")


def amplification_of(given: float | Amplification | None) -> Amplification | None:
    """Returns the options that a server was given, if it was given a factor only."""
    return given if given is None or isinstance(given, Amplification) else Amplification(factor=given)


def clock_of(options: RateLimit | ReplyGuard | Amplification | Pacing) -> Callable[[], float]:
    """Returns the clock of `options`; if None, the running loop's clock, or without a loop the system's."""
    if options.clock is not None:
        return options.clock
    try:
        return asyncio.get_running_loop().time
    except RuntimeError:
        return time.monotonic


def _set_factor(options: object, name: str, also: str = "") -> None:
    """Raises `BadOption` unless the field `name` is a number from 1e-6 to 1e6."""
    set_number(options, name, 1e-6, 1e6, f"a number above 0 and at most 1e6{also}")


def _set_rate(options: object, name: str, what: str) -> None:
    """Raises `BadOption` unless the field `name` is a number from 1e-9 to 1e12."""
    set_number(options, name, 1e-9, 1e12, f"a number of {what} per second above 0 and at most 1e12")


def check_callable(option: str, value: object, words: str) -> None:
    """Raises `BadOption` unless `value` can be called."""
    if not callable(value):
        raise BadOption(option, value, f"give {words}")
