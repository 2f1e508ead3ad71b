"""The counters of a UDP client."""

from __future__ import annotations

from dataclasses import dataclass

from ...datagram import Statistics


@dataclass(frozen=True, slots=True, kw_only=True)
class UDPClientStatistics(Statistics):
    """A snapshot. Beside the counters of the socket those of the requests. Every request and every datagram is in one,
    at every moment:

    `requests == answered + timeouts + refused + failed + cancelled + open`
    `packets_in == replies + late + duplicate + stray`
    `stray == delivered + dropped_newest + dropped_no_receiver + dropped_stray`

    requests: were sent, or it was tried.
    open: wait for their replies now.
    answered: have had their answer.
    timeouts: got no reply in time. If it grows: the peer is slow or offline, or `timeout` is too short.
    refused: could not reach the peer, as this machine or an ICMP error said. Look at the peer and the route to it.
    failed: had a `match` that raised, or found the send queue full.
    cancelled: were given up by their callers, or were open when the client ended. If it grows: the callers' timeouts
        are shorter than the requests take.
    rejected: were not sent at all: too many were open, their key was taken, or something was wrong with them.
    retransmits: times that a request was sent again.
    replies: datagrams that were given to requests, several to one that collects.
    heard: of these, those by which a peer said that it will answer later (`HEARD`).
    late: replies to requests that had ended without an answer. If it grows: `timeout` or `retries` is too small.
    duplicate: replies to requests that had been answered, or equal ones to one that collects.
    stray: datagrams that belong to no request.
    dropped_stray: of these, those that nobody gets, as `stray` asks or because they came from somebody else.
    guesses: of the strays, those that came from a peer while requests with a `key` were open: wrong ids, or the wrong
        port. If it grows: somebody may be guessing; see `guess_alarm`.
    alarms: times that there were as many as `guess_alarm` within a minute.
    reconnects: times that the address of this machine has changed, and the socket was connected anew.
    """

    requests: int
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
