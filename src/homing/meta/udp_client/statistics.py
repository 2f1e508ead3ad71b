"""The counters of a UDP client."""

from __future__ import annotations

from dataclasses import dataclass

from ...datagram import Statistics


@dataclass(frozen=True, slots=True, kw_only=True)
class UDPClientStatistics(Statistics):
    """A snapshot: the counters of the socket, and those of the requests. At every moment each request and each datagram
    is counted exactly once:

    `requests == answered + timeouts + refused + failed + cancelled + open`
    `packets_in == replies + late + duplicate + stray + dropped_at_end`
    `stray == delivered + dropped_newest + dropped_no_receiver + dropped_stray`

    requests: requests that were sent, or that sending failed for, or that shared the question of another.
    shared: the part of `requests` that were not sent, because they shared the question of another (`coalesce`).
    open: requests that wait for their replies now.
    answered: requests that were answered.
    timeouts: requests without a reply in time. If it grows: the peer is slow or offline, or `timeout` is too short.
    refused: requests that could not reach the peer, by an error of this machine or an ICMP error. If it grows: check
        the peer and the route to it.
    failed: requests whose `match` raised, or that found the send queue full.
    cancelled: requests whose callers gave up, or that were open when the client ended. If it grows: the callers'
        timeouts are shorter than the requests take.
    rejected: calls for which no request was sent: too many were open, the key was taken, or the request was invalid.
    retransmits: times that a request was sent again.
    replies: datagrams that were passed to requests; a request that collects receives several.
    heard: the part of `replies` by which a peer promised a later answer (`HEARD`).
    late: replies to requests that had ended without an answer. If it grows: `timeout` or `retries` is too small.
    duplicate: replies to requests that had been answered, or equal replies to a request that collects.
    stray: datagrams that belong to no request.
    dropped_stray: the part of `stray` that was dropped, by the option `stray` or because it did not come from the peer.
    guesses: the part of `stray` that came from a peer while requests with a `key` were open: wrong ids, or the wrong
        port. If it grows: somebody may be guessing; see `guess_alarm`.
    alarms: times that `guess_alarm` was reached within a minute.
    reconnects: times that the address of this machine has changed, and the socket was connected again.
    """

    requests: int
    shared: int
    open: int
    answered: int
    timeouts: int
    refused: int
    failed: int
    cancelled: int
    rejected: int
    retransmits: int
    replies: int
    heard: int
    late: int
    duplicate: int
    stray: int
    dropped_stray: int
    guesses: int
    alarms: int
    reconnects: int
