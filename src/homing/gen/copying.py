"""What cannot be copied: an object that is a part of the runtime, and that others know by its identity. Internal."""

from __future__ import annotations

from typing import NoReturn


def refuse_copy(self: object) -> NoReturn:
    """Takes the place of `__reduce__` in such a class. Raises `TypeError`, for `copy` and for `pickle`."""
    raise TypeError(f"cannot copy or pickle a {type(self).__name__}: it is a part of the runtime")
