"""The faults of a fake network: loss, duplicates, reordering, delay, fragments."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from ..gen import BadOption
from ..gen.options import check_seconds, set_integer, set_number, set_seconds

Span = float | tuple[float, float]
"""Seconds: a constant, or (least, most) for a random value each time."""

_IP_HEADER = 20  # as in an IPv4 packet without options; IPv6 needs 28 bytes more, which changes no test
_UDP_HEADER = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The faults of a network. Chances are from 0 (never) to 1 (always).

    loss: the chance that a datagram is lost.
    duplicate: the chance that a datagram that is not lost arrives twice. The copy has its own delay.
    reorder: the chance that a datagram is delayed by `reorder_delay` more, so that others may overtake it. Datagrams
        without this extra delay arrive in the order in which they were sent from one address to another.
    delay: seconds that a datagram is under way: a number, or (least, most).
    reorder_delay: seconds of the extra delay, like `delay`.
    mtu: bytes of the largest packet. A longer datagram is sent in fragments, and is lost if one of them is: `loss` is
        then the chance of each fragment. None: there are no fragments. 576 to 65535.
    """

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: Span = 0.0
    reorder_delay: Span = (0.001, 0.01)
    mtu: int | None = None

    def __post_init__(self) -> None:
        for name in ("loss", "duplicate", "reorder"):
            set_number(self, name, 0, 1, "a chance from 0 to 1")
        for name in ("delay", "reorder_delay"):
            _set_span(self, name)
        if self.mtu is not None:
            set_integer(self, "mtu", 576, 65535)

    def chance_of_loss(self, size: int) -> float:
        """Returns the chance that a datagram of `size` bytes is lost."""
        fragments = self.fragments(size)
        return self.loss if fragments == 1 else 1.0 - (1.0 - self.loss) ** fragments

    def fragments(self, size: int) -> int:
        """Returns the number of packets in which a datagram of `size` bytes is sent."""
        if self.mtu is None or size + _UDP_HEADER + _IP_HEADER <= self.mtu:
            return 1
        return ceil((size + _UDP_HEADER) / ((self.mtu - _IP_HEADER) // 8 * 8))  # all but the last a multiple of 8

    @property
    def predictable(self) -> bool:
        """True if no condition depends on chance."""
        return not (self.loss or self.duplicate or self.reorder or isinstance(self.delay, tuple))


def within(span: Span, part: float) -> float:
    """Returns the seconds at `part` (0 to 1) of a span."""
    if not isinstance(span, tuple):
        return span
    least, most = span
    return least + (most - least) * part


def _set_span(options: Conditions, name: str) -> None:
    value = getattr(options, name)
    if not isinstance(value, tuple):
        set_seconds(options, name, zero=True)
        return
    bounds = tuple(check_seconds(name, bound, zero=True) for bound in value)
    if len(bounds) != 2 or bounds[0] > bounds[1]:
        raise BadOption(name, value, "give seconds, or (least, most)")
    object.__setattr__(options, name, bounds)
