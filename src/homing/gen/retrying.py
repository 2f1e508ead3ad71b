"""Retries after a failed allocation: usually memory is available again at once. Internal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
K = TypeVar("K")


def twice(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Returns the result of `function`, which is called a second time if the first call raises `MemoryError`.

    For functions that no caller retries, and that change nothing until they can no longer fail. The call of `twice`
    itself takes memory, for its arguments, and may fail for that: if the state has changed already so that `function`
    has to be called, write out the `try`.
    """
    try:
        return function(*args, **kwargs)
    except MemoryError:
        return function(*args, **kwargs)


def entry(table: dict[K, T], key: K, make: Callable[[], T]) -> T:
    """Returns `table[key]`; if it is missing, what `make` returns, which is then in the table.

    `dict.setdefault` of CPython 3.13 may return a value that it had no memory to put into the table.
    """
    if key not in table:
        table[key] = make()
    return table[key]


class Again:
    """Iterates over `steps(*args)`, and calls it anew after a step has raised `MemoryError`: the steps must do only the
    remaining work.

    The error is also raised to the caller, so that other work gets its turn first. After `_MOST` starts it gives up.
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
"""Limits the retries: code of the program may run in a step, and raise `MemoryError` each time."""
