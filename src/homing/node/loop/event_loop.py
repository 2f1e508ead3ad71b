"""`new_event_loop`: the event loop on which `homing.run` runs programs."""

from __future__ import annotations

import asyncio

from ...gen import BadOption
from ...gen.options import check_seconds

try:
    from .selector import Selector
except ImportError:  # it was not built: no compiler, or another system than Linux
    Selector = None  # type: ignore[assignment, misc]


class EventLoop(asyncio.SelectorEventLoop):
    """asyncio's own event loop, with a selector that serves the sockets of datagrams itself.

    homing_selector: that selector; what watches a socket looks for it.
    """

    _closed = True  # for asyncio's `__del__`, until `__init__` has run, or if that fails: there is nothing to close

    def __init__(self, spin: float = 0.0) -> None:
        self.homing_selector = Selector(spin)
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


def new_event_loop(*, spin: float = 0.0) -> asyncio.SelectorEventLoop:
    """Returns a new event loop of asyncio's, on which UDP servers and clients cost the least.

    `homing.run` and the `homing` command use it. For a program that has a runner of its own:
    `asyncio.Runner(loop_factory=homing.new_event_loop)`.

    It is an `asyncio.SelectorEventLoop` and does all that this does. Its selector is Homing's, which is written in C
    and serves Homing's sockets itself, without an iteration of the loop for each wake-up. In debug mode
    (`loop.set_debug`) the loop serves them, and logs slow callbacks. Where the extensions are not built, and on other
    systems than Linux, the selector is Python's.

    spin: seconds after each event for which the loop polls before it sleeps; 0: it sleeps at once. Polling spares the
        next event the time to wake the thread, and uses a processor wholly meanwhile. `node.info().spin_seconds`
        shows the cost.

    Raises `BadOption` for a `spin` that is not a number of seconds, or where the selector is Python's, which cannot
    spin; `OSError` if this program has no descriptor left.
    """
    seconds = check_seconds("spin", spin, zero=True)
    if Selector is not None:
        return EventLoop(seconds)
    if seconds:
        raise BadOption("spin", spin, "only the compiled selector can poll, and it is not built here; leave it out")
    return asyncio.SelectorEventLoop()


def seconds_spun(loop: asyncio.AbstractEventLoop) -> float:
    """Returns the seconds for which `loop` has polled instead of sleeping."""
    return loop.homing_selector.spun if isinstance(loop, EventLoop) else 0.0
