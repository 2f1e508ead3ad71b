"""The counters of one socket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .ledger import DROPS_IN, Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """A snapshot of the counters. Every datagram is in exactly one of them at every moment:

    `sent to us == packets_in + receive_waiting + kernel_drops + waiting in the kernel`
    `packets_in == delivered + dropped_newest + dropped_oldest + dropped_no_receiver + expired + dropped_codel +
    dropped_unfair + conflated + dropped_misrouted + dropped_at_end + filtered + denied + limited`
    `sent by us == packets_out + send_waiting + dropped_send_queue + dropped_send_oldest + reply_limited +
    amplification_limited + the sum of send_errors`

    `ledger` is the table of the received ones.

    packets_in: datagrams taken from the kernel.
    bytes_in: payload bytes of the datagrams that became messages, as delivered.
    receive_waiting: datagrams that the kernel delivered joined with others (`gro`) and for which the receiver has had
        no room yet, and datagrams that wait for their turn (`fair`).
    delivered: put into a receiver's mailbox, and not dropped from there.
    dropped_newest, dropped_oldest: dropped because the receiver's mailbox was full, as `overflow` says. If it grows:
        the receiver is too slow. With `peers`, `dropped_newest` counts all datagrams that the table has dropped, and an
        inspection of the server says why.
    dropped_no_receiver: taken from the kernel, but the receiver had just ended, or memory ran out. Stays 0 unless a
        receiver ends inside the runtime's own step, or memory runs out; if it grows, report it.
    expired: older than `max_age` when they were read, or when their turn in the mailbox had come. If it grows: the
        receiver is too slow.
    dropped_codel: dropped by `codel`, as all had waited too long for a time. If it grows: the receiver is too slow.
    dropped_unfair: dropped by `fair`, as too many of its source waited. If it grows: an inspection says whose
        (`unfair_sources`).
    fair_errors: times that the function of `fair` raised, or returned a value that cannot be a key; the datagram waited
        in the queue of its address. If it grows: look at the log, and at that function.
    conflated: replaced, while they waited, by newer ones with the same key (`conflate`).
    conflate_errors: times that the function `conflate` raised, or returned a value that cannot be a key; the datagram
        was delivered. If it grows: look at the log, and at that function.
    dropped_misrouted: for which the function of `route` raised or returned no key: they are dead letters. If it grows:
        look at the log, and at that function.
    dropped_at_end: taken from the kernel joined with others, and still waiting for room when the socket was closed; or
        waiting then for their turn (`fair`).
    truncated: datagrams longer than the buffer. If it grows: raise `buffer_size`.
    cut_trains: trains of joined datagrams (`gro`) that a program attached to the socket had cut down to the first
        datagram or a part of it, which is delivered with `truncated` set. The others are lost; Linux does not report
        how many. If it grows: let the program return the whole length, or set `gro=False`.
    kernel_drops: dropped by the kernel because its receive buffer was full; None if the system does not report it.
        Joined datagrams (`gro`) are dropped together, and Linux counts them as one: the number is then a lower bound.
        If it grows: the receiver is too slow, or `receive_buffer` too small for the bursts.
    receive_errors: errors that the system reported on reading, by name. MemoryError: memory ran out; reading continued
        after a moment.
    packets_out, bytes_out: datagrams that the kernel accepted for sending.
    send_errors: datagrams that were refused, by errno's name or the error's class. Check the peers and their routes.
    send_waiting: datagrams that wait now because the kernel's send buffer is full.
    dropped_send_queue: dropped because too many were waiting, or because the server ended while they waited. If it
        grows: raise `send_buffer`, or send less.
    dropped_send_oldest: dropped in favor of newer datagrams, because too many were waiting. If it grows: as for
        `dropped_send_queue`.
    send_pauses: times that sending paused, so that messages to the server waited in its mailbox.
    icmp_errors: ICMP errors that came back, by errno's name (`SocketOptions.error_queue`); a datagram may cause none,
        or several. ECONNREFUSED: the peer no longer listens. EMSGSIZE: send shorter datagrams. For others, check the
        routes.
    dropped_errors: failures that could not be reported to `on_error`, because it does not exist or its mailbox is full.
    pool_errors: times that the buffer pool raised or returned something that is not a writable buffer; a fresh buffer
        was used.
    pauses: times that reading paused for the receiver.
    filtered: datagrams that did not meet `admit`, if this process evaluates that. If the kernel does, it counts them
        under `kernel_drops`.
    denied: datagrams from sources excluded by `allow` and `deny`. If it grows: look at the sources with `tcpdump`.
    limited: datagrams above `rate_limit`.
    limited_dry_run: also above `rate_limit`, but delivered, because it is a dry run.
    reply_limited: datagrams above `reply_limit` or held back by `reply_guard`, not sent. If it grows: others may be
        forging requests in the destination's name, or the destination is a server that answers answers.
    reply_limited_dry_run: also above `reply_limit`, but sent, because it is a dry run.
    amplification_limited, amplification_limited_bytes: datagrams above the budget of `amplification`, not sent, and the
        bytes of their payloads. If it grows: others may be forging requests, or clients do not prove their addresses.
    amplification_limited_dry_run: also above that budget, but sent, because it is a dry run.
    tapped: datagrams recorded by `tap`. tap_missed: datagrams that were to be recorded and were not: the disk was too
        slow, or the tap had ended by an error. If it grows: record a `sample`, or to a faster disk.
    send_delayed: datagrams that had to wait for `send_rate`. If `send_waiting` grows too: too much is sent.
    """

    packets_in: int
    bytes_in: int
    receive_waiting: int
    delivered: int
    dropped_no_receiver: int
    dropped_newest: int
    dropped_oldest: int
    expired: int
    dropped_codel: int
    dropped_unfair: int
    fair_errors: int
    conflated: int
    conflate_errors: int
    dropped_misrouted: int
    dropped_at_end: int
    truncated: int
    cut_trains: int
    kernel_drops: int | None
    receive_errors: Mapping[str, int]
    packets_out: int
    bytes_out: int
    send_errors: Mapping[str, int]
    send_waiting: int
    dropped_send_queue: int
    dropped_send_oldest: int
    send_pauses: int
    icmp_errors: Mapping[str, int]
    dropped_errors: int
    pool_errors: int
    pauses: int
    filtered: int
    denied: int
    limited: int
    limited_dry_run: int
    reply_limited: int
    reply_limited_dry_run: int
    amplification_limited: int
    amplification_limited_bytes: int
    amplification_limited_dry_run: int
    send_delayed: int
    tapped: int
    tap_missed: int

    @property
    def ledger(self) -> Ledger:
        """The received datagrams as one table: delivered, waiting, and dropped by cause."""
        counted = {cause: getattr(self, name, None) for name, cause in DROPS_IN.items()}
        return Ledger(
            received=self.packets_in + self.receive_waiting + (self.kernel_drops or 0),
            delivered=self.delivered + getattr(self, "replies", 0),
            waiting=self.receive_waiting,
            dropped={cause: count for cause, count in counted.items() if count is not None},
        )
