"""A link of a fake network, from one address to another: computes the arrivals and losses of datagrams.

The fate of a datagram depends only on the network's seed, the two addresses, and its number between them. So other
traffic, or another order of it, does not change what happens between two addresses.
"""

from __future__ import annotations

import struct
from hashlib import blake2b

from .conditions import Conditions, within

_DRAWS = struct.Struct("<8Q")


class Link:
    """The datagrams of one pair of addresses. `name` identifies the pair.

    sent: number of datagrams sent. highest: the highest number that has arrived.
    """

    __slots__ = ("_last", "_seed", "highest", "sent")

    def __init__(self, name: str, seed: int) -> None:
        self._seed = blake2b(f"{seed} {name}".encode(), digest_size=_DRAWS.size)
        self._last = 0.0
        self.sent = 0
        self.highest = 0

    def passages(self, size: int, conditions: Conditions, now: float) -> list[float]:
        """Returns the arrival times of the next datagram, sent now, and of its copy. An empty list: it is lost."""
        self.sent += 1
        if conditions.predictable:
            return [self._arrival(conditions, now, (0.0, 1.0, 0.0))]
        lost, doubled, *rest = self._draw(self.sent)
        if lost < conditions.chance_of_loss(size):
            return []
        arrivals = [self._arrival(conditions, now, (rest[0], rest[1], rest[2]))]
        if doubled < conditions.duplicate:
            arrivals.append(self._arrival(conditions, now, (rest[3], rest[4], rest[5])))
        return arrivals

    def _arrival(self, conditions: Conditions, now: float, draws: tuple[float, float, float]) -> float:
        delay, held, hold = draws
        arrival = now + within(conditions.delay, delay)
        if held < conditions.reorder:
            return arrival + within(conditions.reorder_delay, hold)
        self._last = max(self._last, arrival)
        return self._last

    def _draw(self, number: int) -> list[float]:
        """Returns eight random numbers, each at least 0 and below 1."""
        hashed = self._seed.copy()
        hashed.update(b" %d" % number)
        return [(draw >> 11) * 2.0**-53 for draw in _DRAWS.unpack(hashed.digest())]
