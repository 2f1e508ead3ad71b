"""The reasons for which a connection ended: `MessageTCPDisconnect.reason`, each with its counter."""

from __future__ import annotations

import errno
from typing import ClassVar

from ...gen import TerminateShutdown
from ...gen.foreign import safe_str
from .frames import FrameTooLong

_UNRESPONSIVE = (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH)


class ConnectionEnd(TerminateShutdown):
    """Base of the reasons for which a connection ended. counter: the field of `TCPStatistics` that counts it."""

    text = "ended"
    counter: ClassVar[str] = "closed_here"


class ClosedByPeer(ConnectionEnd):
    """The peer has closed the connection, after its last frame or within one (`unfinished`).

    unfinished: bytes of a frame that did not become complete.
    """

    counter = "closed_by_peer"

    def __init__(self, unfinished: int = 0) -> None:
        within = f" within a frame, after {unfinished} bytes" if unfinished else ""
        super().__init__(f"closed by the peer{within}")
        self.unfinished = unfinished


class ClosedHere(ConnectionEnd):
    """This side has closed the connection: `message.close()`, or the process of the peer has ended."""

    text = "closed by this side"
    counter = "closed_here"


class ConnectionReset(ConnectionEnd):
    """The peer, or the system, has broken the connection off.

    error: the system's error.
    """

    counter = "reset"

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"reset: {safe_str(error)}")
        self.error = error


class PeerUnresponsive(ConnectionEnd):
    """The peer's machine does not answer any more (`user_timeout`, `keepalive`): the connection was half open."""

    text = "the peer's machine does not answer"
    counter = "cut_unresponsive"


class NoFirstByte(ConnectionEnd):
    """Nothing came for `first_byte_timeout` seconds after the connection was made."""

    text = "no first byte in time"
    counter = "cut_first_byte"


class ConnectionIdle(ConnectionEnd):
    """Nothing came, and nothing was sent, for `idle_timeout` seconds."""

    text = "idle"
    counter = "cut_idle"


class FrameTimeout(ConnectionEnd):
    """A frame that had begun was not complete after `frame_timeout` seconds."""

    text = "a frame was not complete in time"
    counter = "cut_frame_timeout"


class CutFrameTooLong(ConnectionEnd):
    """A frame was longer than allowed.

    error: the `FrameTooLong`.
    """

    counter = "cut_too_long"

    def __init__(self, error: Exception) -> None:
        super().__init__(safe_str(error))
        self.error = error


class CutBadFrame(ConnectionEnd):
    """The bytes were not a frame, or the program's decoder raised.

    error: the `BadFrame`.
    """

    counter = "cut_bad_frame"

    def __init__(self, error: Exception) -> None:
        super().__init__(safe_str(error))
        self.error = error


class SlowReader(ConnectionEnd):
    """The peer did not read: what waits to be sent was above `send_buffer`, or not taken at all, for `send_timeout`
    seconds; or it was above `send_most`."""

    text = "the peer does not read what is sent"
    counter = "cut_slow_reader"


class Drained(ConnectionEnd):
    """The node stops: the connection was idle, or its time to finish was over."""

    text = "the node stops"
    counter = "drained"


class HandedOver(ConnectionEnd):
    """Another OS process continues with the connection (`hand_over_idle`)."""

    text = "handed over to another program"
    counter = "handed_over"


class ServerEnded(ConnectionEnd):
    """The server, or client, of the connection has ended.

    cause: the reason of its end.
    """

    counter = "server_ended"

    def __init__(self, cause: Exception) -> None:
        super().__init__(f"the server has ended: {safe_str(cause)}")
        self.cause = cause


REASONS: tuple[type[ConnectionEnd], ...] = (
    ClosedByPeer,
    ClosedHere,
    ConnectionReset,
    PeerUnresponsive,
    NoFirstByte,
    ConnectionIdle,
    FrameTimeout,
    CutFrameTooLong,
    CutBadFrame,
    SlowReader,
    Drained,
    HandedOver,
    ServerEnded,
)
"""All reasons."""


def reason_of(error: BaseException | None, unfinished: int) -> ConnectionEnd:
    """Returns the reason for which a transport has ended. error: what it told; None: the peer has closed it.
    unfinished: bytes of a frame that did not become complete."""
    if error is None:
        return ClosedByPeer(unfinished)
    if isinstance(error, OSError) and error.errno in _UNRESPONSIVE:
        return PeerUnresponsive()
    return ConnectionReset(error)


def cut_for(error: Exception) -> ConnectionEnd:
    """Returns the reason for which a connection is cut whose decoder has raised `error`."""
    return CutFrameTooLong(error) if isinstance(error, FrameTooLong) else CutBadFrame(error)
