# cython: boundscheck=False, wraparound=False
"""Networks: sets of addresses from which a socket accepts datagrams, or to which no limit applies.

An address is (four, high, low): whether it is an IPv4 address, and its number in two halves of 64 bits. An address that
an IPv6 socket writes as `::ffff:a.b.c.d` is an IPv4 address.
"""

from __future__ import annotations

import socket
from array import array
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, collapse_addresses, ip_network
from typing import TypeAlias

from ...gen import BadOption
from ...gen.copying import refuse_copy

Network: TypeAlias = str | IPv4Network | IPv6Network
"""A network in options: "192.0.2.0/24", "2001:db8::/32", a single address, or a network of `ipaddress`."""

Number: TypeAlias = tuple[bool, int, int]

_HALF = (1 << 64) - 1
_MAPPED = 0xFFFF << 32


def parse_networks(option: str, value: object) -> list[IPv4Network | IPv6Network]:
    """Returns the networks in the tuple `value`. Raises `BadOption` with the first invalid item."""
    if not isinstance(value, tuple):
        raise BadOption(option, value, 'give a tuple of networks, such as ("192.0.2.0/24", "2001:db8::/32")')
    return [_parse(option, item) for item in value]


def _parse(option: str, item: object) -> IPv4Network | IPv6Network:
    if not isinstance(item, (str, IPv4Network, IPv6Network, IPv4Address, IPv6Address)):
        raise BadOption(option, item, 'a network is a str such as "192.0.2.0/24", or one of the ipaddress module')
    try:
        network = ip_network(item)
    except ValueError as error:
        raise BadOption(option, item, f'{error}; give a network such as "192.0.2.0/24" or "2001:db8::/32"') from None
    if isinstance(network, IPv6Network) and network.network_address.scope_id is not None:
        raise BadOption(option, item, "leave the scope out: a network includes addresses of all interfaces")
    return network


class Ranges:
    """Ranges of 128-bit numbers, in ascending order and without overlap."""

    __slots__ = ("_count", "_first_high", "_first_low", "_last_high", "_last_low")

    __reduce__ = refuse_copy

    def __init__(self, ranges: list[tuple[int, int]]) -> None:
        fixed = tuple(ranges)
        self._count = 0  # until the arrays are complete
        self._first_high = array("Q", [first >> 64 for first, _ in fixed])
        self._first_low = array("Q", [first & _HALF for first, _ in fixed])
        self._last_high = array("Q", [last >> 64 for _, last in fixed])
        self._last_low = array("Q", [last & _HALF for _, last in fixed])
        self._count = len(fixed)

    def contains(self, high: int, low: int) -> bool:
        """Returns True if this number is in one of the ranges."""
        left, right = 0, self._count
        while left < right:
            middle = (left + right) >> 1
            first = self._first_high[middle]
            if first < high or (first == high and self._first_low[middle] <= low):
                left = middle + 1
            else:
                right = middle
        if left == 0:
            return False
        last = self._last_high[left - 1]
        return high < last or (high == last and low <= self._last_low[left - 1])


class Networks:
    """A set of networks, prepared so that finding an address in it costs one binary search."""

    __slots__ = ("_four", "_six")

    __reduce__ = refuse_copy

    def __init__(self, networks: Iterable[IPv4Network | IPv6Network]) -> None:
        four, six = split(networks)
        self._four = Ranges([_range(network) for network in four])
        self._six = Ranges([_range(network) for network in six])

    def contains(self, four: bool, high: int, low: int) -> bool:
        """Returns True if this address is in one of the networks."""
        ranges = self._four if four else self._six
        return ranges.contains(high, low)


def split(networks: Iterable[IPv4Network | IPv6Network]) -> tuple[list[IPv4Network], list[IPv6Network]]:
    """Returns the networks of IPv4 and those of IPv6, as few as possible. `::ffff:a.b.c.d/96` and less is of IPv4."""
    four: list[IPv4Network] = []
    six: list[IPv6Network] = []
    for network in networks:
        if isinstance(network, IPv4Network):
            four.append(network)
        elif network.prefixlen >= 96 and int(network.network_address) >> 32 == 0xFFFF:
            number = int(network.network_address) & 0xFFFFFFFF
            four.append(IPv4Network((number, network.prefixlen - 96)))
        else:
            six.append(network)
    return list(collapse_addresses(four)), list(collapse_addresses(six))


def _range(network: IPv4Network | IPv6Network) -> tuple[int, int]:
    return int(network.network_address), int(network.broadcast_address)


@lru_cache(maxsize=4096)  # as many as the native backend's cache of peers; a miss costs about 1 us
def number_of(host: str) -> Number | None:
    """Returns the number of a numeric address, without its scope; None if it is not an address."""
    try:
        return (True, 0, int.from_bytes(socket.inet_aton(host), "big")) if ":" not in host else _six(host)
    except (OSError, ValueError):
        return None


def _six(host: str) -> Number:
    number = int.from_bytes(socket.inet_pton(socket.AF_INET6, host.partition("%")[0]), "big")
    high, low = number >> 64, number & _HALF
    if high == 0 and low & ~0xFFFFFFFF == _MAPPED:
        return True, 0, low & 0xFFFFFFFF
    return False, high, low
