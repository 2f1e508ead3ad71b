"""Refuses to copy objects that are part of the runtime, where each object's identity matters. Internal."""

from __future__ import annotations

from typing import NoReturn


def refuse_copy(self: object) -> NoReturn:
    """Replaces `__reduce__` of a class. Raises `TypeError`, for `copy` and for `pickle`."""
    raise TypeError(f"cannot copy or pickle a {type(self).__name__}: it is part of the runtime")
