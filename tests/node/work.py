"""Measures what a piece of code does, not how long it takes: lines of Python executed, and memory taken at once."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any, NamedTuple

import homing

_SOURCES = homing.__path__[0]
REPEATED = 5
"""A dictionary that has to grow for one more entry takes memory for all of them. The next one does not."""


class Work(NamedTuple):
    """lines: of Homing's own interpreted code. octets: the most that were allocated at a time, in bytes."""

    lines: int
    octets: int


async def work_of(action: Callable[[], Awaitable[Any]]) -> Work:
    """The least work that `action` makes, of some times that it is done."""
    await action()
    return Work(
        min([await _lines_of(action) for _ in range(REPEATED)]),
        min([await _octets_of(action) for _ in range(REPEATED)]),
    )


async def _lines_of(action: Callable[[], Awaitable[Any]]) -> int:
    lines = 0

    def in_frame(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return in_frame

    def in_call(frame: FrameType, event: str, argument: Any) -> Any:
        return in_frame if frame.f_code.co_filename.startswith(_SOURCES) else None

    before = sys.gettrace()
    sys.settrace(in_call)
    try:
        await action()
    finally:
        sys.settrace(before)
    return lines


async def _octets_of(action: Callable[[], Awaitable[Any]]) -> int:
    tracemalloc.start()
    try:
        await action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
