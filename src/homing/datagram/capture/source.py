"""The bytes of a capture, read in parts of bounded length."""

from __future__ import annotations

import os
from typing import BinaryIO

from ..errors import BadCapture

LONGEST = 1 << 20
"""Most bytes of a packet or block: four times the longest that tcpdump captures. More is taken for a fault."""


class Source:
    """Reads `file`, which is at `path`. offset: of the next byte. begun: of the part that is being read."""

    def __init__(self, path: str, file: BinaryIO) -> None:
        self.path = path
        self.offset = self.begun = 0
        self._file = file

    def at_end(self) -> bool:
        """Returns True at the end of the file. Otherwise another part begins here."""
        self.begun = self.offset
        ahead = self._file.read(1)
        if ahead:
            self._file.seek(-1, os.SEEK_CUR)
        return not ahead

    def take(self, size: int, what: str) -> bytes:
        """Returns the next `size` bytes. Raises `BadCapture` if there are fewer."""
        data = self._file.read(size)
        self.offset += len(data)
        if len(data) < size:
            raise self.bad(f"the file ends in the middle of {what}; what stands before it was read")
        return data

    def skip(self, size: int, what: str) -> None:
        """Passes over `size` bytes, however many. Raises `BadCapture` if there are fewer."""
        while size > 0:
            size -= len(self.take(min(size, LONGEST), what))

    def check(self, size: int, what: str) -> None:
        """Raises `BadCapture` if `size` cannot be the length of a packet or block."""
        if size > LONGEST:
            raise self.bad(f"{what} claims to have {size} bytes; {LONGEST} is the most that is read")

    def bad(self, why: str) -> BadCapture:
        """Returns the error for the part that is being read."""
        return BadCapture(self.path, self.begun, why)
