"""The error of captures that cannot be read."""

from __future__ import annotations

from ...gen import HomingError


class BadCapture(HomingError, ValueError):
    """A file is no capture, or ends in the middle of a packet, or contradicts itself. The text names file and offset.

    path: the file. offset: of the part that cannot be read, in bytes. why: what is wrong there.
    """

    def __init__(self, path: str, offset: int, why: str) -> None:
        super().__init__(path, offset, why)
        self.path = path
        self.offset = offset
        self.why = why

    def __str__(self) -> str:
        return f"{self.path}, offset {self.offset}: {self.why}"
