"""Fair: whose turn it is among the sources of a server's datagrams."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from hashlib import blake2b
from types import CoroutineType
from typing import Literal, TypeAlias

from ...datagram import MessageUDP
from ...datagram.policy.expressions import Field
from ...gen import BadOption
from ...gen.foreign import safe_key, safe_repr
from ...gen.options import set_integer

By: TypeAlias = Literal["source"] | tuple[int, int] | Field | Callable[[MessageUDP], Hashable]

_WHOLE = (32, 56)
"""The prefix lengths of "source", those of `RateLimit`: an IPv4 address, the usual IPv6 network of one customer."""

LONGEST_KEY = 64
"""Characters or bytes of a key that is kept as it is: as long as what each datagram counts beside its length."""

_SECRET = os.urandom(16)

_MAPPED = bytes(10) + b"\xff\xff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fair:
    """Serves datagrams that wait in turn by source, so that a flood costs the flooder: the option `fair` of a UDP
    server.

    Each source has a queue of its own. In its turn it may have 1536 bytes handled, of which each datagram takes its
    length and 64 more (deficit round robin, Shreedhar and Varghese 1995).

    by: which datagrams belong to one source. "source": those of one IPv4 address, or of one IPv6 network of 56 bits, by
        whatever port. Two prefix lengths, such as `(24, 48)`: those of one network, of IPv4 and of IPv6. A part of the
        data, such as `meta.where[0:8]`: those with the same bytes there. A function that takes a `meta.MessageUDP` and
        returns its key: it runs on the loop for each datagram, so it must be quick. If it raises, that is counted
        (`fair_errors`), and the datagram waits in the queue of its address, as does one that is too short for the part.
        Keys are found by Python's hash, which is keyed for `str` and `bytes`, but not for numbers: let a key that
        senders can choose be one of these. If it is longer than 64, a keyed hash of it is kept.
    queue: most datagrams of one source that wait. 64: as many as are read in one go.
    most: most sources that wait. If a datagram of another one comes, the source that has most bytes waiting loses all
        of its datagrams, or the new one is dropped if that has only one.
    ahead: most datagrams that wait in the receiver's mailbox, taken from the queues: a source waits for these, and for
        one turn of each of the others. For a pool: give two for each worker at least.

    Raises `BadOption`.
    """

    by: By = "source"
    queue: int = 64
    most: int = 10_000
    ahead: int = 16

    def __post_init__(self) -> None:
        if isinstance(self.by, tuple):
            _check_prefixes(self.by)
        elif self.by != "source" if isinstance(self.by, str) else not callable(self.by) or isinstance(self.by, type):
            raise BadOption("by", self.by, 'give "source", two prefix lengths, a part of the data, or a function')
        set_integer(self, "queue", 1)
        set_integer(self, "most", 1)
        set_integer(self, "ahead", 1)


def _check_prefixes(by: tuple[int, ...]) -> None:
    whole = all(isinstance(length, int) and not isinstance(length, bool) for length in by)
    if len(by) != 2 or not whole or not (0 <= by[0] <= 32 and 0 <= by[1] <= 128):
        raise BadOption("by", by, "give two prefix lengths: of IPv4, 0 to 32, and of IPv6, 0 to 128")


def address_key(message: MessageUDP, prefixes: tuple[int, int] = _WHOLE) -> Hashable:
    """Returns the key of a datagram's address. On a Unix socket it is the path."""
    addr = message.addr
    if not isinstance(addr, tuple):
        return addr
    host: str = addr[0]
    four = ":" not in host
    if four and prefixes[0] == 32:
        return host
    try:
        packed = socket.inet_pton(socket.AF_INET if four else socket.AF_INET6, host.partition("%")[0])
    except (OSError, ValueError):
        return host
    if packed.startswith(_MAPPED) and not four:
        packed = packed[12:]
    length = prefixes[0] if len(packed) == 4 else prefixes[1]
    unused = len(packed) * 8 - length
    return ((int.from_bytes(packed, "big") >> unused) << unused).to_bytes(len(packed), "big")


def key_of(by: By, message: MessageUDP) -> Hashable:
    """Returns the key of a datagram. Raises what the program's function raises, and `TypeError` for a bad key."""
    if by == "source" if isinstance(by, str) else isinstance(by, tuple):
        return address_key(message, by if isinstance(by, tuple) else _WHOLE)
    if isinstance(by, Field):
        return _short(by.key_of(message.data)) or address_key(message)
    key = by(message)  # type: ignore[operator]
    if type(key) is CoroutineType:
        key.close()
        raise TypeError("it returned a coroutine; make it a plain def")
    found: Hashable = safe_key(key)
    hash(found)
    return _short(found)


def _short(key: Hashable) -> Hashable:
    """Returns a key that is long as its hash: keys are kept beside the datagrams, whose bytes are bounded."""
    if type(key) is bytes and len(key) > LONGEST_KEY:
        return blake2b(key, digest_size=16, key=_SECRET).digest()
    if type(key) is str and len(key) > LONGEST_KEY:
        return blake2b(key.encode(errors="surrogatepass"), digest_size=16, key=_SECRET).hexdigest()
    return key


def label_of(by: By, key: Hashable) -> str:
    """Returns a key of an address as text."""
    if type(key) is str and len(key) <= LONGEST_KEY:
        return key
    if isinstance(key, bytes) and isinstance(by, (str, tuple)) and len(key) in (4, 16):
        family, place = (socket.AF_INET, 0) if len(key) == 4 else (socket.AF_INET6, 1)
        return f"{socket.inet_ntop(family, key)}/{(by if isinstance(by, tuple) else _WHOLE)[place]}"
    return ""


def same_by(one: By, other: By) -> bool:
    """Returns True if both put each datagram under the same key."""
    if isinstance(one, Field) and isinstance(other, Field):
        return safe_repr(one) == safe_repr(other)
    if isinstance(one, (str, tuple)) and isinstance(other, (str, tuple)):
        return one == other
    return one is other
