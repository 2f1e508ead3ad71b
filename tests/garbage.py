"""Garbage whose finalizers run in the midst of whatever the runtime is doing.

CPython collects when objects are made, and a finalizer may do all that a program may: send, kill, close. Here one runs
at every second to sixth object that is made, so that in time it runs at each place where the runtime makes one.
"""

from __future__ import annotations

import contextlib
import gc
import random
import sys
import threading
from collections.abc import Callable, Iterator

try:
    from homing.datagram.backend.native import spare
except ImportError:  # without the extensions no memory is kept

    def spare(most: int) -> None: ...


MOST = 5

ANYWHERE = sys.version_info < (3, 12)
"""Whether garbage is collected wherever an object is made: since 3.12 only between two bytecodes."""

NEVER = 1_000_000


class Litter:
    """Calls `action` in a finalizer, each time that garbage is collected on the thread that made this.

    Any thread of the program may be the one that collects, also one that the test knows nothing of (the test runner's);
    there the finalizer only leaves new garbage, since most actions may be called on the node's thread alone.
    collections: how often. errors: what it has raised.
    """

    def __init__(self, action: Callable[[], object], seed: int, most: int) -> None:
        self.action = action
        self.most = most
        self.collections = 0
        self.errors: list[BaseException] = []
        self.active = True
        self._random = random.Random(seed)
        self._thread = threading.get_ident()

    def drop(self) -> None:
        """Drops an object that only the collector can find, and has it look soon: at the youngest objects only."""
        gc.set_threshold(self._random.randint(1, self.most), NEVER, NEVER)
        _Cycle(self)

    def collected(self) -> None:
        if not self.active:
            return
        self.drop()
        if threading.get_ident() != self._thread:
            return
        self.collections += 1
        try:
            self.action()
        except BaseException as error:
            self.errors.append(error)


class _Cycle:
    def __init__(self, litter: Litter) -> None:
        self.litter = litter
        self.self = self

    def __del__(self) -> None:
        self.litter.collected()


@contextlib.contextmanager
def littered(action: Callable[[], object], seed: int = 0, most: int = MOST) -> Iterator[Litter]:
    """Lets `action`, which must not raise, run whenever a few objects were made, up to `most`."""
    litter = Litter(action, seed, most)
    before = gc.get_threshold()
    spare(0)  # a message made of kept memory is no new object for the collector
    litter.drop()
    try:
        yield litter
    finally:
        litter.active = False
        gc.set_threshold(*before)
        spare(512)
        gc.collect()
    assert not litter.errors, litter.errors[:3]
