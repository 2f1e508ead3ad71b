"""Finds the line at which a callback waits, for the text of a failure."""

from __future__ import annotations

import asyncio
import linecache
from pathlib import Path
from typing import Any

from ...gen.foreign import safe_repr

_LIBRARIES = (str(Path(asyncio.__file__).parent), str(Path(__file__).parents[2]))


def waits_at(name: str, pending: Any) -> str:
    """Returns the callback's name, the line of the program at which its coroutine waits, and the object awaited."""
    place, awaited = "", pending
    while True:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None and not frame.f_code.co_filename.startswith(_LIBRARIES):
            place = _place(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
        inner = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
        if inner is None:
            break
        awaited = inner
    what = "" if awaited is pending else f", for {safe_repr(awaited)}"
    return f"{name} waits{place}{what}"


def _place(path: str, line: int, function: str) -> str:
    source = linecache.getline(path, line).strip()
    return f" at {path}:{line} in {function}" + (f": `{source}`" if source else "")
