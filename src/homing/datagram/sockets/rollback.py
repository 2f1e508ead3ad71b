"""Rolls back a change that has failed halfway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from ...gen.foreign import safe_repr

Undo: TypeAlias = Callable[[], object]
"""Undoes one step of a change."""


@contextmanager
def rollback_on_error() -> Iterator[Callable[[Undo], None]]:
    """Yields a function that registers an undo step. If the block raises, all steps run, the latest first.

    If a step raises, the others still run: its error becomes a note of the block's error, which is raised in any case.
    """
    steps: list[Undo] = []
    try:
        yield steps.append
    except BaseException as error:
        for undo in reversed(steps):
            try:
                undo()
            except Exception as failure:
                error.add_note(f"not undone: {safe_repr(failure)}")
        raise
