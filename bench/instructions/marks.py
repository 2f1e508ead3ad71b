"""Where in a program counting begins and ends.

A program warms up, then repeats its operation `count` times, and then twice as often. The difference of the two has
`count` operations and nothing else: everything that happens once is in both.
"""

from __future__ import annotations

import ctypes
import gc
import os

WARM_UP = 2
"""Steps before counting begins: the first operations fill caches and grow tables."""


class Marks:
    """Tells valgrind to begin, and to end a count. library: the path of the compiled mark.c."""

    def __init__(self, library: str) -> None:
        self._library = ctypes.CDLL(library)
        self._counting = False

    def begin(self) -> None:
        """Begins to count. Full garbage collections are left out: their time depends on the objects that are there,
        not on the operations."""
        gc.collect()
        gc.set_threshold(*gc.get_threshold()[:2], 1_000_000)
        self._library.begin()

    def end(self) -> None:
        """Writes the count since the last mark, and begins again."""
        self._library.end()

    def clock(self) -> float:
        """Begins to count at its first call, ends at its second, and so on. Returns 0."""
        if self._counting:
            self.end()
            self._library.stop()
        else:
            self.begin()
        self._counting = not self._counting
        return 0.0


class Steps:
    """Sets the marks of a program that is loaded from outside. The process ends with the last step."""

    def __init__(self, marks: Marks, steps: int) -> None:
        self._marks = marks
        self._first = WARM_UP
        self._second = WARM_UP + steps
        self._last = WARM_UP + 3 * steps
        self._done = 0

    def ended(self) -> None:
        """Called after each step."""
        self._done += 1
        if self._done == self._first:
            self._marks.begin()
        elif self._done == self._second:
            self._marks.end()
        elif self._done == self._last:
            self._marks.end()
            os._exit(0)

    def more(self) -> None:
        """Blocks until the load of the next step waits in the socket: how much is read at once is always the same."""
        os.write(1, b"\n")
        if not os.read(0, 1):
            os._exit(1)


def announce(port: int) -> None:
    """Tells the load the server's port."""
    os.write(1, b"%d\n" % port)
