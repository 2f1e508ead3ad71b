"""The counters of DTLS sockets in `metrics`: a part of the sums of a label."""

from __future__ import annotations

from typing import Any

from ..datagram import Statistics
from .records import DTLSSums

COUNTERS = (
    *("handshakes", "handshakes_completed", "handshake_retransmits", "cookies_sent", "cookies_refused"),
    *("records_bad", "records_replayed", "records_unknown", "hellos_bad", "hellos_limited", "hellos_full"),
    "notify_lost",
)
"""Counters that are one number."""

BY_CAUSE = ("handshakes_failed", "sessions_ended")
"""Counters that have a number for each cause."""

GAUGES = ("sessions", "handshakes_open")
"""Numbers of what is open now, which also go down."""


def dtls_counters(counted: Statistics) -> dict[Any, int]:
    """Returns the counters of a socket that speaks DTLS, by name, or by name and cause; of others nothing."""
    if getattr(counted, "handshakes_completed", None) is None:
        return {}
    counters: dict[Any, int] = {("dtls", name): getattr(counted, name) for name in COUNTERS}
    for name in BY_CAUSE:
        for cause, count in getattr(counted, name).items():
            counters["dtls", name, cause] = count
    return counters


def dtls_gauges(counted: Statistics) -> dict[str, int]:
    """Returns the sessions and handshakes that are open; 0 without DTLS."""
    return {name: getattr(counted, name, 0) for name in GAUGES}


def dtls_sums(sums: dict[Any, int], gauges: dict[str, int]) -> DTLSSums | None:
    """Returns the sums of a label, by the keys of `dtls_counters`; None if none of its sockets has spoken DTLS."""
    if ("dtls", COUNTERS[0]) not in sums:
        return None
    failed, ended = (
        {key[2]: count for key, count in sums.items() if isinstance(key, tuple) and key[:2] == ("dtls", name)}
        for name in BY_CAUSE
    )
    return {
        "counters": {name: sums["dtls", name] for name in COUNTERS},
        "open": {name: gauges.get(name, 0) for name in GAUGES},
        "handshakes_failed": failed,
        "sessions_ended": ended,
    }
