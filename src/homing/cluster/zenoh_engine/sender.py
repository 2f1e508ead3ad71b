"""The thread that sends to one node: while zenoh waits for room to that node, nobody else waits.

A batch that certainly finds room needs no thread: it is sent at once, on the loop, which spares the caller of a process
on another node two switches of threads. Rule: only if nothing is in the thread, so that no batch overtakes another; and
only if the caller says that so little is under way (`light`) that zenoh's own buffers for the node have room for all of
it, even while the node is frozen. Should a `put` take long nevertheless, the thread has them all for a while.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from queue import SimpleQueue
from typing import Protocol

LANES = 3

END = b""
"""The last batch of each lane, of a node that leaves: its token may overtake what it has sent, in zenoh."""

_MOST_WAITING = 8 << 20
"""Bytes that wait in a sender. A link has at most 2 MiB under way, and its signals; more is lost, and so found out."""

_SLOW, _CALM = 0.01, 10.0
"""Seconds of a `put` on the loop that are too many, and for how long the thread then sends all."""

_LOG = logging.getLogger("homing.cluster")


class Outlet(Protocol):
    """A publisher of zenoh, as a sender sees it."""

    def put(self, data: bytes | bytearray) -> None:
        """Sends a batch. May wait for room."""

    def is_matched(self) -> bool:
        """True if the other node receives what is put."""


class Sender:
    """Sends to one node, the batches of the most urgent lane first."""

    def __init__(self, name: str, declare: Callable[[], Sequence[Outlet]], ready: Callable[[], None]) -> None:
        """name: of the node. declare: makes the outlets, one a lane. ready: called in the thread when batches arrive
        at the node."""
        self._declare = declare
        self._ready = ready
        self._lanes: tuple[deque[bytes | bytearray], ...] = tuple(deque() for _ in range(LANES))
        self._tickets: SimpleQueue[bool] = SimpleQueue()  # one for each batch; False: end
        self._waiting = 0
        self._outlets: Sequence[Outlet] | None = None
        self._queued = 0  # batches that the thread was given, counted by the loop
        self._done = 0  # batches that it has sent, counted by the thread
        self._threaded_until = 0.0
        self._stopped = False
        self.lost = 0
        """Batches that found no room here."""
        self._thread = threading.Thread(target=self._run, name=f"homing-to-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, lane: int, data: bytes | bytearray, light: bool = False) -> None:
        """Sends a batch, or queues it for the thread. Never waits; without room, it is lost. light: see
        `engine.Engine.put`."""
        if light and self._queued == self._done and self._send_now(lane, data):
            return
        if self._waiting > _MOST_WAITING:
            self.lost += 1
            return
        self._waiting += len(data)  # not exact between two threads, as a limit need not be
        self._queued += 1
        self._lanes[lane].append(data)
        self._tickets.put(True)

    def _send_now(self, lane: int, data: bytes | bytearray) -> bool:
        """Sends a batch from the calling thread. Returns False if that is to be left to the sender's."""
        outlets, began = self._outlets, time.monotonic()
        if outlets is None or self._stopped or began < self._threaded_until:
            return False
        try:
            outlets[lane].put(data)
        except Exception:
            self._outlets = None
            return False  # the thread will meet the same error, and report it
        if time.monotonic() - began > _SLOW:
            self._threaded_until = began + _CALM
        return True

    def finish(self) -> None:
        """Sends what waits, then ends. Returns at once."""
        self._tickets.put(False)

    def stop(self) -> None:
        """Ends as soon as the batch in hand is sent; what waits is lost. Returns at once."""
        self._stopped = True
        self._tickets.put(False)

    def join(self, timeout: float) -> None:
        """Waits for the end of the thread, at most so many seconds. Not on the loop."""
        self._thread.join(timeout)

    def _run(self) -> None:
        try:
            outlets = self._declare()
            if self._wait_until_matched(outlets):
                self._outlets = outlets
                self._ready()
                self._send_all(outlets)
                self._outlets = None
                self._send_end(outlets)
        except Exception as error:
            if not self._stopped:
                _LOG.warning("the thread %s has ended: %s", self._thread.name, error)
        finally:
            self._outlets = None
            for lane in self._lanes:
                lane.clear()

    def _wait_until_matched(self, outlets: Sequence[Outlet]) -> bool:
        pause = 0.001
        while not self._stopped:
            if all(outlet.is_matched() for outlet in outlets):
                return True
            time.sleep(pause)
            pause = min(pause * 1.5, 0.05)
        return False

    def _send_all(self, outlets: Sequence[Outlet]) -> None:
        while self._tickets.get() and not self._stopped:
            for lane, outlet in zip(self._lanes, outlets, strict=True):
                if lane:
                    data = lane.popleft()
                    self._waiting -= len(data)
                    outlet.put(data)
                    break
            self._done += 1

    def _send_end(self, outlets: Sequence[Outlet]) -> None:
        if not self._stopped:
            for outlet in outlets:
                outlet.put(END)


def join_all(senders: Iterable[Sender], timeout: float) -> None:
    """Waits for the ends of all threads, at most so many seconds. Not on the loop."""
    give_up = time.monotonic() + timeout
    for sender in senders:
        sender.join(max(0.0, give_up - time.monotonic()))
