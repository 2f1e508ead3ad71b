"""The ways to the owners of sessions: datagrams wait here while an owner has no room."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ...datagram.message import MessageUDP
from .outflow import Outflow


class Way:
    """The way to one owner: what waits for it, and where it goes.

    room: returns how many datagrams can go now; after 0, `pump` is called. put: sends; returns how many went.
    """

    __slots__ = ("flow", "put", "room", "waiting")

    def __init__(
        self, room: Callable[[], int], put: Callable[[list[MessageUDP]], int], flow: Outflow | None = None
    ) -> None:
        self.room = room
        self.put = put
        self.flow = flow
        self.waiting: deque[MessageUDP] = deque()

    def pump(self) -> int:
        """Sends as much of what waits as there is room for. Returns how many went."""
        went = 0
        while self.waiting:
            room = self.room()
            if room <= 0:
                break
            part = [self.waiting.popleft() for _ in range(min(room, len(self.waiting)))]
            done = self.put(part)
            went += done
            if done < len(part):
                self.waiting.extendleft(reversed(part[done:]))
                break
        return went
