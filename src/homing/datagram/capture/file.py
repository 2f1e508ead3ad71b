"""The file of a tap: whole blocks of pcapng, one writer at a time, a bounded length."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from ...gen import HomingError
from ..sockets.forks import close_in_forks
from .blocks import MAGIC, SECTION

if sys.platform != "win32":
    import fcntl

_LOCK_TRY = 0.02
"""Seconds between two tries to become the file's only writer."""

LOCK_PATIENCE = 30.0
"""Seconds until it is given up: a program that hands its sockets over has that long to finish its answers."""

_LONGEST_BLOCK = 1 << 24


class TapEnded(HomingError):
    """The file takes no more. The text says why."""


class CaptureFile:
    """The file at `path`, which ends after `most` bytes; `rotate` full ones are kept.

    size: bytes of whole blocks in the file. Nothing else stays in it, whatever fails.
    """

    def __init__(self, path: str, most: int, rotate: int) -> None:
        self.path = path
        self.size = 0
        self._most = most
        self._rotate = rotate
        self._file = -1
        close_in_forks(self, CaptureFile.close)  # or a child would keep the lock

    def open(self, gives_up: Callable[[], bool]) -> None:
        """Opens the file, or makes it, and waits until no other tap writes it. Returns once it takes blocks.

        Raises `TapEnded` if the file is not for us, or if `gives_up` returns True, and `OSError`.
        """
        end = time.monotonic() + LOCK_PATIENCE
        while not self._open_now():
            if gives_up() or time.monotonic() > end:
                raise TapEnded(
                    f"{self.path} is in use by another tap; put {{pid}} into the path, as in x-{{pid}}.pcapng"
                )
            time.sleep(_LOCK_TRY)
        self._continue()
        if self.size >= self._most:
            self.rotate()

    def _open_now(self) -> bool:
        """Opens and locks the file. Returns False if another writer has it."""
        with suppress(FileNotFoundError):
            self._check(os.stat(self.path))  # first: to open a device may do something
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        self._file = os.open(self.path, flags, 0o600)  # payloads are nobody else's business
        try:
            self._check(os.fstat(self._file))
            if self._lock() and self._is_at_path():
                return True
        except BaseException:
            self.close()
            raise
        self.close()
        return False

    def _check(self, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise TapEnded(f"{self.path} is no regular file; give another path")

    def _lock(self) -> bool:
        if sys.platform == "win32":
            return True
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _is_at_path(self) -> bool:
        """Returns False if the other writer has renamed the file meanwhile."""
        try:
            return os.path.samestat(os.fstat(self._file), os.stat(self.path))
        except FileNotFoundError:
            return False

    def _continue(self) -> None:
        """Finds the end of the last whole block, and cuts off the torn one that a killed program has left."""
        size = os.fstat(self._file).st_size
        if size and self._read(0, 4) != SECTION:
            self.close()
            raise TapEnded(f"{self.path} exists and is no pcapng file; give another path")
        self.size = size if size == 0 or self._ends_whole(size) else self._whole(size)
        if self.size != size:
            os.ftruncate(self._file, self.size)

    def _read(self, offset: int, size: int) -> bytes:
        os.lseek(self._file, offset, os.SEEK_SET)
        return os.read(self._file, size)

    def _ends_whole(self, size: int) -> bool:
        """Returns True if a block ends at the end of the file: its length is there, and at its begin."""
        length = int.from_bytes(self._read(size - 4, 4), "little")
        if not 12 <= length <= min(size, _LONGEST_BLOCK) or length % 4:
            return False
        head = self._read(size - length, 8)
        return head[4:] == length.to_bytes(4, "little") and (head[:4] == SECTION or head[1:4] == b"\0\0\0")

    def _whole(self, size: int) -> int:
        """Walks from block to block. Returns the end of the last whole one."""
        at, order = 0, "little"
        while at + 12 <= size:
            head = self._read(at, 12)
            if head[:4] == SECTION:
                order = "little" if int.from_bytes(head[8:], "little") == MAGIC else "big"
            length = int.from_bytes(head[4:8], order)  # type: ignore[arg-type]
            if length < 12 or length % 4 or at + length > size:
                break
            at += length
        return at

    @property
    def empty(self) -> bool:
        """True if nothing was written."""
        return self.size == 0

    def has_room(self, size: int) -> bool:
        """Returns True if `size` more bytes fit into the file."""
        return self.size + size <= self._most

    def write(self, data: bytes) -> None:
        """Writes whole blocks, all of them or none. Raises `OSError`."""
        view, done = memoryview(data), 0
        os.lseek(self._file, self.size, os.SEEK_SET)
        try:
            while done < len(view):
                done += os.write(self._file, view[done:])
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self.size)
            raise
        self.size += done

    def rotate(self) -> None:
        """Renames the full file and begins a new one. Raises `TapEnded` if none is kept, and `OSError`."""
        if not self._rotate:
            raise TapEnded(f"{self.path} is full: it has {self.size} bytes, most={self._most}")
        for number in range(self._rotate - 1, 0, -1):
            with suppress(FileNotFoundError):
                os.replace(rotated(self.path, number), rotated(self.path, number + 1))
        os.replace(self.path, rotated(self.path, 1))
        self.close()
        self.size = 0
        if not self._open_now():
            raise TapEnded(f"{self.path} was taken by another tap")
        self._continue()

    def close(self) -> None:
        """Closes the file, which frees it for another writer."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)


def rotated(path: str, number: int) -> str:
    """Returns the name of a full file: 1 is the latest."""
    stem, suffix = os.path.splitext(path)
    return f"{stem}.{number}{suffix}"
