"""The messages of a DTLS server: a session has begun, or has ended, and for what reason."""

from __future__ import annotations

from dataclasses import dataclass

from ...datagram import Address
from ...gen import Alias, TerminateNormal, TerminateShutdown
from .identity import Identity


class SessionClosed(TerminateNormal):
    """The peer has closed the session, by the alert close_notify."""

    text = "closed by the peer"


class SessionIdle(TerminateShutdown):
    """Nothing came from the peer for `DTLSServerOptions.session_idle` seconds. It was sent close_notify."""

    text = "idle"


class SessionReplaced(TerminateShutdown):
    """The peer has completed another handshake from the same address: it has lost the former session."""

    text = "replaced by a new handshake"


class SessionDismissed(TerminateShutdown):
    """This program has closed the session, by a `meta.CloseSession`. The peer was sent close_notify."""

    text = "closed"


class SessionEnded(TerminateShutdown):
    """The server has ended, or its socket was closed. The peer was sent close_notify."""

    text = "the server has ended"


class SessionFailed(TerminateShutdown):
    """The session was broken: the peer sent a fatal alert, or a record that DTLS does not allow there.

    detail: as OpenSSL calls it.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(f"failed: {detail}")
        self.detail = detail


@dataclass(frozen=True, slots=True)
class MessageSessionUp:
    """A handshake is complete. Sent to `DTLSServerOptions.notify`.

    id: the server's alias.
    addr: the peer.
    identity: the one that the peer has proven; None: it was not asked for any.
    """

    id: Alias
    addr: Address
    identity: Identity | None


@dataclass(frozen=True, slots=True)
class MessageSessionDown:
    """A session has ended. Sent to `DTLSServerOptions.notify`, once for each `MessageSessionUp`.

    id, addr, identity: as there.
    reason: `SessionClosed`, `SessionIdle`, `SessionReplaced`, `SessionDismissed`, `SessionEnded`, `SessionFailed`.
    """

    id: Alias
    addr: Address
    identity: Identity | None
    reason: Exception


@dataclass(frozen=True, slots=True)
class CloseSession:
    """A message to the alias of a DTLS server, or a request: close the session of a peer, with close_notify. Nothing
    happens if there is none. A client that gets one closes its session, and the next message begins another.

    addr: the peer, as `message.addr`. None: for a client.
    """

    addr: Address | None = None
