"""Log messages for calls that were not awaited, and so did nothing. Python warns of the coroutine; the log says how to
write the call instead.

Only in a program that `homing.run` runs: Python has one hook for warnings, which belongs to the program.
"""

from __future__ import annotations

import re
import tracemalloc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .logs import NODE_LOGGER

_UNAWAITED = re.compile(r"coroutine '(?:\w+\.)*?((?:Actor|Node|meta)\.\w+)' was never awaited")

_WRITTEN = {"Actor": "self", "Node": "node", "meta": "meta"}
"""The prefix of a method where it is called, by its owner."""

_TEXT = "%s:%d: %s(...) was not awaited, so it did nothing; write `await %s(...)`, in an `async def`"


@contextmanager
def told_of_unawaited() -> Iterator[None]:
    """A context in which the log names calls such as `self.call(...)` that were not awaited, after Python's own
    warning. If tracemalloc runs, that warning says more, and nothing is logged."""
    before = warnings.showwarning

    def show(
        message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: str | None = None
    ) -> None:
        before(message, category, filename, lineno, file, line)
        found = _UNAWAITED.fullmatch(str(message)) if category is RuntimeWarning else None
        if found is not None:
            owner, _, name = found[1].partition(".")
            call = f"{_WRITTEN[owner]}.{name}"
            NODE_LOGGER.warning(_TEXT, filename, lineno, call, call)

    if tracemalloc.is_tracing():
        yield
        return
    warnings.showwarning = show
    try:
        yield
    finally:
        if warnings.showwarning is show:  # otherwise the program has set another hook, which may call this one
            warnings.showwarning = before
