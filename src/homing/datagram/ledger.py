"""The ledger: every datagram that was sent to a socket, under exactly one heading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

CAUSES: dict[str, tuple[str, str]] = {
    "kernel_drops": ("in", "kernel"),
    "dropped_newest": ("in", "receiver_full"),
    "dropped_oldest": ("in", "receiver_oldest"),
    "dropped_no_receiver": ("in", "no_receiver"),
    "expired": ("in", "expired"),
    "dropped_codel": ("in", "codel"),
    "dropped_unfair": ("in", "unfair"),
    "conflated": ("in", "conflated"),
    "dropped_misrouted": ("in", "misrouted"),
    "dropped_at_end": ("in", "end"),
    "filtered": ("in", "filtered"),
    "denied": ("in", "denied"),
    "limited": ("in", "rate_limit"),
    "late": ("in", "late"),
    "duplicate": ("in", "duplicate"),
    "dropped_stray": ("in", "stray"),
    "records_bad": ("in", "bad_record"),
    "records_replayed": ("in", "replayed"),
    "records_unknown": ("in", "unknown_peer"),
    "hellos_bad": ("in", "hello_bad"),
    "hellos_limited": ("in", "hello_limited"),
    "hellos_full": ("in", "hello_full"),
    "dropped_send_queue": ("out", "send_queue"),
    "dropped_send_oldest": ("out", "send_oldest"),
    "reply_limited": ("out", "reply_limit"),
    "amplification_limited": ("out", "amplification"),
}
"""Direction and cause of each counter of `Statistics`, and of a client's, that counts drops only. `send_errors` has a
cause for each of its names."""

DROPS_IN = {name: cause for name, (direction, cause) in CAUSES.items() if direction == "in"}
"""The causes of the counters of datagrams that were received and then dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """All datagrams that were sent to a socket, as far as the kernel or the program has seen them. At every moment:

    `received == delivered + waiting + sum(dropped.values())`

    received: datagrams that were taken from the kernel, or dropped by it. Those that wait in the kernel are not among
        them: the system reports their size, not their number (`kernel_waiting`, an item of an inspection).
    delivered: put into a receiver's mailbox and not dropped from there, or, of a client, passed to a request.
    waiting: read from the kernel, and waiting for room in the mailbox, or for their turn (`fair`).
    dropped: dropped, by cause, also causes that have dropped none: "kernel" (`kernel_drops`; missing if the system does
        not report it), "receiver_full" (`dropped_newest`), "receiver_oldest" (`dropped_oldest`), "no_receiver"
        (`dropped_no_receiver`), "expired", "codel" (`dropped_codel`), "unfair" (`dropped_unfair`),
        "conflated", "misrouted" (`dropped_misrouted`), "end" (`dropped_at_end`), "filtered", "denied", "rate_limit"
        (`limited`); of a client "late", "duplicate" and "stray" (`dropped_stray`); and with DTLS "bad_record",
        "replayed" and "unknown_peer" (`records_bad` and so on), "hello_bad", "hello_limited" and "hello_full"
        (`hellos_bad` and so on), and "handshake": datagrams that belong to a handshake, which are no loss.
    """

    received: int
    delivered: int
    waiting: int
    dropped: Mapping[str, int]
