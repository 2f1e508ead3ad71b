"""Routing: the worker of a pool that a message goes to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from hashlib import blake2b
from typing import Any, Literal, TypeAlias

from ...datagram import MessageUDP
from ...gen import PID
from ...node.messaging.distribution import distribute, distribute_by_key
from ...node.processes.process import Process
from .least import Least

Route: TypeAlias = Literal["round_robin", "least", "source"] | Callable[[PID, Any], Hashable]
"""`PoolOptions.route`."""

STRETCH = 256
"""Messages distributed in one go: as many as a process handles in a turn (`NodeOptions.turn_messages`)."""

REMEMBERED = 8192
"""The most keys whose worker is remembered, about 2 MB of addresses. A remembered key costs 0.05 us, any other 2 us.
Keys with numbers of more than 64 bits are not remembered: strangers could make many that collide in the dictionary."""

_OPEN_BITS = 64

_WORD = (1 << 64) - 1

Refuse = Callable[[Any, Exception], None]


class RoundRobin:
    """Gives a message to each worker in turn."""

    keyed = False
    stuck = -1
    stretch = STRETCH

    def __init__(self) -> None:
        self._last = -1  # the last worker that got a message

    def distribute(self, main: deque[Any], workers: list[Process], most: int) -> int:
        """Distributes at most `most` messages from the head of `main` while there is room. Returns how many."""
        count, self._last = distribute(main, workers, self._last, most, False)
        return count

    def resize(self, size: int, identities: list[str] | None = None) -> None:
        """Does nothing: `distribute` looks at the number of workers itself."""


class Keyed:
    """Passes the messages of one key to one worker.

    stuck: after `distribute`, the worker whose lane has no room for the message at the head; -1: no such worker.
    stretch: the most messages distributed between two readings of the clock: a user's function may be slow.
    """

    keyed = True

    def __init__(self, key: Callable[[PID, Any], Hashable] | None, secret: bytes, refuse: Refuse) -> None:
        self._key = key
        self.stretch = STRETCH if key is None else 8
        self._octets = octets if key is not None else _octets_of_source
        self._secret = secret
        self._refuse = refuse
        self._places = Places(1, secret, self._octets)
        self.stuck = -1

    def distribute(self, main: deque[Any], workers: list[Process], most: int) -> int:
        """Like the other routes, up to a message whose worker has no room. Refused messages count as distributed."""
        if not workers:
            self.stuck = -1
            return 0
        count, self.stuck = distribute_by_key(main, workers, self._places, self._key, MessageUDP, most, self._refuse)
        return count

    def resize(self, size: int, identities: list[str] | None = None) -> None:
        """Assigns the keys to `size` workers: most keys get another worker. With `identities`, which tell the workers
        apart, only the keys of workers that have come or gone do."""
        if identities is None:
            self._places = Places(size, self._secret, self._octets)
        else:
            self._places = StablePlaces(identities, self._secret, self._octets)


class Places(dict[Hashable, int]):
    """The place of each key, below `size`: computed when it is first looked up, and mostly remembered.

    The hash is keyed with a secret, so that a peer that chooses its address does not choose its worker. Python's own
    hash of a number, or of a tuple of numbers, is not secret: anybody can compute it.
    """

    __slots__ = ("_hash", "_octets", "_size")

    def __init__(self, size: int, secret: bytes, content: Callable[[Any], bytes]) -> None:
        super().__init__()
        self._hash = blake2b(key=secret, digest_size=8)
        self._octets = content
        self._size = size

    def __missing__(self, key: Hashable) -> int:
        hashed = self._hash.copy()
        hashed.update(self._octets(key))
        place = self._place(int.from_bytes(hashed.digest()))
        if len(self) >= REMEMBERED:
            self.clear()  # removing single entries would not help: a flood of new keys would push the others out too
        if self._octets is _octets_of_source or _open_bits(key) <= _OPEN_BITS:
            self[key] = place
        return place

    def _place(self, hashed: int) -> int:
        return hashed % self._size


class StablePlaces(Places):
    """Places by rendezvous hash: each worker has a score for each key, and the highest gets it. A worker that comes or
    goes moves only the keys that it gets or had; a look-up costs 0.2 us more for each worker."""

    __slots__ = ("_salts",)

    def __init__(self, identities: list[str], secret: bytes, content: Callable[[Any], bytes]) -> None:
        super().__init__(len(identities), secret, content)
        salts = (blake2b(identity.encode(), key=secret, digest_size=8) for identity in identities)
        self._salts = [int.from_bytes(salt.digest()) for salt in salts]

    def _place(self, hashed: int) -> int:
        scores = [_mix(hashed ^ salt) for salt in self._salts]
        return scores.index(max(scores))


def _mix(number: int) -> int:
    """Returns 64 bits in which each depends on each of `number`'s: the finalizer of SplitMix64."""
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _WORD
    return number ^ (number >> 31)


def _open_bits(key: Any) -> int:
    """Returns the number of bits in a key that anybody can hash. If they are more than a hash has, anybody can make
    thousands of keys with the same hash, and a look-up in the dictionary would compare them all."""
    if isinstance(key, (str, bytes)):
        return 0
    if isinstance(key, int):
        return key.bit_length()
    if isinstance(key, tuple):
        return sum(_open_bits(part) for part in key)
    return 0 if key is None else _OPEN_BITS + 1


def octets(key: Any) -> bytes:
    """Returns the content of a key: different bytes for different keys made of str, bytes, int and tuples of these, and
    the `hash()` of any other key."""
    if isinstance(key, str):
        return b"s" + key.encode("utf-8", "surrogatepass")
    if isinstance(key, bytes):
        return b"b" + key
    if isinstance(key, int):
        return b"i%x" % key
    if isinstance(key, tuple):
        parts = [octets(part) for part in key]
        return b"t" + b"".join([b"%d:%b" % (len(part), part) for part in parts])
    return b"h%x" % hash(key)


def _octets_of_source(source: Any) -> bytes:
    """Returns the content of a PID or an address: host, port and, on IPv6, the scope; not the flow label, which may
    change from one datagram of a peer to the next."""
    return octets(source if len(source) != 4 else (source[0], source[1], source[3]))


def make_route(route: Route, secret: bytes, refuse: Refuse) -> RoundRobin | Least | Keyed:
    """Returns the object that distributes by `route`."""
    if callable(route):
        return Keyed(route, secret, refuse)
    if route == "source":
        return Keyed(None, secret, refuse)
    return Least() if route == "least" else RoundRobin()
