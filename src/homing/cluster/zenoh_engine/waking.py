"""Wakes the event loop from other threads: calls a function on it.

By an eventfd(2) that Homing's own selector serves, if the loop has that: one short system call at each end, and no
handle, no context and no iteration of the loop for a wake-up. Any other loop is woken by `call_soon_threadsafe`.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol


class Waker(Protocol):
    """Wakes one loop."""

    def wake(self) -> None:
        """Has the function called, once for one call or several. From any thread; nothing once the loop is closed."""

    def close(self) -> None:
        """Ends it. On the loop."""


class LoopWaker:
    """Wakes any loop. Implements `Waker`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
        self._loop = loop
        self._function = function

    def wake(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is there to be called
            self._loop.call_soon_threadsafe(self._function)

    def close(self) -> None:
        """Does nothing."""


class EventWaker:
    """Wakes a loop whose selector serves descriptors itself. Implements `Waker`."""

    def __init__(self, selector: Any, function: Callable[[], None]) -> None:
        self._selector = selector
        self._function = function
        self._lock = threading.Lock()  # so that no thread writes to a descriptor that was closed, and is another's
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        try:
            selector.on_readable(self._descriptor, self._readable)
        except BaseException:
            os.close(self._descriptor)
            raise

    def wake(self) -> None:
        with self._lock:
            if self._descriptor >= 0:
                os.eventfd_write(self._descriptor, 1)

    def close(self) -> None:
        """Ends it."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            self._selector.on_readable(descriptor, None)
            os.close(descriptor)

    def _readable(self) -> None:
        if self._descriptor >= 0:
            with suppress(BlockingIOError):
                os.eventfd_read(self._descriptor)
            self._function()


def open_waker(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> Waker:
    """Returns what wakes `loop`, and calls `function` on it. Raises `OSError` if no descriptor is left."""
    selector = getattr(loop, "homing_selector", None)
    return LoopWaker(loop, function) if selector is None else EventWaker(selector, function)
