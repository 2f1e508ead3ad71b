"""What a callback may give back to be awaited: a coroutine, of an `async def` that is interpreted or compiled."""

from __future__ import annotations

from types import CoroutineType
from typing import Any


async def _nothing() -> None:
    """Compiled with this module, it gives a coroutine of the compiler's own type."""


def _types() -> tuple[type[Any], ...]:
    coroutine = _nothing()
    coroutine.close()
    return tuple({CoroutineType, type(coroutine)})


COROUTINES = _types()
"""The types of coroutines. One alone where nothing is compiled, so that looking there costs nothing more."""
