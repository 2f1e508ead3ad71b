"""Drops by cause: each datagram that a socket has lost is under exactly one cause.

in   kernel           the kernel's receive buffer was full (`kernel_drops`). A lower bound with joined datagrams (`gro`)
in   receiver_full    the receiver's mailbox was full (`dropped_newest`)
in   receiver_oldest  an older datagram, dropped from the receiver's mailbox for a newer one (`dropped_oldest`)
in   no_receiver      the receiver had just ended, or memory ran out (`dropped_no_receiver`)
in   expired          older than `max_age` (`expired`)
in   codel            dropped by `codel`, as all had waited too long for a time (`dropped_codel`)
in   unfair           too many of its source waited (`dropped_unfair`)
in   conflated        replaced by a newer one with the same key while it waited (`conflated`)
in   misrouted        the function of `route` has failed (`dropped_misrouted`)
in   end              waited for room when the socket was closed (`dropped_at_end`)
in   filtered         refused by `admit`, in this process (`filtered`); by the kernel: under kernel
in   denied           excluded by `allow` or `deny` (`denied`)
in   rate_limit       above `rate_limit` (`limited`)
in   late, duplicate  of a client: the request had ended, or been answered (`late`, `duplicate`)
in   stray            of a client: it belonged to no request (`dropped_stray`)
in   bad_record       with DTLS: forged, cut or damaged (`records_bad`)
in   replayed         with DTLS: its record had come before (`records_replayed`)
in   unknown_peer     with DTLS: from an address without a session (`records_unknown`)
in   hello_bad, ...   with DTLS: strangers that began no handshake (`hellos_bad`, `hellos_limited`, `hellos_full`)
out  send_queue       too many waited for the kernel's send buffer (`dropped_send_queue`)
out  send_oldest      an older datagram, dropped for a newer one (`dropped_send_oldest`)
out  reply_limit      above `reply_limit`, or held back by `reply_guard` (`reply_limited`)
out  amplification    above the budget of `amplification` (`amplification_limited`)
out  EMSGSIZE, ...    the kernel refused it: errno's name, or the class of the error (`send_errors`)

Truncated datagrams are delivered, and trains that a program cut (`cut_trains`) hold an unknown number of datagrams:
neither is a drop.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..datagram import Statistics
from ..datagram.ledger import CAUSES


class Drop(NamedTuple):
    """`datagrams` were dropped for `cause`. direction: "in" or "out"."""

    direction: str
    cause: str
    datagrams: int


def drops(counted: Statistics) -> Iterator[Drop]:
    """Yields a `Drop` for each cause, also if its count is 0; kernel drops only if the system counts them."""
    for name, (direction, cause) in CAUSES.items():
        count = getattr(counted, name, None)
        if count is not None:
            yield Drop(direction, cause, count)
    for name, count in counted.send_errors.items():
        yield Drop("out", name, count)


def sums(counted: Statistics) -> tuple[int, int]:
    """Returns how many datagrams were dropped on the way in, and out."""
    both = {"in": 0, "out": 0}
    for drop in drops(counted):
        both[drop.direction] += drop.datagrams
    return both["in"], both["out"]
