"""The times of one connection. Its hub looks at them now and then, so that a byte that comes or goes costs no clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...gen.copying import refuse_copy
from .reasons import ConnectionEnd, ConnectionIdle, FrameTimeout, NoFirstByte

if TYPE_CHECKING:
    from .limits import TCPOptions


class Times:
    """Base of a connection. All times are those of the loop's clock.

    since: when the connection was made. has_received: True once a byte was received.
    active: bytes were received or sent since the last look. last: when, as of that look; never too early.
    begun: when the unfinished frame began; 0.0: there is none.
    blocked: since when more waits to be sent than `send_buffer`; 0.0: it does not.
    """

    __slots__ = ("_moved", "_waited", "active", "begun", "blocked", "has_received", "last", "since")

    __reduce__ = refuse_copy

    def __init__(self, now: float) -> None:
        self.since = self.last = now
        self.begun = self.blocked = 0.0
        self.has_received = self.active = False
        self._waited = 0  # bytes that waited to be sent at the last look
        self._moved = now  # when they became fewer

    def look(self, now: float) -> None:
        """Notes that bytes came or went since the last look."""
        if self.active:
            self.active = False
            self.last = now

    def stalled(self, unsent: int, now: float, seconds: float) -> bool:
        """Returns True if the peer has not taken its answers for `seconds`. Called at each look, with the number of
        bytes that wait to be sent."""
        if unsent < self._waited or not unsent or not self._waited:
            self._moved = now
        self._waited = unsent
        return unsent > 0 and (now - self._moved >= seconds or (self.blocked > 0 and now - self.blocked >= seconds))

    def excuse(self, now: float) -> None:
        """Begins its times anew: it was not read, so no byte of its peer could come."""
        self.last = now
        if not self.has_received:
            self.since = now
        if self.begun:
            self.begun = now

    def overdue(self, options: TCPOptions, now: float) -> ConnectionEnd | None:
        """Returns the reason for which it is to be cut; None: its peer has kept all times."""
        first, frame, idle = options.first_byte_timeout, options.frame_timeout, options.idle_timeout
        if first is not None and not self.has_received and now - self.since >= first:
            return NoFirstByte()
        if frame is not None and self.begun and now - self.begun >= frame:
            return FrameTimeout()
        if idle is not None and now - self.last >= idle:
            return ConnectionIdle()
        return None
