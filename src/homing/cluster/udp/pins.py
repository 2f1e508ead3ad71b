"""The table of pins: which node owns a session, as this node remembers it, and datagrams that wait while one moves.

Rule 1: a pin is made by the first datagram of a session, or by the word of its owner, and goes after `idle` seconds
without a datagram, with its node, or if `most` are there and it is the one unused longest.
Rule 2: a pin with a queue (`held`) is not forgotten: its session is moving, and datagrams wait in the queue.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator

from ...datagram.message import MessageUDP


class Pin:
    """node: the owner; "" while it is not known. last: when it was used. held: datagrams that wait, None: none do."""

    __slots__ = ("held", "last", "node")

    def __init__(self, node: str, last: float) -> None:
        self.node = node
        self.last = last
        self.held: deque[MessageUDP] | None = None


class Pins:
    """The pins of one node, for one service. evicted: those that had to make room."""

    def __init__(self, most: int, idle: float, hold: int) -> None:
        self.most = most
        self.idle = idle
        self.hold_limit = hold
        self.evicted = 0
        self._pins: OrderedDict[Hashable, Pin] = OrderedDict()
        self._held: dict[Hashable, Pin] = {}
        self.find = self._pins.get

    def __len__(self) -> int:
        return len(self._pins)

    @property
    def held(self) -> int:
        """The number of sessions that are moving."""
        return len(self._held)

    def use(self, key: Hashable, pin: Pin, now: float) -> None:
        """Notes that a datagram of the session came now."""
        pin.last = now
        self._pins.move_to_end(key)

    def pin(self, key: Hashable, node: str, now: float) -> Pin:
        """Remembers that `node` owns the session."""
        pin = self._pins.get(key)
        if pin is None:
            if len(self._pins) >= self.most:
                self._evict()
            pin = self._pins[key] = Pin(node, now)
        else:
            pin.node = node
            self.use(key, pin, now)
        return pin

    def _evict(self) -> None:
        for key, pin in self._pins.items():
            if pin.held is None:
                del self._pins[key]
                self.evicted += 1
                return

    def forget(self, key: Hashable) -> None:
        """Forgets a session. Datagrams that wait for it are dropped: call `release` first."""
        self._pins.pop(key, None)
        self._held.pop(key, None)

    # --- sessions that move -----------------------------------------------------------------------------------

    def hold(self, key: Hashable, now: float) -> None:
        """Lets datagrams of the session wait from now on."""
        pin = self._pins.get(key) or self.pin(key, "", now)
        fresh: deque[MessageUDP] = deque()
        if pin.held is None:  # after the allocation, which may have run a finalizer
            pin.held = fresh
            self._held[key] = pin

    def keep(self, pin: Pin, message: MessageUDP) -> int:
        """Adds a datagram to those that wait. Returns how many were dropped for that: 0 or 1."""
        held = pin.held
        if held is None:
            return 1
        if message._lease is not None:
            data, message.data = message.data, bytes(message.data)
            del data
            message.release()
        held.append(message)
        if len(held) <= self.hold_limit:
            return 0
        held.popleft()
        return 1

    def release(self, key: Hashable) -> list[MessageUDP]:
        """Ends the wait. Returns the datagrams, in order."""
        pin = self._held.pop(key, None)
        if pin is None or pin.held is None:
            return []
        messages, pin.held = list(pin.held), None
        return messages

    def is_held(self, key: Hashable) -> bool:
        """Returns True if the session is moving."""
        return key in self._held

    # --- pins that go -------------------------------------------------------------------------------------------

    def forget_node(self, node: str) -> int:
        """Forgets the sessions of a node, but not those that are moving. Returns how many."""
        keys = [key for key, pin in self._pins.items() if pin.node == node and pin.held is None]
        for key in keys:
            del self._pins[key]
        return len(keys)

    def sweep(self, now: float) -> Iterator[Hashable]:
        """Forgets the pins that are idle, and yields them one by one."""
        while self._pins:
            key, pin = next(iter(self._pins.items()))
            if pin.last + self.idle > now:
                return
            if pin.held is not None:
                self.use(key, pin, now)
                continue
            del self._pins[key]
            yield key
