"""A second try where an allocation has failed: mostly there is memory again at once. Internal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def twice(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Returns what `function` returns, which is called again if it raises `MemoryError`. For what nobody would try
    again, and what changes nothing before it can fail no more."""
    try:
        return function(*args, **kwargs)
    except MemoryError:
        return function(*args, **kwargs)


class Again:
    """The steps that `steps(*args)` gives, begun anew when one raises `MemoryError`: they are to do only what is left.

    It raises that too, so that others have their turn first, until it has begun `_MOST` times.
    """

    __slots__ = ("_args", "_begun", "_steps", "_work")

    def __init__(self, steps: Callable[..., Iterator[object]], *args: Any) -> None:
        self._steps = steps
        self._args = args
        self._begun = 0
        self._work: Iterator[object] | None = None

    def __iter__(self) -> Iterator[object]:
        return self

    def __next__(self) -> object:
        work = self._work
        if work is None:
            if self._begun == _MOST:
                raise StopIteration
            self._begun += 1
            work = self._work = self._steps(*self._args)
        try:
            return next(work)
        except MemoryError:
            self._work = None
            raise


_MOST = 3
"""Not for ever: code of the program may run in a step, and raise `MemoryError` each time."""
