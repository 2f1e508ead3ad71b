"""The counters of one socket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """A snapshot. Every datagram is in one counter, at every moment:

    `sent to us == packets_in + receive_waiting + kernel_drops + what waits in the kernel`
    `packets_in == delivered + dropped_newest + dropped_oldest + dropped_no_receiver + denied + limited`
    `sent by us == packets_out + send_waiting + dropped_send_queue + dropped_send_oldest + reply_limited + the sum of
    send_errors`

    packets_in: datagrams taken from the kernel.
    bytes_in: payload of those that became messages, as delivered.
    receive_waiting: datagrams that the kernel handed over joined with others (`gro`) and for which the receiver has had
        no room yet.
    delivered: put into a receiver's mailbox, and not dropped from there.
    dropped_newest, dropped_oldest: dropped because the receiver's mailbox was full, as `overflow` asks. If it grows:
        the receiver is too slow.
    dropped_no_receiver: taken, but the receiver was gone in that instant. Stays 0 unless a receiver ends inside the
        runtime's own step; if it grows, report it.
    truncated: were longer than the buffer. If it grows: raise `buffer_size`.
    cut_trains: datagrams that the kernel handed over joined (`gro`), but of which a program that is attached to the
        socket had left no more than the first, or its beginning: that one is delivered, flagged as `truncated`. The
        others are lost; Linux does not report how many. If it grows: let the program return the whole length, or set
        `gro=False`.
    kernel_drops: dropped by the kernel, its receive buffer being full; None where the system does not tell. Datagrams
        that came joined (`gro`) are dropped joined, and Linux counts them as one: then it is a lower bound. If it
        grows: the receiver is too slow, or `receive_buffer` too small for the bursts.
    receive_errors: errors that the system reported on reading, by name.
    packets_out, bytes_out: datagrams that the kernel took to send.
    send_errors: datagrams that it refused, by errno's name or the error's class. Look at the peers and their routes.
    send_waiting: datagrams that wait now because the kernel's send buffer is full.
    dropped_send_queue: were dropped because too many waited, or because the server ended while they did. If it grows:
        raise `send_buffer`, or send less.
    dropped_send_oldest: gave way to others, because too many waited. As `dropped_send_queue`.
    send_pauses: times that sending paused, so that what was sent to the server waited in its mailbox.
    icmp_errors: ICMP errors that came back, by errno's name (`SocketOptions.error_queue`); a datagram that was sent may
        cause none, or several. ECONNREFUSED: peers that have gone. EMSGSIZE: send less at a time. Look at the routes
        for others.
    dropped_errors: failures that were not reported to `on_error`: it does not exist, or its mailbox is full.
    pool_errors: times that the buffer pool raised or returned something that is no writable buffer; a fresh buffer was
        used.
    pauses: times that reading paused for the receiver.
    denied: datagrams of sources that `allow` and `deny` exclude. If it grows: somebody tries; look with `tcpdump`.
    limited: datagrams above `rate_limit`.
    limited_dry_run: above `rate_limit` too, but delivered, as it is a dry run.
    reply_limited: datagrams above `reply_limit` or held back by `reply_guard`, not sent. If it grows: perhaps others
        ask in the destination's name, or it is a server that answers answers.
    reply_limited_dry_run: above `reply_limit` too, but sent, as it is a dry run.
    send_delayed: datagrams that had to wait for `send_rate`. If `send_waiting` grows too: too much is sent.
    """

    packets_in: int
    bytes_in: int
    receive_waiting: int
    delivered: int
    dropped_no_receiver: int
    dropped_newest: int
    dropped_oldest: int
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
    denied: int
    limited: int
    limited_dry_run: int
    reply_limited: int
    reply_limited_dry_run: int
    send_delayed: int
