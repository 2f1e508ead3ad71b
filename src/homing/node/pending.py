"""What a callback may give back to be awaited: a coroutine, of an `async def` that is interpreted or compiled."""

from __future__ import annotations

from collections.abc import Coroutine
from types import CoroutineType
from typing import Any, TypeGuard

_INTERPRETED = CoroutineType


async def _nothing() -> None:
    """Compiled with this module, it gives a coroutine of the compiler's own type."""


def _type() -> type[Any]:
    coroutine = _nothing()
    coroutine.close()
    return type(coroutine)


_COMPILED = _type()


def is_coroutine(value: object) -> TypeGuard[Coroutine[Any, Any, Any]]:
    """True if `value` is what an `async def` gives."""
    return value.__class__ is _INTERPRETED or value.__class__ is _COMPILED
