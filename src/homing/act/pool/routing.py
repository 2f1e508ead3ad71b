"""Routing: which worker of a pool a message goes to."""

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
"""Messages distributed at a stretch: as many as a process handles in a turn (`NodeOptions.turn_messages`)."""

REMEMBERED = 8192
"""Keys whose worker is remembered at most: about 2 MB of addresses. A key that is not costs 2 us, one that is 0.05 us.
Those that strangers could let meet in one place of the dictionary are not remembered: numbers of more than 64 bits."""

_OPEN_BITS = 64

Refuse = Callable[[Any, Exception], None]


class RoundRobin:
    """To each worker in turn."""

    keyed = False
    stuck = -1
    stretch = STRETCH

    def __init__(self) -> None:
        self._last = -1  # the last worker that got a message

    def distribute(self, main: deque[Any], workers: list[Process], most: int) -> int:
        """Hands on what is at the head of `main`, `most` at most, while there is room. Gives how many."""
        count, self._last = distribute(main, workers, self._last, most, False)
        return count

    def resize(self, size: int) -> None:
        """There are `size` workers now."""


class Keyed:
    """Messages of one key go to one worker.

    stuck: after `distribute`, the worker whose lane has no room for the message at the head; -1: there is none.
    stretch: messages distributed until the clock is looked at: a function of the user's may take its time.
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
        """As the other routes, up to a message whose worker has no room. What was refused counts as distributed."""
        count, self.stuck = distribute_by_key(main, workers, self._places, self._key, MessageUDP, most, self._refuse)
        return count

    def resize(self, size: int) -> None:
        """There are `size` workers now: most keys have another one."""
        self._places = Places(size, self._secret, self._octets)


class Places(dict[Hashable, int]):
    """The place, below `size`, of each key: computed when it is first asked for, and mostly remembered.

    The hash is keyed with a secret, so that who chooses his address does not choose his worker. Python's own hash of a
    number or a tuple of numbers is none: anybody can compute it.
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
        place = int.from_bytes(hashed.digest()) % self._size
        if len(self) >= REMEMBERED:
            self.clear()  # whatever is left out first, a flood of new keys would push the others out as well
        if self._octets is _octets_of_source or _open_bits(key) <= _OPEN_BITS:
            self[key] = place
        return place


def _open_bits(key: Any) -> int:
    """Bits of a key whose hash in a dictionary is no secret. With more of them than a hash has, anybody can make keys
    by the thousand that all have one hash: to find one of them the dictionary would look at all."""
    if isinstance(key, (str, bytes)):
        return 0
    if isinstance(key, int):
        return key.bit_length()
    if isinstance(key, tuple):
        return sum(_open_bits(part) for part in key)
    return 0 if key is None else _OPEN_BITS + 1


def octets(key: Any) -> bytes:
    """The content of a key: different for keys that differ, if they are of str, bytes, int and tuples of these. Of
    others it is their `hash()`."""
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
    """Of a PID, or of an address: host, port and, on IPv6, the scope; the flow label may change from one datagram of a
    peer to the next."""
    return octets(source if len(source) != 4 else (source[0], source[1], source[3]))


def make_route(route: Route, secret: bytes, refuse: Refuse) -> RoundRobin | Least | Keyed:
    """Returns the object that distributes by `route`."""
    if callable(route):
        return Keyed(route, secret, refuse)
    if route == "source":
        return Keyed(None, secret, refuse)
    return Least() if route == "least" else RoundRobin()
