"""Drops by cause: every counter of a socket is a cause of drops, or known not to be one."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.datagram import Statistics
from homing.meta import DTLSClientStatistics, DTLSStatistics, UDPClientStatistics
from homing.observe.drops import CAUSES, drops, sums

NO_DROPS = {"conflate_errors", "fair_errors"} | {
    *("packets_in", "bytes_in", "receive_waiting", "delivered", "truncated", "cut_trains", "receive_errors"),
    *("packets_out", "bytes_out", "send_waiting", "send_pauses", "icmp_errors", "dropped_errors", "pool_errors"),
    *("tapped", "tap_missed"),
    *("pauses", "limited_dry_run", "reply_limited_dry_run", "send_delayed"),
    *("amplification_limited_bytes", "amplification_limited_dry_run"),
    *("requests", "shared", "open", "answered", "timeouts", "refused", "failed", "cancelled", "rejected"),
    *("handshakes", "handshakes_open", "handshakes_completed", "handshakes_failed", "sessions", "sessions_ended"),
    *("cookies_sent", "cookies_refused", "handshake_packets", "handshake_retransmits", "records_extra", "notify_lost"),
    *("retransmits", "replies", "heard", "stray", "guesses", "alarms", "reconnects"),
}
"""Counters of what is not lost, of what is not a datagram, and of what is a part or a sum of other counters."""


@pytest.mark.parametrize("kind", [Statistics, UDPClientStatistics, DTLSStatistics, DTLSClientStatistics])
def test_every_counter_is_a_cause_or_known_not_to_be_one(kind: type) -> None:
    """A new counter fails here until somebody has decided which it is."""
    assert {field.name for field in fields(kind)} <= CAUSES.keys() | NO_DROPS | {"send_errors"}
    assert not CAUSES.keys() & NO_DROPS


def test_no_two_counters_have_the_same_cause() -> None:
    assert len(set(CAUSES.values())) == len(CAUSES)


def counted(kind: type = Statistics, **values: Any) -> Any:
    by_name = ("send_errors", "receive_errors", "icmp_errors", "handshakes_failed", "sessions_ended")
    empty: dict[str, Any] = {field.name: {} if field.name in by_name else 0 for field in fields(kind)}
    return kind(**{**empty, **values})


def test_a_kernel_that_does_not_count_has_no_kernel_drops() -> None:
    assert "kernel" not in {drop.cause for drop in drops(counted(kernel_drops=None))}


def test_refused_sends_are_drops_under_the_name_of_their_error() -> None:
    found = {drop.cause: drop for drop in drops(counted(send_errors={"EMSGSIZE": 3}))}
    assert found["EMSGSIZE"] == ("out", "EMSGSIZE", 3)


NUMBERS = st.integers(0, 1000)
ERRORS = st.dictionaries(st.sampled_from(["EPERM", "EMSGSIZE"]), NUMBERS)


@given(st.fixed_dictionaries(dict.fromkeys(CAUSES, NUMBERS)), ERRORS)
def test_each_datagram_is_under_one_cause(values: dict[str, int], errors: dict[str, int]) -> None:
    found = list(drops(counted(DTLSClientStatistics, **values, send_errors=errors)))
    assert sum(drop.datagrams for drop in found) == sum(values.values()) + sum(errors.values())
    assert len({drop[:2] for drop in found}) == len(found)
    into = sum(drop.datagrams for drop in found if drop.direction == "in")
    assert sums(counted(DTLSClientStatistics, **values, send_errors=errors)) == (
        into,
        sum(drop.datagrams for drop in found) - into,
    )
