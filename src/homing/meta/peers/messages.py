"""The messages of a table of peers: a peer has come, or has ended, and for what reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...datagram import MessageUDPError
from ...gen import TerminateShutdown

if TYPE_CHECKING:
    from .peer import Peer


class PeerIdle(TerminateShutdown):
    """No datagram came from the peer or went to it for `PeerOptions.idle` seconds."""

    text = "idle"


class PeerEvicted(TerminateShutdown):
    """The table was full, and this was the least recently used peer of those that were not proven."""

    text = "evicted"


class PeerLost(TerminateShutdown):
    """An ICMP error came back for a datagram to the peer (`SocketOptions.error_queue`).

    report: the `MessageUDPError`.
    """

    def __init__(self, report: MessageUDPError) -> None:
        super().__init__(f"lost: {report.error}")
        self.report = report


@dataclass(frozen=True, slots=True)
class MessagePeerUp:
    """The process of a new peer has started. Sent to `PeerOptions.notify`. A restart sends none.

    peer: the peer.
    """

    peer: Peer


@dataclass(frozen=True, slots=True)
class MessagePeerDown:
    """A peer has ended: so has its process, which is not restarted. Sent to `PeerOptions.notify`, once for each
    `MessagePeerUp`.

    peer: the peer. A datagram can still be sent to it.
    reason: `PeerIdle`, `PeerEvicted`, `PeerLost`; `gen.TerminateNormal`, if its process chose to end;
        `gen.TerminateShutdown`, if it was stopped, or the server ended; otherwise the exception of the crash.
    """

    peer: Peer
    reason: Exception
