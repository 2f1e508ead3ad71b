"""SIGINT and SIGTERM: the first stops the nodes of an event loop in order, the second at once.

Rule 1: a second signal takes effect `MOMENT` after the first, not before: people press Ctrl-C twice, and a supervisor
of programs may send both signals. Until then the node can stop in order.
Rule 2: if `homing.run` runs the program, signals are handled until it has returned, and for the same moment afterwards
too: a program that has stopped already and is about to end must not be hit by a signal.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
import threading
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

from .output import tell

if TYPE_CHECKING:
    from types import FrameType

    from .node import Node

MOMENT = 0.5
"""Seconds from the first signal until a second one takes effect."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Signals:
    """The signals of one event loop, for all nodes on it. When the last node has stopped, the previous handlers are
    restored, unless `hold` was called.

    first: time of the first signal, by `time.monotonic`; None: no signal has come.
    """

    _by_loop: ClassVar[dict[asyncio.AbstractEventLoop, Signals]] = {}

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._nodes: list[Node] = []
        self._before: dict[int, Any] = {}
        self._at_once: Callable[[], object] | None = None
        self.first: float | None = None

    @classmethod
    def install(cls, node: Node, loop: asyncio.AbstractEventLoop) -> None:
        """Lets signals stop `node`, if that is possible: in the main thread, on a loop that handles signals."""
        if threading.current_thread() is not threading.main_thread():
            return
        signals = cls._by_loop.get(loop) or cls(loop)
        if not signals._before and not signals._take_over():
            return
        cls._by_loop[loop] = signals
        signals._nodes.append(node)
        node.on_stopped(lambda: signals._remove(node))

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Signals | None:
        """Returns the signals of `loop`, or None if no node on it is stopped by signals."""
        return cls._by_loop.get(loop)

    @classmethod
    def forget_all(cls) -> None:
        """Forgets all signals, in a forked child, which takes none for its parent's nodes."""
        cls._by_loop.clear()

    def hold(self, before: dict[int, Any], at_once: Callable[[], object]) -> None:
        """Handles signals until `release`, also when all nodes have stopped: a second signal then calls `at_once`.

        before: the handlers to restore.
        """
        self._before = before
        self._at_once = at_once

    def release(self) -> Late | None:
        """Restores the previous handlers. If a signal has come, instead installs and returns a `Late`, which handles
        further signals until the program has ended."""
        late = None if self.first is None else Late(self.first, self._before)
        self._restore(self._before if late is None else dict.fromkeys(self._before, late.received))
        return late

    def _take_over(self) -> bool:
        for number in _SIGNALS:
            before = signal.getsignal(number)
            try:
                self._loop.add_signal_handler(number, self._received)
            except (NotImplementedError, RuntimeError, ValueError):
                return False
            self._before[number] = before
        return True

    def _received(self) -> None:
        now = monotonic()
        if self.first is None:
            self.first = now
            self._stop()
        else:
            self._loop.call_later(max(0.0, self.first + MOMENT - now), self._stop)

    def _stop(self) -> None:
        if not self._nodes and self._at_once is not None:
            self._at_once()
        for node in self._nodes.copy():
            node.stop_soon()

    def _remove(self, node: Node) -> None:
        self._nodes.remove(node)
        if not self._nodes and self._at_once is None:
            self._restore(self._before)

    def _restore(self, handlers: dict[int, Any]) -> None:
        if self._by_loop.pop(self._loop, None) is not None:
            replace_handlers(self._loop, handlers)


def replace_handlers(loop: asyncio.AbstractEventLoop, handlers: dict[int, Any]) -> None:
    """Replaces the loop's signal handlers by `handlers`."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, handlers)  # in between, the system's default handler is installed
    try:
        for number, handler in handlers.items():
            loop.remove_signal_handler(number)
            if handler is not None:
                signal.signal(number, handler)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class Late:
    """Handles signals after the one that has stopped the program.

    ending: True while the program is about to end; False if it continues without a node, or has nothing more to do.
    """

    def __init__(self, first: float, before: dict[int, Any]) -> None:
        self._first = first
        self._before = before
        self.ending = True

    def received(self, number: int, frame: FrameType | None) -> None:
        """Does nothing within `MOMENT` of the first signal. Later, ends the program by force while it is `ending`;
        otherwise restores the previous handlers and raises the signal again."""
        if monotonic() - self._first < MOMENT:
            return
        if self.ending:
            tell("stopped by force: a second signal came")
            os._exit(1)
        for each, before in self._before.items():
            signal.signal(each, signal.SIG_DFL if before is None else before)
        signal.raise_signal(number)


def ignore_late_signals_at_exit() -> None:
    """Makes Python ignore the signals of a `Late` while it exits, when its handlers do not run any more: for a few
    milliseconds."""
    atexit.unregister(_ignore_late_signals)
    atexit.register(_ignore_late_signals)


def _ignore_late_signals() -> None:
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if isinstance(getattr(signal.getsignal(number), "__self__", None), Late):
                signal.signal(number, signal.SIG_IGN)


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=Signals.forget_all)
