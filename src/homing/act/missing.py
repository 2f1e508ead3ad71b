"""MissingCallback: the log text for a callback that a class does not define, with a method of a similar name if any."""

from __future__ import annotations

from difflib import get_close_matches

from ..gen import ProcessBehavior

_CALLBACKS = frozenset(dir(ProcessBehavior))


class MissingCallback:
    """Made into text only when it is logged, which is at a bounded rate: the search for a similar name is slow."""

    __slots__ = ("_behavior", "_callback")

    def __init__(self, behavior: type, callback: str) -> None:
        self._behavior = behavior
        self._callback = callback

    def __str__(self) -> str:
        name, callback = self._behavior.__name__, self._callback
        own = [each for each in dir(self._behavior) if each not in _CALLBACKS]
        alike = get_close_matches(callback, own, n=1, cutoff=0.8)
        if alike:
            return f"{name} has no {callback}; rename its {alike[0]}"
        return f"{name} has no {callback}; define it"
