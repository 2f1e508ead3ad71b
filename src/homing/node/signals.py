"""SIGINT and SIGTERM: the first stops the nodes of an event loop in order, the second at once.

Rule 1: a second signal counts `MOMENT` after the first, not before: people press Ctrl-C twice, and who supervises a
program may send it both. What can stop within that time stops in order.
Rule 2: where `homing.run` runs the program, signals are handled until that has returned, and within the moment also
afterwards: none comes to a program that has stopped already and is about to end.
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
"""Seconds from the first signal until a second one counts."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Signals:
    """The signals of one event loop, for all nodes on it. When the last node has stopped, what was installed before is
    restored, unless somebody holds them.

    first: when the first signal came, by `time.monotonic`; None: none has come.
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
        """Lets signals stop `node`, where that can be: in the main thread, on a loop that handles signals."""
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
        """Those of `loop`; None: no node on it is stopped by signals."""
        return cls._by_loop.get(loop)

    @classmethod
    def forget_all(cls) -> None:
        """A forked child takes no signals for its parent's nodes."""
        cls._by_loop.clear()

    def hold(self, before: dict[int, Any], at_once: Callable[[], object]) -> None:
        """Handles signals until `release`, also when all nodes have stopped: a second one then calls `at_once`.

        before: the handlers to restore.
        """
        self._before = before
        self._at_once = at_once

    def release(self) -> Late | None:
        """Restores what was installed before. If a signal has come, returns what keeps others off until the program
        has ended."""
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
    """Handles signals by `handlers`, no longer by the loop."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, handlers)  # for a moment there is the system's own handler
    try:
        for number, handler in handlers.items():
            loop.remove_signal_handler(number)
            if handler is not None:
                signal.signal(number, handler)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class Late:
    """Handles what comes after the signal that has stopped the program.

    ending: the program is still about to end; else it has gone on without a node, or has nothing more to do.
    """

    def __init__(self, first: float, before: dict[int, Any]) -> None:
        self._first = first
        self._before = before
        self.ending = True

    def received(self, number: int, frame: FrameType | None) -> None:
        """Does nothing within the moment. Later it ends a program that does not end; where that has ended, it does what
        was done before."""
        if monotonic() - self._first < MOMENT:
            return
        if self.ending:
            tell("stopped by force: a second signal came")
            os._exit(1)
        for each, before in self._before.items():
            signal.signal(each, signal.SIG_DFL if before is None else before)
        signal.raise_signal(number)


def ignore_late_signals_at_exit() -> None:
    """What a `Late` handles is ignored while Python takes itself down, when it has no handlers any more: for as long as
    that takes, which is milliseconds."""
    atexit.unregister(_ignore_late_signals)
    atexit.register(_ignore_late_signals)


def _ignore_late_signals() -> None:
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if isinstance(getattr(signal.getsignal(number), "__self__", None), Late):
                signal.signal(number, signal.SIG_IGN)


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=Signals.forget_all)
