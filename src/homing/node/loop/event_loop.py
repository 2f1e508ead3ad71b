"""`new_event_loop`: the event loop on which `homing.run` runs programs."""

from __future__ import annotations

import asyncio

try:
    from .selector import Selector
except ImportError:  # it was not built: no compiler, or another system than Linux
    Selector = None  # type: ignore[assignment, misc]


class EventLoop(asyncio.SelectorEventLoop):
    """asyncio's own event loop, with a selector that serves the sockets of datagrams itself.

    homing_selector: that selector; what watches a socket looks for it.
    """

    _closed = True  # for asyncio's `__del__`, until `__init__` has run, or if that fails: there is nothing to close

    def __init__(self) -> None:
        self.homing_selector = Selector()
        try:
            super().__init__(self.homing_selector)
        except BaseException:
            self._closed = True
            self.homing_selector.close()
            raise
        self.homing_selector.attach(self)

    def stop(self) -> None:
        super().stop()
        self.homing_selector.leave()

    def set_debug(self, enabled: bool) -> None:
        super().set_debug(enabled)
        self.homing_selector.debug = bool(enabled)


def new_event_loop() -> asyncio.SelectorEventLoop:
    """Returns a new event loop of asyncio's, on which UDP servers and clients cost the least.

    `homing.run` and the `homing` command use it. For a program that has a runner of its own:
    `asyncio.Runner(loop_factory=homing.new_event_loop)`.

    It is an `asyncio.SelectorEventLoop` and does all that this does. Its selector is Homing's, which is written in C
    and serves Homing's sockets itself, without an iteration of the loop for each wake-up. In debug mode
    (`loop.set_debug`) the loop serves them, and logs slow callbacks. Where the extensions are not built, and on other
    systems than Linux, the selector is Python's.

    Raises `OSError` if this program has no descriptor left.
    """
    return asyncio.SelectorEventLoop() if Selector is None else EventLoop()
