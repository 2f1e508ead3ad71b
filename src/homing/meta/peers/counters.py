"""The counters of a table of peers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...gen import PID, TerminateNormal, is_orderly
from .messages import PeerEvicted, PeerIdle, PeerLost

DROPS = ("refused", "full", "no_key", "limited", "overflow", "ended", "not_started", "no_memory")
"""The ways in which a table drops a datagram.

refused: a first datagram that `accept` did not accept.
full: a first datagram that found no place: all peers were proven, or still busy ending.
no_key: `key` raised, or returned an object that cannot be hashed.
limited: above `rate`.
overflow: `queue` datagrams, or `queue_bytes`, waited at the peer.
ended: waited at a peer that went down.
not_started: the peer's process could not be started.
no_memory: memory ran out.
"""

DOWNS = ("normal", "shutdown", "idle", "icmp", "evicted", "crashed")
"""The ways in which a peer goes down."""


class Counters:
    """Counts datagrams and peers. Every datagram is in one of these:

    `received == forwarded + the sum of dropped - dropped["ended"]`
    `forwarded == handled by peers + waiting at peers + dropped["ended"]`

    received: datagrams taken from the table's mailbox. forwarded: put into the mailbox of a peer.
    dropped: those dropped, by way: see `DROPS`.
    up: peers whose process has started. down: peers that have ended, by way: see `DOWNS`.
    restarts: processes restarted after a crash. notify_lost: messages that did not reach `notify`.
    oldest: always 0, for the server's statistics.
    told: called with each datagram dropped, its cause and the PID of its peer's process, if it has one; None: nobody
        is. The cause is "peers_" and the way.
    """

    def __init__(self) -> None:
        self.received = self.forwarded = self.up = self.restarts = self.notify_lost = 0
        self.dropped = dict.fromkeys(DROPS, 0)
        self.down = dict.fromkeys(DOWNS, 0)
        self.oldest = 0
        self.told: Callable[[Any, str, PID | None], None] | None = None

    def drop(self, way: str, message: Any, pid: PID | None = None) -> None:
        """Counts a dropped datagram. pid: of the process that it was for."""
        self.dropped[way] += 1
        if self.told is not None:
            self.told(message, f"peers_{way}", pid)

    @property
    def newest(self) -> int:
        """All datagrams dropped, for the server's statistics."""
        return sum(self.dropped.values())


def way_down(reason: Exception) -> str:
    """Returns which of `DOWNS` a reason belongs to."""
    for kind, way in ((PeerIdle, "idle"), (PeerLost, "icmp"), (PeerEvicted, "evicted"), (TerminateNormal, "normal")):
        if isinstance(reason, kind):
            return way
    return "shutdown" if is_orderly(reason) else "crashed"
